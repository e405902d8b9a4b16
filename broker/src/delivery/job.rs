//! Jobs: the reads of the store that a delivery has under way, one at a time.
//!
//! A new membership, a page of the memberships, or a chunk of a backlog; and, beside that, urgent
//! messages. Each runs on a blocking thread, within the bound on such reads.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wardline_storage::id::{ConversationId, Seq};
use wardline_storage::view::{Summary, View};

use super::calling::{self, Called};
use super::calls::Calls;
use super::catch_up::{self, Beginning, Follower, Found};
use super::chunk::{Chunk, Gap};
use super::deliveries::Deliveries;
use crate::presence::bell::Slot;
use crate::refusal::Refusal;
use crate::shares::principal::Principal;

/// A read of the store that is under way.
pub(super) type Job = Pin<Box<dyn Future<Output = Result<Done, Refusal>> + Send>>;

/// What such a read brought.
pub(super) enum Done {
    Page(Beginning),
    Joined(ConversationId, Option<Found>, Option<Box<Summary>>),
    Chunk(Chunk),
    Called(Called),
}

/// Reads a conversation that the user joined, and follows it under `slot` if there is one.
pub(super) fn join(
    all: Arc<Deliveries>,
    follower: Follower,
    conversation: ConversationId,
    slot: Option<Slot>,
    resume: Option<Seq>,
) -> Job {
    Box::pin(async move {
        let topics = Arc::clone(&all.topics);
        let whose = follower.whose();
        let read = move |view: View<'_>| {
            let follow = match slot {
                Some(slot) => catch_up::follow(view, &topics, &follower, conversation, slot, resume)?,
                None => None,
            };
            let summary = catch_up::summary(view, follower.user, conversation)?;
            Ok(Done::Joined(conversation, follow, summary.map(Box::new)))
        };
        all.reads.to_catch_up(whose, read).await
    })
}

/// Follows the conversations after `after`; slots are numbered from `first`.
pub(super) fn page(
    all: Arc<Deliveries>,
    follower: Follower,
    after: Option<ConversationId>,
    first: Slot,
    resume: HashMap<ConversationId, Seq>,
) -> Job {
    Box::pin(async move {
        let topics = Arc::clone(&all.topics);
        let whose = follower.whose();
        let read = move |view: View<'_>| {
            catch_up::follow_page(view, &topics, &follower, after, first, &resume).map(Done::Page)
        };
        // Nothing urgent is found before.
        all.reads.for_urgent(whose, read).await
    })
}

/// Reads urgent messages, as many as go into one write.
pub(super) fn call(all: Arc<Deliveries>, follower: Follower, calls: Calls) -> Job {
    let bytes_max = all.limits.write_bytes;
    Box::pin(async move {
        let topics = Arc::clone(&all.topics);
        let whose = follower.whose();
        let read =
            move |view: View<'_>| calling::read(view, &topics, &follower, calls, bytes_max).map(Done::Called);
        all.reads.for_urgent(whose, read).await
    })
}

/// Reads what lies in a gap, as far as one chunk holds.
pub(super) fn chunk(all: Arc<Deliveries>, whose: Principal, gap: Gap) -> Job {
    let bytes_max = all.limits.write_bytes;
    Box::pin(async move {
        let read =
            move |view: View<'_>| catch_up::read_chunk(view, whose.user, gap, bytes_max).map(Done::Chunk);
        all.reads.to_catch_up(whose, read).await
    })
}

/// Waits for the job that is under way; for ever if there is none.
pub(super) async fn finished(job: &mut Option<Job>) -> Result<Done, Refusal> {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}
