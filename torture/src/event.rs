//! What happens in a trial, as the oracle hears it.
//!
//! Owns the words, no meaning. Every operation is invoked, and then acknowledged, refused, or
//! unknown: nobody will ever hear its answer. Times are Unix milliseconds; clients and broker run
//! on one machine, so they have one clock.

use std::fmt;

use wardline_client::{ConversationId, DeviceId, MessageId, Sequence, TimeMs};

/// Somebody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(pub &'static str);

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How many events had been heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

/// One client of the SDK, from its beginning to its end: what it publishes keeps its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(pub u64);

/// A message as somebody finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place.
    pub sequence: Sequence,
    /// Who published it.
    pub sender: User,
    /// Its idempotency key.
    pub id: MessageId,
    /// Of its content.
    pub digest: u64,
    /// Whether it goes ahead of its turn.
    pub urgent: bool,
    /// When it was committed.
    pub time_ms: TimeMs,
    /// When it will be gone.
    pub expires_at_ms: TimeMs,
}

/// What stands in a conversation that is no message, as somebody finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// Its place.
    pub sequence: Sequence,
    /// What it says.
    pub told: Told,
    /// When it will be gone.
    pub expires_at_ms: TimeMs,
}

/// What is told of what was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Here stood a message that was deleted.
    Tombstone,
    /// That of this place was deleted.
    Deleted(Sequence),
    /// Messages are kept for so many milliseconds now.
    Kept(u64),
    /// Something else.
    Other,
}

/// What is taken from others: a control command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The message at this place is deleted.
    Delete(Sequence),
    /// Messages are kept for so many milliseconds from now on.
    Keep(u64),
}

/// One control command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId(pub u64);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// It is not allowed, or there is nothing to do.
    Forbidden,
    /// There was no room for it.
    Crowded,
    /// Nobody will ever hear.
    Unknown,
}

/// A conversation as somebody reads it, from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Who reads.
    pub reader: User,
    /// What.
    pub room: ConversationId,
    /// What had been heard before the first question was asked.
    pub since: Index,
    /// Before the first question.
    pub began_ms: TimeMs,
    /// After the last answer.
    pub ended_ms: TimeMs,
    /// The highest place given out, asked for before the messages were.
    pub head: Sequence,
    /// The messages, in the order in which they came.
    pub entries: Vec<Found>,
    /// What stands between them.
    pub notices: Vec<Noticed>,
}

/// A recipient of a message: when a device had it, and when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub user: User,
    /// When a device of theirs had it.
    pub delivered_at_ms: Option<TimeMs>,
    /// When they had read it.
    pub read_at_ms: Option<TimeMs>,
}

/// What happens.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the variants' own lines say what their fields are
pub enum Event {
    /// A conversation was made, in which messages are kept so long.
    Opened { room: ConversationId, members: Vec<User>, retention_ms: u64 },
    /// From now on things are taken from others in a conversation, where the operator's floor is
    /// this.
    Governed { room: ConversationId, floor_ms: u64 },
    /// Somebody is about to take something from others.
    ControlAsked { id: ControlId, room: ConversationId, control: Control },
    /// And what came of it.
    ControlAnswered { id: ControlId, answer: Answer },
    /// How long messages are kept, as a member's list shows it.
    KeptRead { room: ConversationId, since: Index, kept_ms: u64 },
    /// Access was taken back from somebody; `None`: it is not known whether it was, or given back.
    Revoked { user: User, is_revoked: Option<bool> },
    /// Somebody was given a session; `since` is what had been heard when it was asked for.
    LetIn { user: User, since: Index },
    /// A message is about to be published for the first time.
    Invoked {
        id: MessageId,
        room: ConversationId,
        sender: User,
        life: Life,
        digest: u64,
        urgent: bool,
        expires_in_ms: Option<u64>,
        at_ms: TimeMs,
    },
    /// A message was acknowledged, and as what it was taken.
    Acked { id: MessageId, sequence: Sequence, time_ms: TimeMs, urgent: bool },
    /// A message was refused for good.
    Refused { id: MessageId },
    /// Whoever published a message is gone: nobody sends it again, nobody hears its answer.
    Unknown { id: MessageId },
    /// The broker's process has ended, and with it everything that it had not made durable.
    Killed,
    /// Somebody read a whole conversation.
    Read(Reading),
    /// Somebody who is no member got an answer where a refusal was due.
    Leaked { to: User, room: ConversationId },
    /// A device begins to receive, perhaps again.
    Connected { device: DeviceId, at_ms: TimeMs },
    /// A device received a message.
    Delivered { device: DeviceId, room: ConversationId, at_ms: TimeMs, found: Found },
    /// A device received what is no message.
    Heard { device: DeviceId, room: ConversationId, at_ms: TimeMs, noticed: Noticed },
    /// Somebody is about to say how far they have read.
    MarkAsked { user: User, room: ConversationId, read: Sequence },
    /// The answer to that: the watermarks on record; `since` is what had been heard when it was
    /// asked.
    MarkAcked {
        user: User,
        room: ConversationId,
        since: Index,
        asked: Sequence,
        delivered: Sequence,
        read: Sequence,
    },
    /// Somebody's own watermarks, as they are listed.
    MarksRead { user: User, room: ConversationId, since: Index, delivered: Sequence, read: Sequence },
    /// Who received and read a message, and when.
    RecipientsRead { room: ConversationId, sequence: Sequence, since: Index, recipients: Vec<Recipient> },
}
