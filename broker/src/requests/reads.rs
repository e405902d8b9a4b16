//! The one way to read the store: as of now, off the async threads, so many reads at once.
//!
//! Requests, devices that catch up and urgent messages have a bound each, so that none waits for
//! another.

use std::sync::Arc;

use tokio::sync::Semaphore;
use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::id::Timestamp;
use wardline_storage::view::View;

use crate::clock::Clock;
use crate::refusal::Refusal;

/// Reads the store.
pub(crate) struct Reads {
    engine: Arc<dyn Engine>,
    clock: Arc<Clock>,
    requests: Semaphore,
    catch_up: Semaphore,
    urgent: Semaphore,
    reads_max: usize,
}

impl Reads {
    /// Of this store, by this clock; `reads_max` for requests, as many for catching up, and for
    /// urgent messages.
    pub(crate) fn new(engine: Arc<dyn Engine>, clock: Arc<Clock>, reads_max: usize) -> Self {
        let bound = || Semaphore::new(reads_max);
        let (requests, catch_up, urgent) = (bound(), bound(), bound());
        Self { engine, clock, requests, catch_up, urgent, reads_max }
    }

    /// The time by which it is read.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The store as of now. What is read through it blocks.
    pub(crate) fn view(&self) -> View<'_> {
        View::new(self.engine.as_ref(), self.clock.now())
    }

    /// Reads for a request.
    ///
    /// # Errors
    /// A refusal if the store could not be read; what happened is logged.
    ///
    /// # Cancellation
    /// A read that has begun runs to its end, and its result is dropped.
    pub(crate) async fn for_request<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.within(&self.requests, read).await
    }

    /// Reads for a device that catches up, or for what is made good in the background.
    ///
    /// # Errors
    /// As [`Reads::for_request`].
    ///
    /// # Cancellation
    /// As [`Reads::for_request`].
    pub(crate) async fn to_catch_up<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.within(&self.catch_up, read).await
    }

    /// Reads urgent messages that a device has not received, or what is needed to find them.
    ///
    /// # Errors
    /// As [`Reads::for_request`].
    ///
    /// # Cancellation
    /// As [`Reads::for_request`].
    pub(crate) async fn for_urgent<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.within(&self.urgent, read).await
    }

    /// How many are under way: for requests, to catch up, and for urgent messages.
    pub(crate) fn under_way(&self) -> [usize; 3] {
        [&self.requests, &self.catch_up, &self.urgent]
            .map(|bound| self.reads_max.saturating_sub(bound.available_permits()))
    }

    async fn within<T: Send + 'static>(
        self: &Arc<Self>,
        bound: &Semaphore,
        read: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _permit = bound.acquire().await.map_err(|_| Refusal::internal())?;
        let reads = Arc::clone(self);
        match tokio::task::spawn_blocking(move || read(&reads)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(code = "store-unreadable", %error, "the store could not be read");
                Err(Refusal::internal())
            }
            Err(error) => {
                tracing::error!(code = "store-read-ended", %error, "a read of the store ended early");
                Err(Refusal::internal())
            }
        }
    }
}
