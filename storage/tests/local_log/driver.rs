//! A log on an engine whose commits the test holds, counts and breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use wardline_storage::command::{
    Acknowledge, Actor, Command, Create, Event, Outcome, Publish, Rights, Submission,
};
use wardline_storage::engine::{Durability, Engine, EngineError, Mutation, Table};
use wardline_storage::hooked::{CommitGate, Commits, HookedEngine};
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq, TenantId, Timestamp, UserId};
use wardline_storage::key;
use wardline_storage::local::LocalLog;
use wardline_storage::log::{
    Bounds, Clock, Completion, GroupStats, Log, Lost, Observer, Refused, Reply, Share,
};
use wardline_storage::model::{Kind, Policy, Priority, Text};
use wardline_storage::record::Record as _;

/// Longer than anything here takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A clock that the test sets.
pub(crate) struct SetClock(AtomicU64);

impl Default for SetClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_700_000_000_000))
    }
}

impl SetClock {
    pub(crate) fn set(&self, time: Timestamp) {
        self.0.store(time.0, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// What the observer was told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    groups: Vec<GroupStats>,
    events: Vec<Event>,
    failures: Vec<String>,
}

impl Told {
    pub(crate) fn groups(&self) -> Vec<GroupStats> {
        self.0.lock().groups.clone()
    }
    pub(crate) fn events(&self) -> usize {
        self.0.lock().events.len()
    }
    pub(crate) fn failures(&self) -> Vec<String> {
        self.0.lock().failures.clone()
    }
}

impl Observer for Told {
    fn committed(&mut self, group: GroupStats, events: Vec<Event>) {
        let mut told = self.0.lock();
        told.groups.push(group);
        told.events.extend(events);
    }
    fn failed(&mut self, error: &EngineError) {
        self.0.lock().failures.push(error.to_string());
    }
}

/// A log under test, with a conversation in it, and one session that talks to it.
pub(crate) struct Driver {
    pub(crate) engine: Arc<HookedEngine<CommitGate>>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) log: Arc<LocalLog>,
    pub(crate) told: Told,
    pub(crate) session: Session,
}

impl Driver {
    pub(crate) fn start(bounds: Bounds) -> Self {
        let engine = Arc::new(HookedEngine::new(CommitGate::default()));
        // Not through the gate: what is counted begins with the conversation.
        engine.below.commit(&[policy()], Durability::Synced).expect("memory does not fail");
        let (told, clock) = (Told::default(), Arc::new(SetClock::default()));
        let log = LocalLog::start(engine.clone(), clock.clone(), bounds, told.clone()).expect("starts");
        let log = Arc::new(log);
        let mut session = Session::new(&log);
        session.submit(create()).expect("taken in");
        assert!(matches!(session.outcome(), (0, Ok(Outcome::Created { existed: false, .. }))));
        eventually("the observer hears of the first group", || told.groups().len() == 1);
        Self { engine, clock, log, told, session }
    }

    /// Holds the next commit, and makes the committer stand in it with one routine message.
    /// Whatever is submitted then waits.
    pub(crate) fn hold(&mut self) {
        let entered = self.engine.hooks.entered();
        self.engine.hooks.set(Commits::Hold);
        self.session.submit(publish(Priority::Routine, 0)).expect("taken in");
        eventually("the committer commits", || self.engine.hooks.entered() > entered);
        assert_eq!(self.log.depth().commands, 0);
    }
}

/// Submits, and receives completions, as a session of the broker does. Tickets count up from 0.
pub(crate) struct Session {
    log: Arc<LocalLog>,
    sender: mpsc::Sender<Completion>,
    receiver: mpsc::Receiver<Completion>,
    tickets: u64,
}

impl Session {
    pub(crate) fn new(log: &Arc<LocalLog>) -> Self {
        let (sender, receiver) = mpsc::channel(10_000);
        Self { log: Arc::clone(log), sender, receiver, tickets: 0 }
    }

    pub(crate) fn submit(&mut self, submission: Submission) -> Result<(), Refused> {
        let seat = self.sender.clone().try_reserve_owned().expect("the window is wide enough");
        let ticket = self.tickets;
        self.log.submit(submission, Reply { ticket, seat }).map_err(|(refused, reply)| {
            assert_eq!(reply.ticket, ticket, "a refused reply comes back");
            refused
        })?;
        self.tickets += 1;
        Ok(())
    }

    pub(crate) fn try_completion(&mut self) -> Option<Completion> {
        self.receiver.try_recv().ok()
    }

    pub(crate) fn completion(&mut self) -> Completion {
        let mut found = None;
        eventually("a completion", || {
            found = self.try_completion();
            found.is_some()
        });
        found.expect("just found")
    }

    /// The next completion's ticket and outcome.
    pub(crate) fn outcome(&mut self) -> (u64, Result<Outcome, Lost>) {
        let Completion { ticket, verdict, .. } = self.completion();
        (ticket, verdict.map(|verdict| verdict.expect("the machine agrees")))
    }

    /// The next completion's ticket and the place of the message that it is about.
    pub(crate) fn published(&mut self) -> (u64, Seq) {
        match self.outcome() {
            (ticket, Ok(Outcome::Published { seq, .. })) => (ticket, seq),
            other => panic!("not published: {other:?}"),
        }
    }
}

/// Bounds that nothing here runs into unless it means to.
pub(crate) fn wide() -> Bounds {
    Bounds {
        waiting_commands_max: 8_000,
        waiting_bytes_max: 64 << 20,
        group_commands_max: 1_000,
        group_bytes_max: 8 << 20,
        group_records_max: 1_000,
        share: Share::ALL,
        receipts_wait: Duration::ZERO,
        close_timeout: PATIENCE,
    }
}

fn submission(command: Command) -> Submission {
    Submission {
        actor: Arc::new(Actor {
            tenant: TenantId::new([1; 16]),
            user: UserId::new([2; 16]),
            name: Text::new("a"),
            device: DeviceId::new([3; 16]),
            rights: Rights::default(),
        }),
        command,
    }
}

fn policy() -> Mutation {
    let policy = Policy {
        retention_max: Duration::from_secs(86_400),
        dedupe_window: Duration::from_secs(3_600),
        members_max: 100,
        devices_max: 10,
    };
    Mutation::Put {
        table: Table::Meta,
        key: Bytes::from_static(key::POLICY),
        value: policy.encode(),
        expires: Timestamp::NEVER,
    }
}

const CONVERSATION: ConversationId = ConversationId::new([4; 16]);

fn create() -> Submission {
    submission(Command::Create(Create {
        conversation: CONVERSATION,
        kind: Kind::Group,
        others: Vec::new(),
        title: Text::new(""),
        retention: None,
    }))
}

/// A message of so many bytes that is like no other.
pub(crate) fn publish(priority: Priority, payload_bytes: usize) -> Submission {
    submission(Command::Publish(Publish {
        conversation: CONVERSATION,
        client_id: ClientMessageId::new(rand::random()),
        content_type: Text::new("text/plain"),
        payload: vec![0; payload_bytes].into(),
        priority,
        reply_to: None,
        expires_in: None,
    }))
}

/// The same by somebody else, of this tenant, who is no member: what comes of it is no matter.
pub(crate) fn by(tenant: u8, user: u8, mut submission: Submission) -> Submission {
    let actor = Arc::make_mut(&mut submission.actor);
    (actor.tenant, actor.user) = (TenantId::new([tenant; 16]), UserId::new([user; 16]));
    submission
}

/// Takes something away, and touches one more record than others do.
pub(crate) fn delete() -> Submission {
    submission(Command::DeleteMessage { conversation: CONVERSATION, seq: Seq(1) })
}

/// Tells that everything so far was received.
pub(crate) fn receipt() -> Submission {
    submission(Command::Acknowledge(Acknowledge {
        conversation: CONVERSATION,
        delivered: Some(Seq(1)),
        read: None,
        delivered_only: Vec::new(),
        read_only: Vec::new(),
    }))
}
