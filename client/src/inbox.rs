//! What arrives, as the application takes it.
//!
//! Owns the application's end of the mailbox. It never reads a stream and never filters. Invariant:
//! receipts are noted when the application takes an entry, not before, and not later.

use std::sync::Arc;

use crate::core::receipts::Mark;
use crate::mailbox::{Arrival, Hand, Taken};
use crate::options::Acknowledging;
use crate::shared::Shared;
use crate::types::{ConversationId, Incoming};

/// Yields what arrives. Dropping it stops deliveries for good.
pub struct Inbox {
    shared: Arc<Shared>,
    hand: Hand,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, hand: Hand::default() }
    }

    /// Waits for the next thing; `None` once the client is closed and everything that had arrived
    /// was taken.
    ///
    /// # Cancellation
    /// Safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            match self.shared.mailbox.take(&mut self.hand) {
                Taken::Arrival(Arrival::Entry(entry, class)) => {
                    self.note(entry.conversation, class.mark(entry.sequence));
                    return Some(Incoming::Entry(entry));
                }
                Taken::Arrival(Arrival::Passed(conversation, mark)) => self.note(conversation, mark),
                Taken::Arrival(Arrival::Other(incoming)) => return Some(incoming),
                Taken::Nothing => self.shared.mailbox.arrived.notified().await,
                Taken::Closed => return None,
            }
        }
    }

    fn note(&self, conversation: ConversationId, mark: Mark) {
        if self.shared.acknowledging == Acknowledging::Automatic {
            self.shared.note(conversation, mark);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.mailbox.abandon();
    }
}
