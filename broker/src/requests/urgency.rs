//! Urgency is a bounded right: each principal has a bucket, its size by role.
//!
//! Whoever sends more urgent messages than their bucket has is told so, with the time until one
//! more may go, and nothing is published: their client sends it as routine. So nobody can make
//! everything urgent, and nothing becomes routine without a word. Decided before the log, by the
//! monotonic clock: what is applied does not depend on it. A bucket that is full is not kept.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wardline_storage::id::UserId;

use crate::limits::Urgent;
use crate::refusal::{Code, Refusal};

/// With so many buckets those that are full again are forgotten for the first time.
const SWEEP_AT: usize = 16_384;

/// The buckets of all principals.
pub(crate) struct Urgency {
    buckets: Mutex<Buckets>,
    ordinary: Urgent,
    broadcaster: Urgent,
}

struct Buckets {
    of: HashMap<UserId, Bucket>,
    /// With so many they are gone through again: twice what was left the last time, so that what
    /// one message pays for it does not grow with them.
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// How many may go.
    left: f64,
    /// When that was so.
    at: Instant,
    /// They were told that it is empty, and it was not half full since.
    told: bool,
}

impl Urgency {
    /// With buckets for people without a role, and for those with the role broadcaster.
    pub(crate) fn new(ordinary: Urgent, broadcaster: Urgent) -> Self {
        let buckets = Buckets { of: HashMap::new(), sweep_at: SWEEP_AT };
        Self { buckets: Mutex::new(buckets), ordinary, broadcaster }
    }

    /// Takes one urgent message out of somebody's bucket.
    ///
    /// # Errors
    /// A refusal with the time until there is one, if it is empty.
    pub(crate) fn take(&self, user: UserId, is_broadcaster: bool, now: Instant) -> Result<(), Refusal> {
        let may = if is_broadcaster { self.broadcaster } else { self.ordinary };
        let Buckets { of: buckets, sweep_at } = &mut *self.buckets.lock();
        if buckets.len() >= *sweep_at {
            let longest = self.ordinary.filled_in().max(self.broadcaster.filled_in());
            buckets.retain(|_, bucket| now.duration_since(bucket.at) < longest);
            *sweep_at = (buckets.len() * 2).max(SWEEP_AT);
        }
        let full = Bucket { left: f64::from(may.burst), at: now, told: false };
        let bucket = buckets.entry(user).or_insert(full);
        let grown = now.duration_since(bucket.at).as_secs_f64() * may.per_second();
        (bucket.left, bucket.at) = ((bucket.left + grown).min(full.left), now);
        bucket.told &= bucket.left < full.left / 2.0;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        if !std::mem::replace(&mut bucket.told, true) {
            tracing::warn!(code = "urgency-spent", %user, "has sent more urgent messages than they may: further ones are refused until the bucket fills again");
        }
        let wait = Duration::from_secs_f64((1.0 - bucket.left) / may.per_second());
        let text = "more urgent messages than you may send: send it as routine, or wait";
        Err(Refusal::new(Code::UrgencySpent, text).after(wait.max(Duration::from_millis(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: Urgent = Urgent { burst: 3, per_minute: 60 };
    const WIDER: Urgent = Urgent { burst: 9, per_minute: 600 };

    fn user(byte: u8) -> UserId {
        UserId::new([byte; 16])
    }

    #[test]
    fn who_is_over_it_is_told_and_nobody_else_feels_it() {
        let urgency = Urgency::new(ORDINARY, WIDER);
        let now = Instant::now();
        let taken =
            |user, broadcaster, at| (0..20).filter(|_| urgency.take(user, broadcaster, at).is_ok()).count();
        assert_eq!(taken(user(1), false, now), 3);
        let refusal = urgency.take(user(1), false, now).expect_err("it is empty");
        assert_eq!((refusal.code, refusal.retry_after), (Code::UrgencySpent, Duration::from_secs(1)));
        assert_eq!(taken(user(2), false, now), 3, "a bucket of their own");
        assert_eq!(taken(user(3), true, now), 9, "wider by role");
        assert_eq!(taken(user(1), false, now + Duration::from_secs(2)), 2, "it fills again");
        assert_eq!(taken(user(1), false, now + Duration::from_secs(1000)), 3, "and no further than that");
    }

    #[test]
    fn buckets_that_are_full_again_are_not_kept() {
        let urgency = Urgency::new(ORDINARY, WIDER);
        let now = Instant::now();
        for number in 0..SWEEP_AT as u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            assert!(urgency.take(UserId::new(id), false, now).is_ok());
        }
        assert!(urgency.take(user(254), false, now).is_ok());
        assert_eq!(urgency.buckets.lock().sweep_at, 2 * SWEEP_AT, "all are in use: not again at once");
        let later = now + Duration::from_secs(60);
        urgency.buckets.lock().sweep_at = SWEEP_AT;
        assert!(urgency.take(user(255), false, later).is_ok());
        assert_eq!(urgency.buckets.lock().of.len(), 1);
    }
}
