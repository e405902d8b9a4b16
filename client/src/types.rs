//! What the application handles: plain types, without the wire's optional fields.
//!
//! `Debug` shows lengths instead of names and content.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::id::EncounterId;
pub use crate::id::{ConversationId, DeviceId, MessageId};
use crate::text::Text;

/// Place of an entry in its conversation, from 1.
pub type Sequence = u64;
/// Unix time in milliseconds, by the broker's clock.
pub type TimeMs = u64;

/// See `wardline.v1.ConversationKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two people.
    Direct,
    /// Everybody publishes.
    Group,
    /// Admins and publishers publish.
    Broadcast,
}

/// See `wardline.v1.MemberRole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads, and publishes except in a broadcast.
    Member,
    /// Also publishes in a broadcast.
    Publisher,
    /// Also manages.
    Admin,
}

/// See `wardline.v1.Priority`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// In order.
    #[default]
    Routine,
    /// Ahead of its turn.
    Urgent,
}

/// A message to publish.
#[derive(Clone)]
pub struct Outgoing {
    /// Where.
    pub conversation: ConversationId,
    /// Idempotency key; a fresh one from [`Outgoing::new`].
    pub id: MessageId,
    /// Media type.
    pub content_type: String,
    /// Opaque.
    pub payload: Bytes,
    /// How soon it is delivered.
    pub priority: Priority,
    /// What it replies to.
    pub reply_to: Option<Sequence>,
    /// Keep it at most so long.
    pub expires_in: Option<Duration>,
}

impl Outgoing {
    /// A routine message with a fresh id.
    pub fn new(
        conversation: ConversationId,
        content_type: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self {
            conversation,
            id: MessageId::fresh(),
            content_type: content_type.into(),
            payload: payload.into(),
            priority: Priority::Routine,
            reply_to: None,
            expires_in: None,
        }
    }

    /// A routine text message with a fresh id.
    pub fn text(conversation: ConversationId, text: impl Into<String>) -> Self {
        Self::new(conversation, "text/plain; charset=utf-8", text.into())
    }
}

/// The message is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Its number in the conversation.
    pub sequence: Sequence,
    /// The broker's time.
    pub time_ms: TimeMs,
    /// As what it was taken. An urgent message was taken as routine if its user had sent more
    /// urgent ones than they may.
    pub priority: Priority,
}

/// An entry of a conversation.
#[derive(Clone)]
pub struct Entry {
    /// Where.
    pub conversation: ConversationId,
    /// Its number in the conversation.
    pub sequence: Sequence,
    /// Who caused it.
    pub sender: Text,
    /// When.
    pub time_ms: TimeMs,
    /// When it will be gone.
    pub expires_at_ms: TimeMs,
    /// What it is.
    pub body: Body,
}

/// What an entry is.
#[derive(Clone)]
pub enum Body {
    /// A message.
    Message {
        /// The publisher's idempotency key.
        id: MessageId,
        /// Media type.
        content_type: Text,
        /// Content. It may share memory with what arrived beside it: an application that keeps a
        /// few of many for long copies those.
        payload: Bytes,
        /// How soon it was to be delivered.
        priority: Priority,
        /// What it replies to.
        reply_to: Option<Sequence>,
    },
    /// A deleted message.
    Tombstone {
        /// Who deleted it.
        by: String,
        /// When.
        at_ms: TimeMs,
    },
    /// Something changed.
    Notice(Notice),
}

/// Something changed in a conversation.
#[derive(Clone)]
pub enum Notice {
    /// This message was deleted.
    Deleted(Sequence),
    /// These became members.
    Added(Vec<String>, Role),
    /// This one is a member no longer.
    Removed(String),
    /// These are members no longer: the patient is not on their ward any more, or they are not in
    /// its care team.
    Left(Vec<String>),
    /// A new title.
    Renamed(String),
    /// Messages are kept so long now.
    Retention(Duration),
    /// This member has another role now.
    Role(String, Role),
    /// Nobody is admin any more: the tenant's administrator can name one.
    WithoutAdmin,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = match &self.body {
            Body::Message { payload, .. } => format!("Message({} bytes)", payload.len()),
            Body::Tombstone { .. } => "Tombstone".into(),
            Body::Notice(_) => "Notice".into(),
        };
        f.debug_struct("Entry")
            .field("conversation", &self.conversation)
            .field("sequence", &self.sequence)
            .field("time_ms", &self.time_ms)
            .field("body", &format_args!("{body}"))
            .finish_non_exhaustive()
    }
}

/// Which of the two a receipt certifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    /// A device of the recipient has it.
    Delivered,
    /// The recipient has read it.
    Read,
}

/// Somebody received or read what was published.
#[derive(Clone)]
pub struct Receipt {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: String,
    /// Which of the two.
    pub kind: ReceiptKind,
    /// Up to this, or this alone.
    pub sequence: Sequence,
    /// Whether it is about one urgent message alone.
    pub only: bool,
    /// When.
    pub time_ms: TimeMs,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("conversation", &self.conversation)
            .field("kind", &self.kind)
            .field("sequence", &self.sequence)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

/// A conversation as its member sees it; see `wardline.v1.Conversation`.
#[derive(Clone)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Which kind.
    pub kind: Kind,
    /// For people; empty if direct.
    pub title: String,
    /// In a direct conversation, the other person; otherwise empty.
    pub peer: String,
    /// How long messages are kept.
    pub retention: Duration,
    /// The highest sequence given out.
    pub head: Sequence,
    /// Unread messages of others, counted up to 1000.
    pub unread: u32,
    /// The user's delivered watermark.
    pub delivered_up_to: Sequence,
    /// The user's read watermark.
    pub read_up_to: Sequence,
    /// When something last happened.
    pub last_activity_ms: TimeMs,
    /// When it was made.
    pub created_at_ms: TimeMs,
    /// The user's role.
    pub role: Role,
    /// Nobody is admin any more: the tenant's administrator can name one.
    pub without_admin: bool,
    /// The encounter that it is about.
    pub context: Option<EncounterId>,
    /// Its members are those whom the patients' record names for that encounter.
    pub care: bool,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("head", &self.head)
            .field("unread", &self.unread)
            .finish_non_exhaustive()
    }
}

/// A conversation to create.
#[derive(Clone, Debug, Default)]
pub struct NewConversation {
    /// For people.
    pub title: String,
    /// The members beside the user.
    pub members: Vec<String>,
    /// How long messages are kept; `None`: the operator's default.
    pub retention: Option<Duration>,
}

/// A member of a conversation.
#[derive(Clone)]
pub struct Member {
    /// Who.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined_at_ms: TimeMs,
}

/// A recipient of a message.
#[derive(Clone)]
pub struct Recipient {
    /// Who.
    pub user: String,
    /// When a device of theirs had it.
    pub delivered_at_ms: Option<TimeMs>,
    /// When they had read it.
    pub read_at_ms: Option<TimeMs>,
}

/// One page of a listing.
#[derive(Clone)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Ask with it for the next page; `None`: this was the last.
    pub next: Option<Bytes>,
}

/// Which way history is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Older to newer.
    Forward,
    /// Newer to older.
    Backward,
}

/// One page of history.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// In the order of reading.
    pub entries: Vec<Entry>,
    /// Ask with it for the next page; `None`: no more.
    pub next_from: Option<Sequence>,
}

/// The user's watermarks in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The furthest of the user's devices.
    pub delivered_up_to: Sequence,
    /// What the user has read.
    pub read_up_to: Sequence,
}

/// Bounds that the broker holds the session to; see `wardline.v1.Limits`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the field comments of wardline.v1.Limits hold
pub struct Limits {
    pub frame_bytes_max: u32,
    pub payload_bytes_max: u32,
    pub page_entries_max: u32,
    pub lane_requests_max: u32,
    pub members_max: u32,
    pub resume_positions_max: u32,
    pub lanes_max: u32,
    pub retention_max: Duration,
    pub dedupe_window: Duration,
}

/// The session that is open now.
#[derive(Clone, Debug)]
pub struct Session {
    /// Stands in the broker's log.
    pub id: [u8; 16],
    /// Bounds in force.
    pub limits: Limits,
    /// When the token expires.
    pub token_expires_at_ms: TimeMs,
    /// The broker's version.
    pub broker_version: String,
    /// Where the broker has no place of this device, it delivers what was published since then; 0:
    /// it has not put the device on record.
    pub device_since_ms: TimeMs,
    /// The user has more devices than the broker keeps, and this one was not among them: it may
    /// have given way. What the broker has no place for comes again, since the time above.
    pub device_gave_way: bool,
    /// How many sessions this client opened before this one.
    pub generation: u64,
}

/// Whether there is a session.
#[derive(Clone, Debug)]
pub enum Status {
    /// Yes.
    Connected(Session),
    /// No; the next attempt is due in `next_in`.
    Reconnecting {
        /// How many attempts failed since the session was lost.
        attempt: u32,
        /// When the next one is due.
        next_in: Duration,
        /// Why, for people.
        why: String,
    },
    /// No, and there will be none: closed by the application, or refused for good.
    Closed {
        /// Why, for people.
        why: String,
    },
}

/// Which conversations are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// So many of those that there were when the session began.
    Some(u64),
    /// This one, which the user just joined.
    One(ConversationId),
}

/// Something that arrived.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// An entry. An urgent message comes once, as soon as it is there, ahead of its turn.
    Entry(Entry),
    /// Somebody received or read what the user published.
    Receipt(Receipt),
    /// The user became a member of this conversation.
    Joined(Conversation),
    /// The user is a member no longer.
    Left(ConversationId),
    /// Of these conversations of the user only urgent messages come, since they are more than a
    /// session follows; [`Client::history`](crate::Client::history) has the rest.
    NotFollowed(NotFollowed),
    /// The backlog that was waiting when the (first) session began has been delivered.
    CaughtUp,
}
