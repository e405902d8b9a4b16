//! What arrives, exactly once and in order per conversation.

use crate::types::{Conversation, ConversationId, Entry, Receipt};

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
    /// The backlog that was waiting when the (first) session began has been delivered.
    CaughtUp,
}

/// Yields what arrives. Dropping it stops deliveries for good.
#[derive(Debug)]
pub struct Inbox {}

impl Inbox {
    /// Waits for the next thing; `None` once the client is closed.
    ///
    /// # Cancellation
    /// Safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Incoming> {
        todo!()
    }
}
