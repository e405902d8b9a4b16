//! The pure, deterministic core: what a submission changes, and what comes of it.
//!
//! [`apply`] reads state, takes one [`Submission`] with the time that the log gave it, and gives a
//! verdict, changes and events. It has no clock, no randomness, no I/O of its own and no
//! configuration: the operator's bounds are a record of the state, the machine's own are constants
//! (`REEXPIRE_MAX`, `SEEN_EVERY`, `HEARD_FOR`) and part of its version. So the same groups in the
//! same order give the same state, on every replica and in every engine. A rejection changes
//! nothing.
//!
//! Access comes first: for somebody who is no active member, a conversation does not exist; but its
//! tenant's administrator may name its admins. A right is looked up when it is used, where it was
//! given. Times never go back, and expiry is judged at them. Determinism needs one thing of the
//! engine's keeper: nothing may be reclaimed as of a time that the log has not reached.

mod care;
mod conversation;
mod encounter;
mod patient;
mod publish;
mod receipt;
mod retention;
mod revocation;
mod role;
mod store;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::command::{Actor, Command, Event, Outcome, Rejection, Submission, Verdict};
use crate::engine::{Direction, EngineError, Mutation, Table};
use crate::id::{ConversationId, Seq, Timestamp, UserId};
use crate::key;
use crate::model::{Body, Conversation, Cursor, Entry, Member, Notice, Policy};
use crate::record::{EntryHeader, Record};
use crate::retention::{Keeping, Retentions, Rules};
use crate::scan;
use crate::state::{State, record, rules};

/// One change of state. Of several to one record the last holds.
#[derive(Clone, Debug)]
pub enum Change {
    /// Writes a conversation.
    Conversation(ConversationId, Conversation),
    /// Writes a membership.
    Member(ConversationId, UserId, Member),
    /// Writes somebody's watermarks.
    Cursor(ConversationId, UserId, Cursor),
    /// Writes the policy.
    Policy(Policy),
    /// Writes the floors, defaults and ceilings of retention.
    Retentions(Arc<Retentions>),
    /// Changes a record of another table.
    Record(Mutation),
}

/// What submissions come to, beside their verdicts. Filled by [`apply`], emptied by its caller,
/// used again and again.
#[derive(Debug)]
pub struct Effects {
    /// For the state, in order.
    pub changes: Vec<Change>,
    /// For others, in order.
    pub events: Vec<Event>,
    /// Where the bytes of records are put together: records of a group lie side by side.
    buffer: BytesMut,
}

impl Default for Effects {
    fn default() -> Self {
        Self { changes: Vec::new(), events: Vec::new(), buffer: BytesMut::with_capacity(BUFFER_BYTES) }
    }
}

/// Memory for the bytes of records, set aside at a time.
const BUFFER_BYTES: usize = 64 * 1024;

impl Effects {
    /// Puts a record together.
    fn record<R: Record>(&mut self, key: &[u8], record: &R) -> (Bytes, Bytes) {
        self.buffer.extend_from_slice(key);
        record.encode_into(&mut self.buffer);
        let mut key_bytes = self.buffer.split().freeze();
        let value = key_bytes.split_off(key.len());
        (key_bytes, value)
    }
}

/// Decides what a submission changes at a time, given the state that all before it have left. A
/// rejection adds nothing to the effects.
///
/// # Errors
/// [`EngineError`] if the state could not be read. Nothing is decided then.
pub fn apply(
    state: &dyn State,
    now: Timestamp,
    submission: &Submission,
    effects: &mut Effects,
) -> Result<Verdict, EngineError> {
    let before = (effects.changes.len(), effects.events.len());
    let mut step = Step { state, now, actor: &submission.actor, effects };
    let outcome = match &submission.command {
        Command::Create(create) => step.create(create),
        Command::AddMembers { conversation, people, role, share_history } => {
            step.add_members(*conversation, people, *role, *share_history)
        }
        Command::RemoveMember { conversation, user } => step.remove_member(*conversation, *user),
        Command::SetRole { conversation, user, role } => step.set_role(*conversation, *user, *role),
        Command::Rename { conversation, title } => step.rename(*conversation, title),
        Command::SetRetention { conversation, retention } => step.set_retention(*conversation, *retention),
        Command::Publish(publish) => step.publish(publish),
        Command::Acknowledge(acknowledge) => step.acknowledge(acknowledge),
        Command::DeleteMessage { conversation, seq } => step.delete_message(*conversation, *seq),
        Command::RegisterDevice => step.register_device(),
        Command::Reexpire { conversation } => step.reexpire(*conversation),
        Command::Found { secret } => step.found(*secret),
        Command::SetPolicy(policy) => step.set_policy(*policy),
        Command::SetRetentions(retentions) => step.set_retentions(retentions),
        Command::Tick => Ok(Outcome::Noted),
        Command::Revoke { subject, name, through } => step.revoke(subject, name, *through),
        Command::Lift { subject } => step.lift(subject),
        Command::Encounter(event) => step.encounter_event(event),
        Command::Patient(event) => step.patient_event(event),
        Command::Merge(merge) => step.merge(merge),
        Command::Staff(event) => step.staff_event(event),
        Command::Regroup { of } => step.regroup(*of),
    };
    match outcome {
        Ok(outcome) => Ok(Ok(outcome)),
        Err(stop) => {
            effects.changes.truncate(before.0);
            effects.events.truncate(before.1);
            match stop {
                Stop::Rejected(rejection) => Ok(Err(rejection)),
                Stop::Failed(error) => Err(error),
            }
        }
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

/// One submission on its way. What it writes is dropped by a rejection.
struct Step<'a> {
    state: &'a dyn State,
    /// The time that the log gave it.
    now: Timestamp,
    actor: &'a Actor,
    effects: &'a mut Effects,
}

/// A conversation that the actor is an active member of, with what the operator says of it. Without
/// a member: one that they may change, be they in it or not.
struct Scene<M = Member> {
    id: ConversationId,
    conversation: Conversation,
    member: M,
    policy: Policy,
    keeping: Keeping,
}

impl<M> Scene<M> {
    /// The key of an entry here.
    fn message(&self, seq: Seq) -> [u8; key::MESSAGE_BYTES] {
        key::message(self.id, seq)
    }
}

impl Step<'_> {
    fn record<R: Record>(&self, table: Table, key: &[u8]) -> Result<Option<R>, EngineError> {
        record(self.state, table, key, self.now)
    }

    fn policy(&self) -> Result<Policy, Stop> {
        self.state.policy()?.ok_or(Stop::Rejected(Rejection::NoPolicy))
    }

    fn rules(&self) -> Result<Rules, Stop> {
        rules(self.state)?.ok_or(Stop::Rejected(Rejection::NoPolicy))
    }

    fn tell(&mut self, event: Event) {
        self.effects.events.push(event);
    }

    /// The way in: the conversation, if the actor is an active member.
    fn enter(&self, id: ConversationId) -> Result<Scene, Stop> {
        let Some(conversation) = self.state.conversation(id)? else {
            return Err(Rejection::NotFound.into());
        };
        match self.state.member(id, self.actor.user)? {
            Some(member) if member.is_active() && conversation.tenant == self.actor.tenant => {
                self.scene(id, conversation, member)
            }
            _ => Err(Rejection::NotFound.into()),
        }
    }

    fn scene<M>(&self, id: ConversationId, conversation: Conversation, member: M) -> Result<Scene<M>, Stop> {
        let rules = self.rules()?;
        let keeping = rules.keeping(conversation.tenant, conversation.kind);
        Ok(Scene { id, conversation, member, policy: rules.policy, keeping })
    }

    /// An entry, if it is there, the actor may see it, and its time has not come. Its expiry is the
    /// true one.
    fn entry(&self, scene: &Scene, seq: Seq) -> Result<Option<Entry>, EngineError> {
        let Some((bytes, expires)) = self.visible(scene, seq)? else { return Ok(None) };
        Ok(Some(Entry { expires, ..Entry::decode(&bytes)? }))
    }

    /// The same, undecoded, with its true expiry.
    fn visible(&self, scene: &Scene, seq: Seq) -> Result<Option<(Bytes, Timestamp)>, EngineError> {
        if !scene.member.sees(seq) {
            return Ok(None);
        }
        let Some(bytes) = self.state.get(Table::Message, &scene.message(seq), self.now)? else {
            return Ok(None);
        };
        let header = EntryHeader::decode(&bytes)?;
        let expires = scene.conversation.expiry(seq, header.time, header.expires, header.is_notice);
        Ok((self.now < expires).then_some((bytes, expires)))
    }

    /// What an entry begins with, whether it is an urgent message, and its true expiry; under the
    /// same conditions. It is looked at where it lies, so that a long payload costs nothing.
    fn header(&self, scene: &Scene, seq: Seq) -> Result<Option<(EntryHeader, bool, Timestamp)>, EngineError> {
        if !scene.member.sees(seq) {
            return Ok(None);
        }
        let mut found = None;
        let this = key::messages(scene.id, seq, seq);
        scan::each(self.state, Table::Message, &this, Direction::Forward, self.now, |_, value| {
            found = Some(EntryHeader::decode_urgency(value)?);
            Ok(ControlFlow::Break(()))
        })?;
        let with_expiry = found.map(|(header, is_urgent)| {
            let expires = scene.conversation.expiry(seq, header.time, header.expires, header.is_notice);
            (header, is_urgent, expires)
        });
        Ok(with_expiry.filter(|(.., expires)| self.now < *expires))
    }

    /// Writes a record that does not expire.
    fn put<R: Record>(&mut self, table: Table, key: &[u8], record: &R) {
        self.put_until(table, key, record, Timestamp::NEVER);
    }

    fn put_until<R: Record>(&mut self, table: Table, key: &[u8], record: &R, expires: Timestamp) {
        let (key, value) = self.effects.record(key, record);
        self.change(Mutation::Put { table, key, value, expires });
    }

    /// Writes a record under a key that has none.
    fn insert_until<R: Record>(&mut self, table: Table, key: &[u8], record: &R, expires: Timestamp) {
        let (key, value) = self.effects.record(key, record);
        self.change(Mutation::Insert { table, key, value, expires });
    }

    fn put_conversation(&mut self, id: ConversationId, conversation: Conversation) {
        self.effects.changes.push(Change::Conversation(id, conversation));
    }

    fn put_member(&mut self, id: ConversationId, user: UserId, member: Member) {
        self.effects.changes.push(Change::Member(id, user, member));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.change(Mutation::Delete { table, key: Bytes::copy_from_slice(key) });
    }

    fn change(&mut self, mutation: Mutation) {
        self.effects.changes.push(Change::Record(mutation));
    }

    /// Appends an entry by the actor and writes the conversation. The last thing that a step does
    /// with it.
    fn append<M>(&mut self, scene: &mut Scene<M>, expires: Timestamp, body: Body) -> Seq {
        let seq = scene.conversation.head.next();
        scene.conversation.head = seq;
        scene.conversation.last_activity = self.now;
        let entry = Arc::new(Entry { sender: self.actor.user, time: self.now, expires, body });
        self.insert_until(Table::Message, &scene.message(seq), &*entry, expires);
        self.put_conversation(scene.id, scene.conversation.clone());
        let sender = self.actor.name.clone();
        self.tell(Event::Appended { conversation: scene.id, seq, entry, sender });
        seq
    }

    /// Appends a notice. It outlives what it tells of: it is kept for as long as any message could
    /// be here, whatever the conversation says.
    fn notify<M>(&mut self, scene: &mut Scene<M>, notice: Notice) -> Outcome {
        let expires = self.now.after(scene.keeping.max);
        self.notify_until(scene, notice, expires)
    }

    fn notify_until<M>(&mut self, scene: &mut Scene<M>, notice: Notice, expires: Timestamp) -> Outcome {
        Outcome::Changed(Some(self.append(scene, expires, Body::Notice(notice))))
    }

    /// When something that is published now is gone, by the operator's rules and the conversation's
    /// retention.
    fn expiry(&self, scene: &Scene) -> Timestamp {
        self.now.after(scene.keeping.kept(scene.conversation.retention))
    }
}
