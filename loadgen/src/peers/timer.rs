//! Wakes a task at a point in time, to about a tenth of a millisecond.
//!
//! The runtime's own timers have a resolution of a millisecond, which would be a good part of what
//! is measured; a thread that sleeps does better. The thread ends with the timer.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use tokio::sync::Notify;

/// A thread that sleeps for a task.
pub(crate) struct Timer {
    orders: SyncSender<Instant>,
    due: Arc<Notify>,
}

impl Timer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (orders, waiting) = sync_channel::<Instant>(1);
        let due = Arc::new(Notify::new());
        let bell = Arc::clone(&due);
        let thread = thread::Builder::new().name("timer".into());
        thread
            .spawn(move || {
                for then in waiting {
                    thread::sleep(then.saturating_duration_since(Instant::now()));
                    bell.notify_one();
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { orders, due })
    }

    /// Waits until then; returns at once if it has passed.
    ///
    /// # Errors
    /// If the thread has ended.
    pub(crate) async fn until(&mut self, then: Instant) -> anyhow::Result<()> {
        if Instant::now() < then {
            self.orders.try_send(then).context("the timer has ended")?;
            self.due.notified().await;
        }
        Ok(())
    }
}
