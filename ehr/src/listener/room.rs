//! Room for large messages in hand, shared by all connections.
//!
//! What fits into one read needs none of it. A message that is larger takes room for the largest
//! that is allowed, all at once, and gives it back once it is done: so nobody waits for room while
//! holding some, and two senders cannot wait for each other. Who finds none waits, within the
//! deadline for a message.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::metrics::Metrics;

/// All of it.
pub(super) struct Room {
    messages: Arc<Semaphore>,
    messages_max: usize,
    message_bytes_max: usize,
}

/// What a connection has of it.
pub(super) struct Portion(Option<OwnedSemaphorePermit>);

impl Room {
    /// So many bytes, and room for one message at least.
    pub(super) fn new(bytes_max: usize, message_bytes_max: usize) -> Self {
        let messages_max = (bytes_max / message_bytes_max.max(1)).clamp(1, Semaphore::MAX_PERMITS);
        Self { messages: Arc::new(Semaphore::new(messages_max)), messages_max, message_bytes_max }
    }

    /// Takes a portion, unless there is one already; waits until there is room.
    pub(super) async fn take(&self, portion: &mut Portion, metrics: &Metrics) {
        if portion.0.is_none() {
            // It is never closed.
            portion.0 = Arc::clone(&self.messages).acquire_owned().await.ok();
            self.note(metrics);
        }
    }

    /// Gives a portion back.
    pub(super) fn give_back(&self, portion: &mut Portion, metrics: &Metrics) {
        if portion.0.take().is_some() {
            self.note(metrics);
        }
    }

    fn note(&self, metrics: &Metrics) {
        let messages = self.messages_max - self.messages.available_permits();
        metrics.in_hand_bytes.set((messages * self.message_bytes_max) as f64);
    }
}

impl Portion {
    /// Nothing yet.
    pub(super) fn none() -> Self {
        Self(None)
    }
}
