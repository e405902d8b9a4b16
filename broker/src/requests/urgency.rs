//! Urgency is a bounded right: each principal has a bucket, its size by role.
//!
//! Whoever sends more urgent messages than their bucket has is told so, with the time until one
//! more may go, and nothing is published: their client sends it as routine. So nobody can make
//! everything urgent, and nothing becomes routine without a word. Decided before the log, by the
//! monotonic clock: what is applied does not depend on it. What the log did not take in is not
//! spent.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wardline_storage::id::UserId;

use crate::limits::Urgent;
use crate::refusal::{Code, Refusal};
use crate::shares::allowance::Allowances;

/// Most users of whom it is remembered that they were told; then all may be told again.
const TOLD_MAX: usize = 16_384;

/// The buckets of all principals.
pub(crate) struct Urgency {
    buckets: Mutex<Buckets>,
}

struct Buckets {
    ordinary: Allowances,
    broadcaster: Allowances,
    /// Who was told that theirs is empty, and it was not half full since.
    told: HashSet<UserId>,
}

impl Buckets {
    fn of(&mut self, is_broadcaster: bool) -> &mut Allowances {
        if is_broadcaster { &mut self.broadcaster } else { &mut self.ordinary }
    }

    /// Notes that somebody is told; whether they were already.
    fn tell(&mut self, user: UserId) -> bool {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        !self.told.insert(user)
    }
}

impl Urgency {
    /// With buckets for people without a role, and for those with the role broadcaster.
    pub(crate) fn new(ordinary: Urgent, broadcaster: Urgent) -> Self {
        let allowances = |may: Urgent| Allowances::new(u64::from(may.burst), may.per_second());
        let (ordinary, broadcaster) = (allowances(ordinary), allowances(broadcaster));
        Self { buckets: Mutex::new(Buckets { ordinary, broadcaster, told: HashSet::new() }) }
    }

    /// Takes one urgent message out of somebody's bucket.
    ///
    /// # Errors
    /// A refusal with the time until there is one, if it is empty.
    pub(crate) fn take(&self, user: UserId, is_broadcaster: bool, now: Instant) -> Result<(), Refusal> {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.of(is_broadcaster);
        let was_half_full = bucket.is_half_full(user, now);
        let wait = match bucket.take(user, 1, now) {
            Ok(()) => {
                if was_half_full {
                    buckets.told.remove(&user);
                }
                return Ok(());
            }
            Err(wait) => wait,
        };
        if !buckets.tell(user) {
            tracing::warn!(code = "urgency-spent", %user, "has sent more urgent messages than they may: further ones are refused until the bucket fills again");
        }
        let text = "more urgent messages than you may send: send it as routine, or wait";
        Err(Refusal::new(Code::UrgencySpent, text).after(wait.max(Duration::from_millis(1))))
    }

    /// Puts one back that was not taken in: it will be sent again.
    pub(crate) fn give_back(&self, user: UserId, is_broadcaster: bool, now: Instant) {
        self.buckets.lock().of(is_broadcaster).give_back(user, 1, now);
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
    fn what_was_not_taken_in_is_not_spent() {
        let urgency = Urgency::new(ORDINARY, WIDER);
        let now = Instant::now();
        for _ in 0..100 {
            urgency.take(user(1), false, now).expect("there is one");
            urgency.give_back(user(1), false, now);
        }
        assert!(urgency.take(user(1), false, now).is_ok());
    }

    #[test]
    fn somebody_is_told_again_once_their_bucket_was_half_full() {
        let urgency = Urgency::new(ORDINARY, WIDER);
        let now = Instant::now();
        let empty = |at| while urgency.take(user(1), false, at).is_ok() {};
        empty(now);
        assert!(urgency.buckets.lock().told.contains(&user(1)));
        empty(now + Duration::from_secs(1));
        assert!(urgency.buckets.lock().told.contains(&user(1)), "not once for each");
        urgency.take(user(1), false, now + Duration::from_secs(60)).expect("it is full again");
        assert!(urgency.buckets.lock().told.is_empty());
    }
}
