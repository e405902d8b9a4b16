//! Bare quinn that writes frames to everybody: the limit of fan-out.
//!
//! One stream a connection, frames flattened into writes as large as the broker's. There is nothing
//! else: no session, no decision, no storage, no order between connections. Whoever opens a
//! connection is written to.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use tokio::sync::watch;
use wardline_broker::limits::Limits;

/// Writes the same frame again and again to every connection.
pub struct Flood {
    /// Frames laid end to end: one write.
    flat: Bytes,
    frame_bytes: usize,
    /// How many frames each connection is to get in all.
    wanted: watch::Receiver<u64>,
}

impl Flood {
    /// `wanted` says, and may raise, how many frames each connection gets.
    pub fn new(frame: &[u8], wanted: watch::Receiver<u64>) -> Self {
        let per_write = (Limits::default().write_bytes / frame.len()).max(1);
        Self { flat: Bytes::from(frame.repeat(per_write)), frame_bytes: frame.len(), wanted }
    }

    /// Takes connections in until the endpoint is closed.
    pub async fn run(self, endpoint: Endpoint) {
        let flood = Arc::new(self);
        while let Some(incoming) = endpoint.accept().await {
            let flood = Arc::clone(&flood);
            tokio::spawn(async move {
                // A connection that fails is missed by its reader.
                if let Ok(connection) = incoming.await {
                    let _ = flood.write(connection).await;
                }
            });
        }
    }

    async fn write(&self, connection: Connection) -> Result<(), quinn::WriteError> {
        let mut stream = connection.open_uni().await?;
        let (mut wanted, mut written) = (self.wanted.clone(), 0);
        loop {
            let target = *wanted.borrow_and_update();
            while written < target {
                let whole = (self.flat.len() / self.frame_bytes) as u64;
                let frames = whole.min(target - written);
                stream.write_all(&self.flat[..frames as usize * self.frame_bytes]).await?;
                written += frames;
            }
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return Ok(()) },
                _ = connection.closed() => return Ok(()),
            }
        }
    }
}
