//! Hears from the parent process what it does to the broker.
//!
//! With `--control` every line on stdin is `killed` or `restarted`, written at the moment when it
//! happens. When stdin ends, the parent is gone, and the replay is given up: an interrupted demo
//! leaves no load behind.

use std::sync::Arc;
use std::thread;

use tokio_util::sync::CancellationToken;

use super::record::Record;

/// Listens on stdin until it ends, then cancels `orphaned`.
///
/// # Errors
/// If the thread cannot be started.
pub fn listen(record: Arc<Record>, orphaned: CancellationToken) -> std::io::Result<()> {
    // A thread of its own: a blocking read of stdin would keep the runtime from stopping.
    let listener = thread::Builder::new().name("control".into());
    listener.spawn(move || {
        for line in std::io::stdin().lines() {
            match line.as_deref() {
                Ok("killed") => record.broker_killed(),
                Ok("restarted") => record.broker_restarted(),
                Ok(_) => tracing::warn!("a line on stdin is neither `killed` nor `restarted`"),
                Err(_) => break,
            }
        }
        orphaned.cancel();
    })?;
    Ok(())
}
