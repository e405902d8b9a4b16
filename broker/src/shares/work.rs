//! Work: what the broker does for a principal's requests, by what they cost.
//!
//! Each request takes processor time of the sessions and of the committer, however little it holds
//! of anything else. So each principal has an allowance of it, and as long as others ask for
//! something, too, whoever has used it up is read from more slowly: their requests wait with them,
//! and nobody is refused. Urgent messages and control commands have an allowance of their own,
//! so that nothing routine holds them up. Who is alone may do whatever the broker can.
//!
//! Invariant: what somebody does alone is not counted, so they owe nothing when others come.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wardline_storage::command::Command;
use wardline_storage::id::UserId;

use super::allowance::Allowances;
use super::principal::Principal;

/// A command costs one more for each so many bytes of it.
const BYTES: usize = 4 * 1024;
/// One part in so many of an allowance is what urgent messages and control commands have beside it.
const KEPT_SHARE: u64 = 4;
/// How long somebody counts as there after they asked for something: at least so long, and less
/// than twice as long.
const LATELY: Duration = Duration::from_millis(100);

/// What requests cost: each one, each record that it touches beyond a few, and its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    routine: u64,
    /// Of urgent messages and control commands.
    kept: u64,
}

/// Everybody's.
#[derive(Debug)]
pub(crate) struct Works {
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    routine: Allowances,
    kept: Allowances,
    lately: Lately,
}

/// Who asked for something lately.
#[derive(Debug, Default)]
struct Lately {
    begun: Option<Instant>,
    before: Askers,
    now: Askers,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Askers {
    #[default]
    Nobody,
    One(UserId),
    Several,
}

impl Work {
    /// What a request costs that is no command: it is read, looked at and answered.
    pub(crate) const REQUEST: Self = Self { routine: 1, kept: 0 };

    /// What a command costs, its request included.
    pub(crate) fn of(command: &Command) -> Self {
        let bytes = match command {
            Command::Publish(publish) => publish.payload.len(),
            _ => 0,
        };
        let cost = (command.records() + bytes / BYTES) as u64;
        match command.is_urgent() || command.is_control() {
            true => Self { routine: 0, kept: cost + 1 },
            false => Self { routine: cost + 1, kept: 0 },
        }
    }

    /// Adds more.
    pub(crate) fn add(&mut self, more: Self) {
        self.routine += more.routine;
        self.kept += more.kept;
    }

    /// All of it.
    pub(crate) fn sum(self) -> u64 {
        self.routine + self.kept
    }
}

impl Works {
    /// With so much for each principal in a second.
    pub(crate) fn new(per_second: u64) -> Self {
        let kept = (per_second / KEPT_SHARE).max(1);
        let allowances = |amount| Allowances::new(amount, amount as f64);
        let (routine, kept) = (allowances(per_second), allowances(kept));
        Self { inside: Mutex::new(Inside { routine, kept, lately: Lately::default() }) }
    }

    /// Counts what was done for somebody; how long they are to be left alone for it.
    pub(crate) fn charge(&self, whose: Principal, work: Work, now: Instant) -> Duration {
        let user = whose.sharing().user;
        let Inside { routine, kept, lately } = &mut *self.inside.lock();
        if !lately.is_wanted_by_others(user, now) {
            return Duration::ZERO;
        }
        let charge = |allowances: &mut Allowances, amount| match amount {
            0 => Duration::ZERO,
            _ => allowances.charge(user, amount, now),
        };
        charge(routine, work.routine).max(charge(kept, work.kept))
    }

    /// How long somebody has to wait until they owe nothing routine.
    pub(crate) fn owed(&self, whose: Principal, now: Instant) -> Duration {
        self.inside.lock().routine.owed(whose.sharing().user, now)
    }
}

impl Lately {
    /// Notes that somebody asks; whether others do, too.
    fn is_wanted_by_others(&mut self, user: UserId, now: Instant) -> bool {
        let begun = *self.begun.get_or_insert(now);
        let since = now.saturating_duration_since(begun);
        if since >= LATELY {
            let last = std::mem::take(&mut self.now);
            self.before = if since < 2 * LATELY { last } else { Askers::Nobody };
            self.begun = Some(now);
        }
        self.now = match self.now {
            Askers::Nobody => Askers::One(user),
            Askers::One(other) if other != user => Askers::Several,
            known => known,
        };
        let others = |askers| match askers {
            Askers::Nobody => false,
            Askers::One(other) => other != user,
            Askers::Several => true,
        };
        others(self.before) || others(self.now)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wardline_storage::command::{Acknowledge, Publish};
    use wardline_storage::id::{ClientMessageId, ConversationId, Seq, TenantId};
    use wardline_storage::model::{Priority, Text};

    use super::*;

    fn whose(user: u8) -> Principal {
        Principal::new(TenantId::new([1; 16]), UserId::new([user; 16]))
    }

    fn routine(cost: u64) -> Work {
        Work { routine: cost, kept: 0 }
    }

    fn publish(bytes: usize, priority: Priority) -> Command {
        Command::Publish(Publish {
            conversation: ConversationId::new([1; 16]),
            client_id: ClientMessageId::new([1; 16]),
            content_type: Text::new(""),
            payload: Bytes::from(vec![0; bytes]),
            priority,
            reply_to: None,
            expires_in: None,
        })
    }

    #[test]
    fn who_is_alone_does_as_much_as_they_like_and_owes_nothing_for_it() {
        let (works, begun) = (Works::new(1_000), Instant::now());
        for ms in 0..2_000 {
            let now = begun + Duration::from_millis(ms);
            assert_eq!(works.charge(whose(1), routine(100), now), Duration::ZERO);
        }
        let now = begun + Duration::from_secs(2);
        assert_eq!(works.charge(whose(2), routine(1), now), Duration::ZERO);
        assert_eq!(works.charge(whose(1), routine(1_000), now), Duration::ZERO, "an allowance at once");
        assert_eq!(works.charge(whose(1), routine(500), now), Duration::from_millis(500));
        assert_eq!(works.owed(whose(1), now), Duration::from_millis(500));
        assert_eq!(works.owed(whose(2), now), Duration::ZERO);
        let later = now + Duration::from_millis(500);
        assert_eq!(works.charge(whose(1), routine(100), later), Duration::ZERO, "nobody else since");
    }

    #[test]
    fn what_is_routine_holds_up_nothing_urgent() {
        let (works, now) = (Works::new(1_000), Instant::now());
        works.charge(whose(2), routine(1), now);
        assert_eq!(works.charge(whose(1), routine(5_000), now), Duration::from_secs(4));
        let urgent = Work::of(&publish(10, Priority::Urgent));
        assert_eq!(works.charge(whose(1), urgent, now), Duration::ZERO);
        let many = Work { routine: 0, kept: 749 };
        assert_eq!(works.charge(whose(1), many, now), Duration::from_secs(2), "but that is bounded, too");
    }

    #[test]
    fn commands_cost_what_they_touch_and_carry() {
        assert_eq!(Work::of(&publish(10, Priority::Routine)), routine(1));
        assert_eq!(Work::of(&publish(64 * 1024, Priority::Routine)), routine(17));
        let conversation = ConversationId::new([1; 16]);
        let delivered_only = (1..=16).map(Seq).collect();
        let receipts = Acknowledge { conversation, delivered_only, ..Acknowledge::default() };
        assert_eq!(Work::of(&Command::Acknowledge(receipts)), routine(17));
        let removal = Command::RemoveMember { conversation, user: UserId::new([1; 16]) };
        assert_eq!(Work::of(&removal), Work { routine: 0, kept: 1 });
        let mut all = Work::REQUEST;
        all.add(Work::of(&removal));
        assert_eq!(all.sum(), 2);
    }
}
