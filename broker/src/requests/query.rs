//! Queries: what is read from the store for a request, on a blocking thread.
//!
//! Every one begins with the caller's access, so that what may not be seen and what does not exist
//! are one answer.

use std::sync::Arc;
use std::time::Duration;

use wardline_storage::engine::{Direction, EngineError};
use wardline_storage::id::{ConversationId, Seq, UserId};
use wardline_storage::view::{Access, Page, View};

use super::reads::Reads;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::wire::{PageRequest, Response};

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
    /// Of every conversation, however long its own is.
    retention_max: Duration,
}

/// Answers queries.
pub(crate) struct Queries {
    reads: Arc<Reads>,
    bounds: Bounds,
}

impl Queries {
    /// From what this reads.
    pub(crate) fn new(reads: Arc<Reads>, limits: &Limits, retention_max: Duration) -> Self {
        Self { reads, bounds: Bounds { page_bytes_max: limits.page_bytes_max, retention_max } }
    }

    /// Answers a query as of now.
    ///
    /// # Cancellation
    /// A read that has begun runs to its end, and its result is dropped.
    pub(crate) async fn answer(&self, user: UserId, query: Query) -> Response {
        let bounds = self.bounds;
        let read = self.reads.for_request(move |reads| bounds.answer(reads.view(), user, &query)).await;
        read.unwrap_or_else(Response::Refused)
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
                Response::Conversation(Box::new(view.summary(access)?), self.retention_max)
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
        for id in ids.items {
            // Left between the two reads: not in the list any more.
            if let Some(access) = view.access(user, id)? {
                items.push(view.summary(access)?);
            }
        }
        Ok(Response::Conversations(Page { items, next: ids.next }, self.retention_max))
    }
}
