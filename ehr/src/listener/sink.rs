//! Where events go.

use std::sync::Arc;

use crate::hl7::ack::Reply;
use crate::record::Event;

/// Takes events, and says of each what became of it.
pub trait Sink: Send + Sync + 'static {
    /// Applies an event. [`Reply::Applied`] means that it is durable, now or since it was applied
    /// before: an event that comes again, as one does whose acknowledgement was lost, must not be
    /// applied twice.
    ///
    /// # Cancellation
    /// It may be dropped when it takes too long; the sender then sends the event again.
    fn apply(&self, event: Event) -> impl Future<Output = Reply> + Send;
}

impl<S: Sink> Sink for Arc<S> {
    fn apply(&self, event: Event) -> impl Future<Output = Reply> + Send {
        (**self).apply(event)
    }
}
