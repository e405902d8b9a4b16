//! What delivery reads of the store: what a device follows, from where on, and what it has
//! missed.
//!
//! Run on blocking threads. A conversation is attached to before its head is read, and membership
//! is checked again after, so that nothing is missed and all up to that head may be seen.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use wardline_storage::engine::{Direction, EngineError};
use wardline_storage::id::{ConversationId, DeviceId, Seq, Timestamp, UserId};
use wardline_storage::view::Summary;

use super::receipts::Version;
use super::topic::{Attachment, Topics};
use crate::presence::bell::{Bell, Slot, Subscription};
use crate::requests::reads::Reads;
use crate::wire;

/// Most entries in a chunk.
const CHUNK_ENTRIES_MAX: usize = 256;
/// Conversations looked up at a time when a session begins.
pub(super) const PAGE_CONVERSATIONS: usize = 256;

/// Whose delivery it is.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) bell: Arc<Bell>,
}

/// A conversation that is followed from now on.
pub(super) struct Followed {
    pub(super) attachment: Attachment,
    pub(super) slot: Slot,
    /// Deliver what lies above.
    pub(super) cursor: Seq,
    /// How far it had got; all up to here may be seen.
    pub(super) head: Seq,
}

/// The session's tie to a conversation that it follows.
pub(super) struct Tie {
    pub(super) attachment: Attachment,
    /// How far it had got when the session attached.
    head: Seq,
    /// Receipts up to here are delivered.
    pub(super) receipts: Version,
}

impl From<Followed> for Tie {
    fn from(followed: Followed) -> Self {
        let Followed { attachment, head, .. } = followed;
        Self { receipts: attachment.attached_at(), attachment, head }
    }
}

impl Tie {
    /// What the device, which has everything up to `after`, has not got yet. `None`: nothing, or
    /// its user left.
    pub(super) fn gap(&self, slot: Slot, after: Seq) -> Option<Gap> {
        let (topic, conversation) = (self.attachment.topic(), self.attachment.conversation());
        let up_to = topic.head(self.attachment.subscription())?.max(self.head);
        let withdrawals = topic.withdrawals();
        (up_to > after).then_some(Gap { conversation, slot, after, up_to, withdrawals })
    }
}

/// One page of the conversations that a session begins with.
pub(super) struct Batch {
    pub(super) followed: Vec<Followed>,
    /// Where the next page goes on.
    pub(super) next: Option<ConversationId>,
}

/// What a device has not got yet of a conversation that it follows.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    pub(super) conversation: ConversationId,
    pub(super) slot: Slot,
    /// It has everything up to here.
    pub(super) after: Seq,
    /// The last that is missing.
    pub(super) up_to: Seq,
    /// How often the topic had withdrawn entries when the gap was looked at.
    pub(super) withdrawals: u64,
}

/// Consecutive entries of one conversation, encoded.
pub(super) struct Chunk {
    pub(super) slot: Slot,
    pub(super) bytes: BytesMut,
    pub(super) frames: u64,
    /// Everything up to here is in it, or is not for this device.
    pub(super) through: Seq,
    pub(super) more: bool,
    /// From when on it must not be sent as it is.
    pub(super) expires: Timestamp,
    /// Nor if the topic has withdrawn entries since: [`Gap::withdrawals`].
    pub(super) withdrawals: u64,
}

/// Follows the conversations after `after`; slots are numbered from `first`.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn follow_page(
    reads: &Reads,
    topics: &Arc<Topics>,
    follower: &Follower,
    after: Option<ConversationId>,
    first: Slot,
    resume: &HashMap<ConversationId, Seq>,
) -> Result<Batch, EngineError> {
    let view = reads.view();
    let page = view.memberships(follower.user, after, PAGE_CONVERSATIONS)?;
    let mut followed = Vec::with_capacity(page.items.len());
    for (index, conversation) in page.items.into_iter().enumerate() {
        let slot = Slot(first.0 + index as u64);
        let resume = resume.get(&conversation).copied();
        followed.extend(follow(reads, topics, follower, conversation, slot, resume)?);
    }
    Ok(Batch { followed, next: page.next })
}

/// Follows one conversation; `None` if the user is no member. `resume`: where the device says that
/// it stands.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn follow(
    reads: &Reads,
    topics: &Arc<Topics>,
    follower: &Follower,
    conversation: ConversationId,
    slot: Slot,
    resume: Option<Seq>,
) -> Result<Option<Followed>, EngineError> {
    let subscription = Arc::new(Subscription::new(follower.user, slot, Arc::clone(&follower.bell)));
    let attachment = topics.attach(conversation, subscription);
    let place = place(reads, follower, conversation, resume, &attachment)?;
    Ok(place.map(|(cursor, head)| Followed { attachment, slot, cursor, head }))
}

fn place(
    reads: &Reads,
    follower: &Follower,
    conversation: ConversationId,
    resume: Option<Seq>,
    attachment: &Attachment,
) -> Result<Option<(Seq, Seq)>, EngineError> {
    let view = reads.view();
    let Some(access) = view.access(follower.user, conversation)? else { return Ok(None) };
    let position = match resume {
        Some(position) => position,
        None => view.device_position(&access, follower.device)?,
    };
    // Still a member after the head was read: so what is up to that head was theirs to see.
    let Some(again) = view.access(follower.user, conversation)? else { return Ok(None) };
    if access.member.has_published || again.member.has_published {
        attachment.set_publishes();
    }
    let head = access.conversation.head;
    let cursor = position.max(again.member.visible_from.previous()).min(head);
    Ok(Some((cursor, head)))
}

/// Reads a conversation as its member sees it; `None` if the user is no member.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn summary(
    reads: &Reads,
    user: UserId,
    conversation: ConversationId,
) -> Result<Option<Summary>, EngineError> {
    let view = reads.view();
    view.access(user, conversation)?.map(|access| view.summary(access)).transpose()
}

/// Reads what lies in a gap, as far as one chunk holds.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn read_chunk(
    reads: &Reads,
    user: UserId,
    gap: Gap,
    bytes_max: usize,
) -> Result<Chunk, EngineError> {
    let Gap { conversation, slot, after, up_to, withdrawals } = gap;
    let view = reads.view();
    let mut chunk = Chunk {
        slot,
        bytes: BytesMut::new(),
        frames: 0,
        through: up_to,
        more: false,
        expires: Timestamp::NEVER,
        withdrawals,
    };
    let Some(access) = view.access(user, conversation)? else { return Ok(chunk) };
    let read = view.entries(&access, after, Direction::Forward, CHUNK_ENTRIES_MAX, bytes_max)?;
    if read.more && read.through < up_to {
        (chunk.through, chunk.more) = (read.through, true);
    }
    for placed in read.entries.iter().filter(|placed| placed.seq <= up_to) {
        chunk.expires = chunk.expires.min(placed.entry.expires);
        chunk.frames += 1;
        wire::entry(
            conversation,
            placed.seq,
            &placed.entry,
            &placed.sender,
            &placed.mentioned,
            &mut chunk.bytes,
        );
    }
    Ok(chunk)
}
