//! Every read, with expiry and membership applied. The broker reads state through this and nothing else.
//!
//! An entry is visible if it is stored, not expired by its own record, not older than its conversation's present
//! retention, and within the reader's membership. Nothing here writes.

use crate::engine::{Direction, Engine, EngineError};
use crate::id::{ConversationId, DeviceId, Seq, Timestamp, UserId};
use crate::model::{Conversation, Cursor, Entry, Member, Role, Text};

/// Unread messages are counted up to here.
pub const UNREAD_MAX: u32 = 1000;

/// A conversation and the reader's membership in it: proof that the reader may see it.
#[derive(Clone, Debug)]
pub struct Access {
    /// Which.
    pub id: ConversationId,
    /// Its record.
    pub conversation: Conversation,
    /// Who reads.
    pub user: UserId,
    /// Their membership, active.
    pub member: Member,
}

/// A conversation as a member sees it in a list.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The conversation and the reader's membership.
    pub access: Access,
    /// The reader's watermarks.
    pub cursor: Cursor,
    /// Visible messages of others above the read watermark, up to [`UNREAD_MAX`].
    pub unread: u32,
    /// In a direct conversation, the other person's name.
    pub peer: Option<Text>,
}

/// One page of a listing that goes on after a key.
#[derive(Clone, Debug)]
pub struct Page<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page goes on; `None`: this was the last.
    pub next: Option<K>,
}

/// An entry at its place, with the sender's name.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its place.
    pub seq: Seq,
    /// The entry.
    pub entry: Entry,
    /// The sender's name.
    pub sender: Text,
    /// The name of everybody else that the body mentions (who deleted, who was added or removed), in its order.
    pub mentioned: Vec<Text>,
}

/// Consecutive visible entries.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The entries, in the direction of reading.
    pub entries: Vec<Placed>,
    /// Everything up to and including this place has been looked at, in the direction of reading.
    pub through: Seq,
    /// Whether there is more in that direction.
    pub more: bool,
}

/// A recipient of a message and what they did with it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: Text,
    /// When a device of theirs had it.
    pub delivered: Option<Timestamp>,
    /// When they had read it.
    pub read: Option<Timestamp>,
}

/// A member as a listing shows them.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: Text,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined: Timestamp,
}

/// Reads state as of one instant.
#[derive(Clone, Copy)]
pub struct View<'a> {
    engine: &'a dyn Engine,
    now: Timestamp,
}

impl<'a> View<'a> {
    /// Reads `engine` as of `now`.
    pub fn new(engine: &'a dyn Engine, now: Timestamp) -> Self {
        Self { engine, now }
    }

    /// Finds a conversation for a reader; `None` if it does not exist or they are no active member.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn access(&self, user: UserId, conversation: ConversationId) -> Result<Option<Access>, EngineError> {
        todo!()
    }

    /// The ids of the conversations that a user is a member of, ascending, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn memberships(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Page<ConversationId, ConversationId>, EngineError> {
        todo!()
    }

    /// Where a device goes on in a conversation: deliver what lies above this.
    ///
    /// Its own acknowledged place, if it has one. Otherwise it is owed all that nobody received yet, and all that
    /// was published since it was registered.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn device_position(&self, access: &Access, device: DeviceId) -> Result<Seq, EngineError> {
        todo!()
    }

    /// What a list shows of a conversation.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn summary(&self, access: Access) -> Result<Summary, EngineError> {
        todo!()
    }

    /// Active members by id, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Page<Listed, UserId>, EngineError> {
        todo!()
    }

    /// Visible entries beyond `from` in `direction` (for backward, `Seq::MAX` starts at the head), at most `limit`
    /// and, after the first, at most `payload_bytes_max` bytes of payload.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn entries(
        &self,
        access: &Access,
        from: Seq,
        direction: Direction,
        limit: usize,
        payload_bytes_max: usize,
    ) -> Result<Chunk, EngineError> {
        todo!()
    }

    /// The recipients of a visible message, by id, after `after`, at most `limit`; `None` if the message is not
    /// visible to the reader.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn recipients(
        &self,
        access: &Access,
        seq: Seq,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Option<Page<Recipient, UserId>>, EngineError> {
        todo!()
    }
}
