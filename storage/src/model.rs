//! What the store keeps, as types.
//!
//! How they become bytes is [`record`](crate::record)'s business; who may change them is
//! [`machine`](crate::machine)'s. `Debug` shows lengths instead of names and content.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::id::{ClientMessageId, DeviceId, EncounterId, KeyId, Seq, SignInId, TenantId, Timestamp, UserId};

/// Text about people: a name from a token, or a title. Shown as its length in `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// Wraps text; bounds are checked at the broker's edge.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// A person together with the name that their token gives them (`sub`), kept in values, never in
/// keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The opaque id, used in keys.
    pub user: UserId,
    /// The name in the token.
    pub name: Text,
}

/// Which kind of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exactly two people; nobody joins or leaves; both may set retention, and neither shortens
    /// what the other wrote below the tenant's default.
    Direct,
    /// Every member publishes.
    Group,
    /// Only publishers and admins publish.
    Broadcast,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads, acknowledges, publishes except in a broadcast.
    Member,
    /// Also publishes in a broadcast.
    Publisher,
    /// Also manages the conversation and deletes any message.
    Admin,
}

/// A conversation. One record; rewritten by every publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The tenant whose people are in it.
    pub tenant: TenantId,
    /// Which kind.
    pub kind: Kind,
    /// For people; empty in a direct conversation.
    pub title: Text,
    /// How long messages are kept, as far as the operator's
    /// [`Keeping`](crate::retention::Keeping) lets it; `None`: its default.
    pub retention: Option<Duration>,
    /// The highest sequence given out.
    pub head: Seq,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed; never goes back.
    pub last_activity: Timestamp,
    /// People who are members now.
    pub members: u32,
    /// Those of them who are admins. A group or broadcast may have none left.
    pub admins: u32,
    /// Shortenings of retention that are not yet written into the messages they hold for, both
    /// fields ascending. Empty but for the seconds that the rewriting takes; at most
    /// [`Conversation::SHORTENINGS_MAX`].
    pub shortenings: Vec<Shortening>,
    /// The encounter that it is about.
    pub context: Option<EncounterId>,
    /// Whether its members are those whom the record names for that encounter: nobody manages it.
    pub is_care: bool,
}

impl Conversation {
    /// Whether people are in it and none of them can manage it. The tenant's administrator can name
    /// somebody.
    pub fn is_without_admin(&self) -> bool {
        self.kind != Kind::Direct && !self.is_care && self.members > 0 && self.admins == 0
    }

    /// Most shortenings that may be in progress.
    pub const SHORTENINGS_MAX: usize = 8;

    /// When the entry at `seq`, published at `time`, is gone: by its record (`expires`), or earlier
    /// by a shortening that has not reached its record yet. It only ever moves earlier: lengthening
    /// adds no shortening and takes none away, so it cannot bring back what was to go. A notice is
    /// not shortened: it outlives what it tells of.
    pub fn expiry(&self, seq: Seq, time: Timestamp, expires: Timestamp, is_notice: bool) -> Timestamp {
        if is_notice {
            return expires;
        }
        // Retentions ascend with `through`, so the first that reaches the entry is the shortest
        // that does.
        let shortening = self.shortenings.iter().find(|shortening| seq <= shortening.through);
        shortening.map_or(expires, |shortening| expires.min(time.after(shortening.retention)))
    }
}

/// Retention was shortened to this for what was there then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortening {
    /// The head at that time: later entries were published under later rules.
    pub through: Seq,
    /// To what.
    pub retention: Duration,
}

/// Somebody's membership. Kept after they leave, so that receipts and names stay answerable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name in their token.
    pub name: Text,
    /// What they may do.
    pub role: Role,
    /// When they (last) became a member.
    pub joined: Timestamp,
    /// The first sequence that they may see.
    pub visible_from: Seq,
    /// The last sequence before they left; `None`: a member now.
    pub left_after: Option<Seq>,
    /// Whether they ever published here: receipts are pushed only to those.
    pub has_published: bool,
    /// Whether an admin, or the tenant's administrator, gave them their role. Who has it because
    /// they made the conversation holds it by their token: in a broadcast it counts only while that
    /// says so.
    pub granted: bool,
}

impl Member {
    /// Whether they are a member now.
    pub fn is_active(&self) -> bool {
        self.left_after.is_none()
    }

    /// Whether an entry was theirs to see when it was published.
    pub fn sees(&self, seq: Seq) -> bool {
        seq >= self.visible_from && self.left_after.is_none_or(|last| seq <= last)
    }
}

/// Which lane a message is delivered on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// In order.
    Routine,
    /// As soon as it is durable, and again in order.
    Urgent,
}

/// One entry of a conversation: the record of the `message` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who caused it.
    pub sender: UserId,
    /// The broker's time of it; never goes back within a conversation.
    pub time: Timestamp,
    /// When it is gone.
    pub expires: Timestamp,
    /// What it is.
    pub body: Body,
}

impl Entry {
    /// Whether it tells of a change.
    pub fn is_notice(&self) -> bool {
        matches!(self.body, Body::Notice(_))
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A message.
    Message(Message),
    /// A message whose content was deleted.
    Tombstone {
        /// Who deleted it.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// Something changed.
    Notice(Notice),
}

/// What somebody published.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The publisher's idempotency key.
    pub client_id: ClientMessageId,
    /// Media type, at most 128 bytes of printable ASCII.
    pub content_type: Text,
    /// Opaque to the broker.
    pub payload: Bytes,
    /// Which lane.
    pub priority: Priority,
    /// What it replies to.
    pub reply_to: Option<Seq>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("client_id", &self.client_id)
            .field("payload_bytes", &self.payload.len())
            .field("priority", &self.priority)
            .field("reply_to", &self.reply_to)
            .finish_non_exhaustive()
    }
}

/// Something that changed in a conversation, told to its members in sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The message with this sequence was deleted.
    Deleted(Seq),
    /// These became members, with this role.
    Added(Vec<UserId>, Role),
    /// This person left or was removed.
    Removed(UserId),
    /// A new title.
    Renamed(Text),
    /// Messages are kept so long now.
    Retention(Duration),
    /// This member has another role now.
    Role(UserId, Role),
    /// Nobody is admin any more. Comes after what made it so.
    NoAdmin,
    /// These are members no longer, since the record does not name them any more.
    Left(Vec<UserId>),
}

/// How far somebody is in a conversation. Never goes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The furthest of their devices.
    pub delivered: Seq,
    /// What they have read.
    pub read: Seq,
    /// Each device's own place, least recently advanced first. At most `Policy::devices_max`.
    pub devices: Vec<(DeviceId, Seq)>,
}

impl Cursor {
    /// The place of one device, if it ever acknowledged here.
    pub fn device(&self, device: DeviceId) -> Option<Seq> {
        self.devices.iter().find(|(id, _)| *id == device).map(|(_, seq)| *seq)
    }
}

/// What a receipt certifies, and how far it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReceiptKind {
    /// Received, everything up to the sequence.
    Delivered,
    /// Read, everything up to the sequence.
    Read,
    /// Received, this urgent message alone.
    DeliveredOnly,
    /// Read, this urgent message alone.
    ReadOnly,
}

/// The bounds that decide outcomes. A record of the state, since the machine has no configuration;
/// [`Command::SetPolicy`](crate::command::Command::SetPolicy) replaces it. Durations are whole
/// milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Longest time that a message is kept.
    pub retention_max: Duration,
    /// How long a client message id is remembered.
    pub dedupe_window: Duration,
    /// Most members of a conversation.
    pub members_max: u32,
    /// Most devices that are known of a user, and whose places are kept in a conversation; the one
    /// that was not seen, or did not advance, for longest gives way.
    pub devices_max: u32,
}

/// Whose access a revocation takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// That of everybody in a tenant.
    Tenant(TenantId),
    /// That of a user, on whatever device.
    User(UserId),
    /// That of a device, whoever uses it.
    Device(DeviceId),
    /// That of whoever has a token signed with a key.
    Key(KeyId),
    /// That of whoever signed in at an issuer, which has ended it.
    SignIn(SignInId),
}

/// That access was taken back, although the tokens for it are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When, by the log's time.
    pub made: Timestamp,
    /// Tokens that were issued up to then are refused; [`Timestamp::NEVER`]: all tokens are.
    pub through: Timestamp,
    /// What the operator called the subject.
    pub name: Text,
}

/// How far a store has come in the log. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many submissions are applied. A group that changed nothing takes no position.
    pub position: u64,
    /// The time of the last group.
    pub time: Timestamp,
}

/// The store's secret, under which ids are derived from names. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdSecret([u8; 32]);

impl IdSecret {
    /// Wraps 32 bytes that nobody can guess.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for IdSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSecret")
    }
}

/// What a client message id was answered with, remembered for the dedupe window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The message's place.
    pub seq: Seq,
    /// Its time.
    pub time: Timestamp,
}

/// A device of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// When it was first seen: it is owed what was published since, and what nobody received
    /// before.
    pub registered: Timestamp,
    /// When it last opened a session.
    pub last_seen: Timestamp,
}
