//! What delivery reads of the store: what a device follows, from where on, and what it has
//! missed.
//!
//! Run on blocking threads. A conversation is followed before its head is read, and membership
//! is checked again after, so that nothing is missed and all up to that head may be seen.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use wardline_storage::engine::{Direction, EngineError};
use wardline_storage::id::{ConversationId, DeviceId, Seq, TenantId, Timestamp, UserId};
use wardline_storage::view::{Summary, View};

use super::chunk::{Chunk, Gap};
use super::subscription::Subscription;
use super::topics::{Follow, Topics};
use crate::presence::bell::{Bell, Slot};
use crate::shares::principal::Principal;
use crate::wire;

/// Most entries in a chunk.
const CHUNK_ENTRIES_MAX: usize = 256;
/// Conversations looked up at a time when a session begins.
pub(super) const PAGE_CONVERSATIONS: usize = 64;

/// Whose delivery it is.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) bell: Arc<Bell>,
}

/// Which conversation is followed before which, if not all can be: an invitation must not take the
/// place of what somebody takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Whether they ever published or read anything there.
    takes_part: bool,
    /// Those who were members earlier go first.
    joined: Reverse<Timestamp>,
}

/// A conversation of the user, followed for now.
pub(super) struct Found {
    pub(super) follow: Follow,
    pub(super) rank: Rank,
    /// When something last happened there.
    pub(super) active: Timestamp,
}

impl Follower {
    /// Whose reads these are.
    pub(super) fn whose(&self) -> Principal {
        Principal::new(self.tenant, self.user)
    }
}

/// One page of the conversations of a user.
pub(super) struct Beginning {
    pub(super) found: Vec<Found>,
    /// Where the next page goes on.
    pub(super) next: Option<ConversationId>,
}

/// Follows the conversations after `after`; slots are numbered from `first`.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn follow_page(
    view: View<'_>,
    topics: &Arc<Topics>,
    follower: &Follower,
    after: Option<ConversationId>,
    first: Slot,
    resume: &HashMap<ConversationId, Seq>,
) -> Result<Beginning, EngineError> {
    let page = view.memberships(follower.user, after, PAGE_CONVERSATIONS)?;
    let mut found = Vec::with_capacity(page.items.len());
    for (index, conversation) in page.items.into_iter().enumerate() {
        let slot = Slot(first.0 + index as u64);
        let resume = resume.get(&conversation).copied();
        found.extend(follow(view, topics, follower, conversation, slot, resume)?);
    }
    Ok(Beginning { found, next: page.next })
}

/// Follows one conversation; `None` if the user is no member. `resume`: where the device says that
/// it stands.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn follow(
    view: View<'_>,
    topics: &Arc<Topics>,
    follower: &Follower,
    conversation: ConversationId,
    slot: Slot,
    resume: Option<Seq>,
) -> Result<Option<Found>, EngineError> {
    let subscription = Arc::new(Subscription::new(follower.user, slot, Arc::clone(&follower.bell)));
    let mut follow = topics.follow(conversation, subscription);
    let Some(access) = view.access(follower.user, conversation)? else { return Ok(None) };
    let standing = view.standing(&access, follower.device, resume)?;
    // Still a member after the head was read: so what is up to that head was theirs to see.
    let Some(again) = view.access(follower.user, conversation)? else { return Ok(None) };
    if access.member.has_published || again.member.has_published {
        follow.set_publishes();
    }
    let head = access.conversation.head;
    let cursor = standing.position.max(again.member.visible_from.previous()).min(head);
    follow.begin(cursor, head);
    let takes_part = again.member.has_published || standing.read > Seq::ZERO;
    let rank = Rank { takes_part, joined: Reverse(again.member.joined) };
    Ok(Some(Found { follow, rank, active: access.conversation.last_activity }))
}

/// Reads a conversation as its member sees it; `None` if the user is no member.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn summary(
    view: View<'_>,
    user: UserId,
    conversation: ConversationId,
) -> Result<Option<Summary>, EngineError> {
    let Some(access) = view.access(user, conversation)? else { return Ok(None) };
    view.summary(access, &view.rules()?).map(Some)
}

/// Reads what lies in a gap, as far as one chunk holds.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn read_chunk(
    view: View<'_>,
    user: UserId,
    gap: Gap,
    bytes_max: usize,
) -> Result<Chunk, EngineError> {
    let Gap { conversation, slot, after, up_to, withdrawals } = gap;
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
