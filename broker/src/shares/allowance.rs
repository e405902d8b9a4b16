//! Allowances: what each principal may use up at once, and how fast it comes back.
//!
//! A whole allowance is not remembered, so there are as many as principals that used something
//! lately. Time is handed in.

use std::time::{Duration, Instant};

use wardline_storage::id::{ById, UserId};

/// Allowances kept, at least, before those that are whole again are looked for.
const SWEEP_FROM: usize = 1024;

/// Everybody's, of one thing.
#[derive(Debug)]
pub(crate) struct Allowances {
    /// A whole one.
    burst: f64,
    per_second: f64,
    levels: ById<UserId, Level>,
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Below zero: owed.
    left: f64,
    at: Instant,
}

impl Allowances {
    /// All whole.
    pub(crate) fn new(burst: u64, per_second: f64) -> Self {
        let per_second = per_second.max(f64::MIN_POSITIVE);
        Self { burst: burst as f64, per_second, levels: ById::default(), sweep_at: SWEEP_FROM }
    }

    /// Takes so much. More than a whole one can be taken of a whole one, and is owed then.
    ///
    /// # Errors
    /// How long until it can be had.
    pub(crate) fn take(&mut self, user: UserId, amount: u64, now: Instant) -> Result<(), Duration> {
        let wanted = (amount as f64).min(self.burst);
        let left = self.left(user, now);
        if left < wanted {
            return Err(self.time_for(wanted - left));
        }
        self.set(user, left - amount as f64, now);
        Ok(())
    }

    /// Takes so much in any case, and gives how long until nothing is owed.
    pub(crate) fn charge(&mut self, user: UserId, amount: u64, now: Instant) -> Duration {
        let left = self.left(user, now) - amount as f64;
        self.set(user, left, now);
        self.debt(left)
    }

    /// Gives back what was taken for something that was not done.
    pub(crate) fn give_back(&mut self, user: UserId, amount: u64, now: Instant) {
        let left = (self.left(user, now) + amount as f64).min(self.burst);
        self.set(user, left, now);
    }

    /// Whether at least half of it is there.
    pub(crate) fn is_half_full(&self, user: UserId, now: Instant) -> bool {
        self.left(user, now) >= self.burst / 2.0
    }

    /// How long until nothing is owed.
    pub(crate) fn owed(&self, user: UserId, now: Instant) -> Duration {
        self.debt(self.left(user, now))
    }

    fn debt(&self, left: f64) -> Duration {
        if left < 0.0 { self.time_for(-left) } else { Duration::ZERO }
    }

    fn left(&self, user: UserId, now: Instant) -> f64 {
        self.levels.get(&user).map_or(self.burst, |level| self.filled(*level, now))
    }

    fn filled(&self, level: Level, now: Instant) -> f64 {
        let since = now.saturating_duration_since(level.at).as_secs_f64();
        (level.left + since * self.per_second).min(self.burst)
    }

    fn set(&mut self, user: UserId, left: f64, now: Instant) {
        self.levels.insert(user, Level { left, at: now });
        if self.levels.len() >= self.sweep_at {
            let (burst, per_second) = (self.burst, self.per_second);
            self.levels.retain(|_, level| {
                let since = now.saturating_duration_since(level.at).as_secs_f64();
                level.left + since * per_second < burst
            });
            self.sweep_at = (self.levels.len() * 2).max(SWEEP_FROM);
        }
    }

    fn time_for(&self, amount: f64) -> Duration {
        Duration::try_from_secs_f64(amount / self.per_second).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId::new([1; 16]);

    #[test]
    fn what_is_used_up_comes_back_with_time() {
        let (mut allowances, begun) = (Allowances::new(10, 2.0), Instant::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        assert_eq!(allowances.take(USER, 8, at(0)), Ok(()));
        assert_eq!(allowances.take(USER, 6, at(0)), Err(Duration::from_secs(2)));
        assert_eq!(allowances.take(UserId::new([2; 16]), 10, at(0)), Ok(()), "everybody has their own");
        assert_eq!(allowances.take(USER, 6, at(2)), Ok(()));
        assert_eq!(allowances.take(USER, 10, at(1_000)), Ok(()), "but no more than a whole one");
        assert_eq!(allowances.take(USER, 1, at(1_000)), Err(Duration::from_millis(500)));
        allowances.give_back(USER, 4, at(1_000));
        assert!(!allowances.is_half_full(USER, at(1_000)));
        assert_eq!(allowances.take(USER, 4, at(1_000)), Ok(()), "what was not used was given back");
        allowances.give_back(USER, 100, at(1_000));
        assert!(allowances.is_half_full(USER, at(1_000)));
        assert_eq!(allowances.take(USER, 11, at(1_000)), Ok(()), "and no more than a whole one");
        assert_eq!(allowances.take(USER, 1, at(1_000)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn more_than_a_whole_one_is_owed() {
        let (mut allowances, begun) = (Allowances::new(10, 2.0), Instant::now());
        assert_eq!(allowances.take(USER, 14, begun), Ok(()));
        assert_eq!(allowances.take(USER, 1, begun), Err(Duration::from_millis(2_500)));
        assert_eq!(allowances.charge(USER, 2, begun), Duration::from_secs(3));
        assert_eq!(allowances.owed(USER, begun + Duration::from_secs(1)), Duration::from_secs(2));
    }

    #[test]
    fn whole_ones_are_forgotten() {
        let (mut allowances, begun) = (Allowances::new(10, 2.0), Instant::now());
        for number in 0..100_000_u128 {
            let user = UserId::new(number.to_be_bytes());
            let now = begun + Duration::from_millis(number as u64);
            allowances.take(user, 1, now).expect("it is whole");
        }
        assert!(allowances.levels.len() <= 2 * SWEEP_FROM, "{} kept", allowances.levels.len());
    }
}
