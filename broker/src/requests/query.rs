//! Queries: what is read from the store for a request, on a blocking thread.
//!
//! A client may say how far a read must see: then it waits, within a bound, until the store has
//! come so far, and each answer says how far it had come before it was read. Every one begins with
//! the caller's access, so that what may not be seen and what does not exist are one answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wardline_storage::engine::{Direction, EngineError};
use wardline_storage::id::{ConversationId, Seq, UserId};
use wardline_storage::log::Log;
use wardline_storage::view::{Access, Page, View};

use super::reads::Reads;
use crate::limits::Limits;
use crate::refusal::{Code, Refusal};
use crate::wire::{PageRequest, Response};

/// Longest wait of a read for what it must see.
const REACH_MAX: Duration = Duration::from_secs(1);
/// How often it is looked meanwhile. Rare enough to cost nothing: on one node, who was acknowledged
/// need not wait at all.
const REACH_LOOK_EVERY: Duration = Duration::from_millis(10);

/// A question to the store.
pub(crate) enum Query {
    /// One conversation, as a list shows it.
    Conversation(ConversationId),
    /// The caller's conversations.
    Conversations(PageRequest),
    /// Who is in it.
    Members { conversation: ConversationId, page: PageRequest },
    /// What was said.
    History { conversation: ConversationId, from: Seq, direction: Direction, entries: usize },
    /// Who received and read a message.
    Receipts { conversation: ConversationId, seq: Seq, page: PageRequest },
}

/// What answers to queries are bounded by.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    page_bytes_max: usize,
}

/// Answers queries.
pub(crate) struct Queries {
    log: Arc<dyn Log>,
    reads: Arc<Reads>,
    bounds: Bounds,
}

impl Queries {
    /// From what this reads of a store that this log writes.
    pub(crate) fn new(log: Arc<dyn Log>, reads: Arc<Reads>, limits: &Limits) -> Self {
        Self { log, reads, bounds: Bounds { page_bytes_max: limits.page_bytes_max } }
    }

    /// Answers a query as of now, once the store has come to a position; gives the one that it had
    /// come to before it was read.
    ///
    /// # Cancellation
    /// A read that has begun runs to its end, and its result is dropped.
    pub(crate) async fn answer(&self, user: UserId, at_least: u64, query: Query) -> (u64, Response) {
        let position = match self.reach(at_least).await {
            Ok(position) => position,
            Err(refusal) => return (0, Response::Refused(refusal)),
        };
        let bounds = self.bounds;
        let read = self.reads.for_request(move |reads| bounds.answer(reads.view(), user, &query)).await;
        (position, read.unwrap_or_else(Response::Refused))
    }

    async fn reach(&self, at_least: u64) -> Result<u64, Refusal> {
        let until = Instant::now() + REACH_MAX;
        loop {
            let position = self.log.applied().position;
            if position >= at_least {
                return Ok(position);
            }
            if Instant::now() >= until {
                let text = format!("at_least: the store has come to position {position} only; ask again");
                return Err(Refusal::new(Code::Unavailable, text).after(REACH_MAX));
            }
            sleep(REACH_LOOK_EVERY).await;
        }
    }
}

impl Bounds {
    fn answer(&self, view: View<'_>, user: UserId, query: &Query) -> Result<Response, EngineError> {
        let conversation = match query {
            Query::Conversations(page) => return self.conversations(view, user, page),
            Query::Conversation(conversation)
            | Query::Members { conversation, .. }
            | Query::History { conversation, .. }
            | Query::Receipts { conversation, .. } => *conversation,
        };
        match view.access(user, conversation)? {
            Some(access) => self.within(view, access, query),
            None => Ok(Response::Refused(Refusal::not_found())),
        }
    }

    fn within(&self, view: View<'_>, access: Access, query: &Query) -> Result<Response, EngineError> {
        Ok(match query {
            Query::Conversation(_) | Query::Conversations(_) => {
                Response::Conversation(Box::new(view.summary(access, &view.rules()?)?))
            }
            Query::Members { page, .. } => {
                Response::Members(view.members(access.id, page.after.map(UserId::new), page.entries)?)
            }
            Query::History { from, direction, entries, .. } => {
                let bytes_max = self.page_bytes_max;
                let chunk = view.entries(&access, *from, *direction, *entries, bytes_max)?;
                Response::History(chunk, *direction)
            }
            Query::Receipts { seq, page, .. } => {
                match view.recipients(&access, *seq, page.after.map(UserId::new), page.entries)? {
                    Some(page) => Response::Receipts(page),
                    None => Response::Refused(Refusal::not_found()),
                }
            }
        })
    }

    fn conversations(
        &self,
        view: View<'_>,
        user: UserId,
        page: &PageRequest,
    ) -> Result<Response, EngineError> {
        let ids = view.memberships(user, page.after.map(ConversationId::new), page.entries)?;
        let mut items = Vec::with_capacity(ids.items.len());
        let rules = view.rules()?;
        for id in ids.items {
            // Left between the two reads: not in the list any more.
            if let Some(access) = view.access(user, id)? {
                items.push(view.summary(access, &rules)?);
            }
        }
        Ok(Response::Conversations(Page { items, next: ids.next }))
    }
}
