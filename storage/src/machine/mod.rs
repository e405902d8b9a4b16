//! The pure, deterministic core: what a submission changes, and what comes of it.
//!
//! [`apply`] reads state, takes one [`Submission`] with its time and policy, and returns a verdict, mutations and
//! events. It has no clock, no randomness, no I/O of its own and no configuration: the same submissions in the
//! same order give the same state, on every replica and in every grouping. A rejection changes nothing.
//!
//! Access comes first: for somebody who is no active member, a conversation does not exist. Time within a
//! conversation never goes back: a submission's time is raised to the conversation's last activity, and expiry is
//! judged at that time. Determinism needs one thing of the engine's keeper: nothing may be reclaimed as of a time
//! that a submission still to be applied has not reached.

mod conversation;
mod publish;
mod receipt;
mod retention;

use std::sync::Arc;

use bytes::Bytes;

use crate::command::{Command, Event, Outcome, Rejection, Submission, Verdict};
use crate::engine::{Direction, Engine, EngineError, KeyRange, Mutation, Table, Visit};
use crate::id::{ConversationId, Seq, Timestamp, UserId};
use crate::key;
use crate::model::{Body, Conversation, Entry, Member, Notice, Role};
use crate::record::{EntryHeader, Record};

/// What the machine reads from: an engine, or changes over one.
pub trait State {
    /// Reads one record, unless it is deleted or expired at `now`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError>;

    /// Visits the records of a range in order, as [`Engine::scan`] does.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError>;
}

impl<E: Engine + ?Sized> State for E {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        Engine::get(self, table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        Engine::scan(self, table, range, direction, now, visit)
    }
}

/// What a submission comes to.
#[derive(Debug)]
pub struct Applied {
    /// For its author.
    pub verdict: Verdict,
    /// For the engine; of several changes to one key the last holds. Empty after a rejection.
    pub mutations: Vec<Mutation>,
    /// For others, in order. Empty after a rejection.
    pub events: Vec<Event>,
}

/// Decides what a submission changes, given the state that all before it have left.
///
/// # Errors
/// [`EngineError`] if the state could not be read. Nothing is decided then.
pub fn apply(state: &dyn State, submission: &Submission) -> Result<Applied, EngineError> {
    let mut step = Step { state, submission, mutations: Vec::new(), events: Vec::new() };
    let outcome = match &submission.command {
        Command::Create(create) => step.create(create),
        Command::AddMembers { conversation, people, role, share_history } => {
            step.add_members(*conversation, people, *role, *share_history)
        }
        Command::RemoveMember { conversation, user } => step.remove_member(*conversation, *user),
        Command::Rename { conversation, title } => step.rename(*conversation, title),
        Command::SetRetention { conversation, retention } => step.set_retention(*conversation, *retention),
        Command::Publish(publish) => step.publish(publish),
        Command::Acknowledge(acknowledge) => step.acknowledge(acknowledge),
        Command::DeleteMessage { conversation, seq } => step.delete_message(*conversation, *seq),
        Command::RegisterDevice => step.register_device(),
        Command::Reexpire { conversation } => step.reexpire(*conversation),
    };
    match outcome {
        Ok(outcome) => Ok(Applied { verdict: Ok(outcome), mutations: step.mutations, events: step.events }),
        Err(Stop::Rejected(rejection)) => {
            Ok(Applied { verdict: Err(rejection), mutations: Vec::new(), events: Vec::new() })
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Why a step ends without an outcome.
enum Stop {
    Rejected(Rejection),
    Failed(EngineError),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

type Stepped = Result<Outcome, Stop>;

/// One submission on its way. Writes gather here and are dropped by a rejection.
struct Step<'a> {
    state: &'a dyn State,
    submission: &'a Submission,
    mutations: Vec<Mutation>,
    events: Vec<Event>,
}

/// A conversation that the actor is an active member of, with the time that holds in it.
struct Scene {
    id: ConversationId,
    conversation: Conversation,
    member: Member,
    now: Timestamp,
}

impl Scene {
    fn is_admin(&self) -> bool {
        self.member.role == Role::Admin
    }

    /// The key of an entry here.
    fn message(&self, seq: Seq) -> [u8; key::MESSAGE_BYTES] {
        key::message(self.id, seq)
    }
}

impl Step<'_> {
    fn actor(&self) -> UserId {
        self.submission.actor.user
    }

    fn record<R: Record>(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<R>, EngineError> {
        self.state.get(table, key, now)?.map(|bytes| R::decode(&bytes)).transpose()
    }

    /// The way in: the conversation, if the actor is an active member.
    fn enter(&self, id: ConversationId) -> Result<Scene, Stop> {
        let Some(conversation) = self.conversation(id)? else {
            return Err(Rejection::NotFound.into());
        };
        let now = self.submission.time.max(conversation.last_activity);
        match self.member(id, self.actor())? {
            Some(member) if member.is_active() && conversation.tenant == self.submission.actor.tenant => {
                Ok(Scene { id, conversation, member, now })
            }
            _ => Err(Rejection::NotFound.into()),
        }
    }

    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, EngineError> {
        // These tables do not expire, so any time does.
        self.record(Table::Conversation, &key::conversation(id), self.submission.time)
    }

    fn member(&self, id: ConversationId, user: UserId) -> Result<Option<Member>, EngineError> {
        self.record(Table::Member, &key::member(id, user), self.submission.time)
    }

    /// An entry, if it is there, the actor may see it, and its time has not come. Its expiry is the true one.
    fn entry(&self, scene: &Scene, seq: Seq) -> Result<Option<Entry>, EngineError> {
        let Some((bytes, expires)) = self.visible(scene, seq)? else { return Ok(None) };
        Ok(Some(Entry { expires, ..Entry::decode(&bytes)? }))
    }

    /// The same, undecoded, with its true expiry.
    fn visible(&self, scene: &Scene, seq: Seq) -> Result<Option<(Bytes, Timestamp)>, EngineError> {
        if !scene.member.sees(seq) {
            return Ok(None);
        }
        let Some(bytes) = self.state.get(Table::Message, &scene.message(seq), scene.now)? else {
            return Ok(None);
        };
        let header = EntryHeader::decode(&bytes)?;
        let expires = scene.conversation.expiry(seq, header.time, header.expires);
        Ok((scene.now < expires).then_some((bytes, expires)))
    }

    /// Writes a record that does not expire.
    fn put<R: Record>(&mut self, table: Table, key: &[u8], record: &R) {
        self.put_until(table, key, record, Timestamp::NEVER);
    }

    fn put_until<R: Record>(&mut self, table: Table, key: &[u8], record: &R, expires: Timestamp) {
        let key = Bytes::copy_from_slice(key);
        self.mutations.push(Mutation::Put { table, key, value: record.encode(), expires });
    }

    /// Writes a record under a key that has none.
    fn insert_until<R: Record>(&mut self, table: Table, key: &[u8], record: &R, expires: Timestamp) {
        let key = Bytes::copy_from_slice(key);
        self.mutations.push(Mutation::Insert { table, key, value: record.encode(), expires });
    }

    fn put_member(&mut self, id: ConversationId, user: UserId, member: &Member) {
        self.put(Table::Member, &key::member(id, user), member);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.mutations.push(Mutation::Delete { table, key: Bytes::copy_from_slice(key) });
    }

    /// Appends an entry by the actor and writes the conversation. The last thing that a step does with it.
    fn append(&mut self, scene: &mut Scene, expires: Timestamp, body: Body) -> Seq {
        let seq = scene.conversation.head.next();
        scene.conversation.head = seq;
        scene.conversation.last_activity = scene.now;
        let entry = Arc::new(Entry { sender: self.actor(), time: scene.now, expires, body });
        self.insert_until(Table::Message, &scene.message(seq), &*entry, expires);
        self.put(Table::Conversation, &key::conversation(scene.id), &scene.conversation);
        let sender = self.submission.actor.name.clone();
        self.events.push(Event::Appended { conversation: scene.id, seq, entry, sender });
        seq
    }

    /// Appends a notice, which is kept as long as a message would be.
    fn notify(&mut self, scene: &mut Scene, notice: Notice) -> Outcome {
        let expires = self.expiry(scene);
        Outcome::Changed(Some(self.append(scene, expires, Body::Notice(notice))))
    }

    /// When something that is published now is gone, by the broker's maximum and the conversation's retention.
    fn expiry(&self, scene: &Scene) -> Timestamp {
        let retention_max = self.submission.policy.retention_max;
        let kept = scene.conversation.retention.unwrap_or(retention_max).min(retention_max);
        scene.now.after(kept)
    }
}
