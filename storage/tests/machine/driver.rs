//! A small ward: Alice (an admin) and Bob in one conversation, on a memory engine, with a clock
//! that the test sets.

use std::sync::Arc;
use std::time::Duration;

use wardline_storage::applier::Applier;
use wardline_storage::command::{Actor, Command, Create, Outcome, Publish, Rejection, Rights, Submission};
use wardline_storage::engine::{Direction, Engine};
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq, TenantId, Timestamp, UserId};
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::{Kind, Person, Policy, Priority, Text};
use wardline_storage::view::{Access, View};

pub(crate) const ALICE: UserId = UserId::new([0xa1; 16]);
pub(crate) const BOB: UserId = UserId::new([0xb0; 16]);
pub(crate) const WARD: ConversationId = ConversationId::new([0xc0; 16]);

pub(crate) const POLICY: Policy = Policy {
    retention_max: Duration::from_secs(3600),
    dedupe_window: Duration::from_secs(60),
    members_max: 10,
    devices_max: 4,
};

pub(crate) struct Driver {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) applier: Applier,
    pub(crate) now: Timestamp,
    published: u128,
}

impl Driver {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryEngine::default()))
    }

    pub(crate) fn on(engine: Arc<dyn Engine>) -> Self {
        let applier = Applier::new(engine.clone()).expect("the engine is readable");
        let mut driver = Self { engine, applier, now: Timestamp(1_000_000), published: 0 };
        let create = Command::Create(Create {
            conversation: WARD,
            kind: Kind::Group,
            others: vec![Person { user: BOB, name: Text::new("bob") }],
            title: Text::new("Ward"),
            retention: None,
        });
        let group = [Command::SetPolicy(POLICY), create].map(|command| driver.submission(ALICE, command));
        let made = driver.applier.apply_group(driver.now, &group).expect("the engine works");
        assert!(made.verdicts.iter().all(Result::is_ok), "it is new");
        driver
    }

    pub(crate) fn submission(&self, user: UserId, command: Command) -> Submission {
        let actor = Arc::new(Actor {
            tenant: TenantId::new([1; 16]),
            user,
            name: Text::new(if user == ALICE { "alice" } else { "bob" }),
            device: DeviceId::new([0xd1; 16]),
            rights: Rights::default(),
        });
        Submission { actor, command }
    }

    pub(crate) fn apply(&mut self, user: UserId, command: Command) -> Result<Outcome, Rejection> {
        let submission = self.submission(user, command);
        let mut result = self.applier.apply_group(self.now, &[submission]).expect("the engine works");
        result.verdicts.remove(0)
    }

    /// A message of a new client message id.
    pub(crate) fn message(&mut self) -> Publish {
        self.published += 1;
        Publish {
            conversation: WARD,
            client_id: ClientMessageId::new(self.published.to_be_bytes()),
            content_type: Text::new("text/plain"),
            payload: b"hello".as_slice().into(),
            priority: Priority::Routine,
            reply_to: None,
            expires_in: None,
        }
    }

    /// Publishes a number of messages of Alice in one group.
    pub(crate) fn publish(&mut self, count: usize) {
        let group: Vec<Submission> = (0..count)
            .map(|_| {
                let message = self.message();
                self.submission(ALICE, Command::Publish(message))
            })
            .collect();
        let result = self.applier.apply_group(self.now, &group).expect("the engine works");
        assert!(result.verdicts.iter().all(Result::is_ok));
    }

    pub(crate) fn set_retention(&mut self, seconds: u64) -> Result<Outcome, Rejection> {
        let retention = Some(Duration::from_secs(seconds));
        self.apply(ALICE, Command::SetRetention { conversation: WARD, retention })
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::new(&*self.engine, self.now)
    }

    pub(crate) fn access(&self, user: UserId) -> Access {
        self.view().access(user, WARD).expect("the engine is readable").expect("a member")
    }

    /// The sequences that somebody sees, chunk after chunk.
    pub(crate) fn seen(&self, user: UserId, direction: Direction) -> Vec<u64> {
        let access = self.access(user);
        let mut seen = Vec::new();
        let mut from = if direction == Direction::Forward { Seq::ZERO } else { Seq::MAX };
        loop {
            let chunk = self.view().entries(&access, from, direction, 100, 1 << 20).expect("readable");
            seen.extend(chunk.entries.iter().map(|placed| placed.seq.0));
            if !chunk.more {
                return seen;
            }
            from = chunk.through;
        }
    }

    pub(crate) fn unread(&self, user: UserId) -> u32 {
        let rules = self.view().rules().expect("there is a policy");
        self.view().summary(self.access(user), &rules).expect("readable").unread
    }
}
