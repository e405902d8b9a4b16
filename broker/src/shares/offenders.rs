//! Offenders: who ran into their shares most since the last look, for the text log.
//!
//! By opaque id, never by name, and never in a metric. Bounded: when too many did, those are told
//! that came first.

use std::collections::HashMap;

use parking_lot::Mutex;
use wardline_storage::id::{TenantId, UserId};

use super::kind::Kind;
use super::principal::Principal;

/// Principals that are counted between two looks.
const OFFENDERS_MAX: usize = 1024;

/// How often each principal was refused, since the last look.
#[derive(Default)]
pub(super) struct Offenders {
    counted: Mutex<HashMap<(TenantId, UserId), [u64; Kind::ALL.len()]>>,
}

/// Who was refused most.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Worst {
    pub(super) whose: Principal,
    /// How often.
    pub(super) refused: u64,
    /// What they wanted most often.
    pub(super) kind: Kind,
    /// How many others were refused something.
    pub(super) others: usize,
}

impl Offenders {
    /// Counts a refusal.
    pub(super) fn count(&self, whose: Principal, kind: Kind) {
        let mut counted = self.counted.lock();
        let known = (whose.tenant, whose.user);
        if counted.len() < OFFENDERS_MAX || counted.contains_key(&known) {
            counted.entry(known).or_default()[kind as usize] += 1;
        }
    }

    /// Who was refused most since the last look; `None`: nobody was.
    pub(super) fn take_worst(&self) -> Option<Worst> {
        let counted = std::mem::take(&mut *self.counted.lock());
        let ((tenant, user), kinds) = counted
            .iter()
            .max_by_key(|(_, kinds)| kinds.iter().sum::<u64>())
            .map(|(id, kinds)| (*id, *kinds))?;
        let kind = Kind::ALL.into_iter().max_by_key(|kind| kinds[*kind as usize])?;
        let whose = Principal { tenant, user };
        Some(Worst { whose, refused: kinds.iter().sum(), kind, others: counted.len() - 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_told_once() {
        let offenders = Offenders::default();
        let whose = |user| Principal { tenant: TenantId::new([1; 16]), user: UserId::new([user; 16]) };
        offenders.count(whose(1), Kind::Reads);
        for _ in 0..3 {
            offenders.count(whose(2), Kind::Pages);
        }
        offenders.count(whose(2), Kind::People);
        let worst = Worst { whose: whose(2), refused: 4, kind: Kind::Pages, others: 1 };
        assert_eq!(offenders.take_worst(), Some(worst));
        assert_eq!(offenders.take_worst(), None);
    }

    #[test]
    fn so_many_are_counted_and_no_more() {
        let offenders = Offenders::default();
        for number in 0..5_000_u128 {
            let whose = Principal { tenant: TenantId::new([1; 16]), user: UserId::new(number.to_be_bytes()) };
            offenders.count(whose, Kind::Commands);
        }
        assert_eq!(offenders.counted.lock().len(), OFFENDERS_MAX);
    }
}
