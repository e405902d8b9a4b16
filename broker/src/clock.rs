//! The wall clock: the one place that reads it.
//!
//! Within a process it never goes back, and it does not jump: what the system's clock says is
//! believed as long as it is within a minute of the time that has passed. A jump that is further is
//! not: expired means gone for good, and a clock set to next month by mistake would erase what is
//! due then. Time goes on by what has passed, the log says so, and a restart believes the system's
//! clock again. What passes while the machine is suspended has passed, too.
//!
//! Nor does it go behind the time that the store has reached, which may be ahead: the system's
//! clock was set back while no broker ran, or another node's runs ahead. Then it stands still until
//! it has been caught up with. Tokens are stamped by others, so they are held against the clock
//! itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use wardline_storage::id::Timestamp;
use wardline_storage::log;

/// Furthest that the system's clock may move at once, either way, to be followed: more than any
/// daemon that keeps a clock right steps it while all is well.
const STEP_MAX: Duration = Duration::from_secs(60);

/// Tells the time.
#[derive(Debug)]
pub(crate) struct Clock {
    /// When this one began, after the machine's start; in milliseconds.
    began: u64,
    /// What the wall clock showed when this one began, as it is believed now; in milliseconds.
    origin: AtomicU64,
    /// The same, as the system's clock had it when it was last doubted; 0: it never was.
    doubted: AtomicU64,
    latest: AtomicU64,
    /// What the store had reached when this one began.
    reached: Timestamp,
}

impl Clock {
    /// Begins, on a store that has reached a time.
    pub(crate) fn new(reached: Timestamp) -> Self {
        let clock = Self::at(system_millis(), reached);
        let behind = clock.behind();
        if behind > STEP_MAX {
            tracing::error!(
                code = "clock-behind",
                seconds = behind.as_secs(),
                "the system's clock is behind what is in the store, so time stands still until it has caught up, and \
                 messages are kept longer by as much: set it right; if it is right now, it was wrong before"
            );
        }
        clock
    }

    /// Now; never earlier than told before, or than what the store has reached.
    pub(crate) fn now(&self) -> Timestamp {
        self.own().max(self.reached)
    }

    /// Now, whatever the store has reached: what tokens are held against.
    pub(crate) fn own(&self) -> Timestamp {
        self.read(system_millis(), uptime_millis().saturating_sub(self.began))
    }

    /// How far this one and the system's are apart, since that was set back or jumped.
    pub(crate) fn held(&self) -> Duration {
        Duration::from_millis(self.own().0.abs_diff(system_millis()))
    }

    /// How far it is behind what the store had reached.
    pub(crate) fn behind(&self) -> Duration {
        self.reached.since(self.own())
    }

    fn at(system: u64, reached: Timestamp) -> Self {
        let (origin, doubted, latest) = (AtomicU64::new(system), AtomicU64::new(0), AtomicU64::new(system));
        Self { began: uptime_millis(), origin, doubted, latest, reached }
    }

    /// The time, when the system's clock shows `system` and so much has passed since this one
    /// began.
    fn read(&self, system: u64, passed: u64) -> Timestamp {
        let (origin, believed) = (system.saturating_sub(passed), self.origin.load(Relaxed));
        let time = if is_step(origin, believed) {
            self.origin.store(origin, Relaxed);
            system
        } else {
            self.doubt(origin, believed);
            believed.saturating_add(passed)
        };
        let before = self.latest.fetch_max(time, Relaxed);
        Timestamp(before.max(time))
    }

    /// Says so, once for each jump.
    fn doubt(&self, origin: u64, believed: u64) {
        let before = self.doubted.swap(origin, Relaxed);
        if before == 0 || !is_step(origin, before) {
            let seconds = (i128::from(origin) - i128::from(believed)) / 1000;
            tracing::error!(
                code = "clock-jumped",
                seconds,
                "the system's clock jumped and is not followed, so that nothing expires early or late: set it right; \
                 if it is right now, restart the broker"
            );
        }
    }
}

impl log::Clock for Clock {
    fn now(&self) -> Timestamp {
        self.now()
    }
}

fn is_step(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= millis(STEP_MAX)
}

fn system_millis() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

/// Since the machine's start, the time that it was suspended included.
fn uptime_millis() -> u64 {
    Duration::try_from(clock_gettime(ClockId::Boottime)).map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000;
    const HOUR: u64 = 3_600_000;

    #[test]
    fn it_follows_the_system_s_clock_and_never_goes_back() {
        let clock = Clock::at(START, Timestamp::ZERO);
        assert_eq!(clock.read(START + 5, 5).0, START + 5);
        assert_eq!(clock.read(START + 30_000, 6).0, START + 30_000, "a small step");
        assert_eq!(
            clock.read(START + 8, 8).0,
            START + 30_000,
            "it stands still until it has been caught up with"
        );
        assert_eq!(clock.read(START + 30_001, 30_001).0, START + 30_001);
    }

    #[test]
    fn it_stands_still_where_the_store_is_ahead() {
        let reached = Timestamp(system_millis() + HOUR);
        let clock = Clock::new(reached);
        assert_eq!(clock.now(), reached);
        assert!(clock.own() < reached, "tokens are held against the clock itself");
        assert!(clock.behind() > Duration::from_secs(3_500) && clock.behind() <= Duration::from_secs(3_600));
        let clock = Clock::new(Timestamp(system_millis() - HOUR));
        assert_eq!((clock.behind(), clock.now() > Timestamp(START)), (Duration::ZERO, true));
    }

    #[test]
    fn drift_adds_up_without_being_a_jump() {
        let clock = Clock::at(START, Timestamp::ZERO);
        // Half a minute an hour, for four days.
        for hour in 1..=96 {
            let system = START + hour * (HOUR + 30_000);
            assert_eq!(clock.read(system, hour * HOUR).0, system);
        }
    }

    #[test]
    fn a_jump_is_not_followed_until_it_is_taken_back() {
        for jump in [HOUR as i64, -(HOUR as i64), 40 * 24 * HOUR as i64, -3650 * 24 * HOUR as i64, 60_001] {
            let clock = Clock::at(START, Timestamp::ZERO);
            assert_eq!(clock.read(START + 1_000, 1_000).0, START + 1_000);
            for passed in [2_000, 3_000, 2 * HOUR] {
                let told = clock.read((START + passed).saturating_add_signed(jump), passed).0;
                assert_eq!(told, START + passed, "{jump}");
            }
            assert_eq!(clock.read(START + 3 * HOUR + 7, 3 * HOUR).0, START + 3 * HOUR + 7, "{jump}");
        }
    }
}
