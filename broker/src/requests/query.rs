//! Queries: what is read from the store for a request, on a blocking thread.
//!
//! Every one begins with the caller's access, so that what may not be seen and what does not exist
//! are one answer.

use wardline_storage::engine::{Direction, EngineError};
use wardline_storage::id::{ConversationId, Seq, UserId};
use wardline_storage::view::{Access, Page, View};

use super::service::Service;
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

impl Service {
    /// Answers a query as of now. Blocks.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub(crate) fn query(&self, user: UserId, query: &Query) -> Result<Response, EngineError> {
        let view = View::new(self.engine.as_ref(), self.clock.now());
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
                Response::Conversation(Box::new(view.summary(access)?), self.policy.retention_max)
            }
            Query::Members { page, .. } => {
                Response::Members(view.members(access.id, page.after.map(UserId::new), page.entries)?)
            }
            Query::History { from, direction, entries, .. } => {
                let bytes_max = self.limits.page_bytes_max;
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
        Ok(Response::Conversations(Page { items, next: ids.next }, self.policy.retention_max))
    }
}
