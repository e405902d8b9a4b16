//! The run's clock: nanoseconds from its origin, monotonic, and a timer that is more exact than a
//! millisecond.
//!
//! Wall clocks appear in file headers only; a wall clock that jumps changes no measurement. The
//! timer is Linux's timerfd, because the runtime's own rounds up to whole milliseconds, which would
//! be a good part of the latencies measured.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

const NANOS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds from a run's origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now. Five centuries fit.
    pub(crate) fn now_ns(self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// Sleeps to within some tens of microseconds.
pub(crate) struct Timer {
    timer: AsyncFd<OwnedFd>,
}

impl Timer {
    /// # Errors
    /// If the kernel gives no timer.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .context("cannot make a timer")?;
        #[allow(
            deprecated,
            reason = "its replacement is unsafe, and asks for what is true here: the file is owned and never swapped"
        )]
        let timer = AsyncFd::new(timer).context("cannot watch a timer")?;
        Ok(Self { timer })
    }

    /// Sleeps for a while.
    ///
    /// # Errors
    /// If the timer cannot be set or read.
    ///
    /// # Cancellation
    /// Safe: the next sleep sets the timer anew.
    pub(crate) async fn sleep(&self, duration: Duration) -> anyhow::Result<()> {
        // All zero would disarm it.
        let nanos = (duration.as_nanos() as u64).max(1);
        let value = Timespec {
            tv_sec: (nanos / NANOS_PER_S).cast_signed(),
            tv_nsec: (nanos % NANOS_PER_S).cast_signed(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).context("cannot set a timer")?;
        loop {
            let mut ready = self.timer.readable().await.context("cannot wait for a timer")?;
            let mut expirations = [0; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut expirations)?));
            match read {
                Ok(read) => return read.map(drop).context("cannot read a timer"),
                Err(_would_block) => {}
            }
        }
    }
}
