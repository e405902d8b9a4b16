//! Tasks: what runs beside the sessions until the broker stops.

use std::future::Future;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tasks that end when they are told to stop.
#[derive(Default)]
pub(crate) struct Tasks {
    running: JoinSet<()>,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs a task, which is given what tells it to stop.
    pub(crate) fn spawn<F>(&mut self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(task(self.stop.clone()));
    }

    /// Tells all to stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Cancelled when the tasks are to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits until all have ended.
    ///
    /// # Cancellation
    /// Those that are left are waited for by the next call.
    pub(crate) async fn ended(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}
