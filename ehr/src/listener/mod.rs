//! The server side: HL7 senders over MLLP, on TCP or TLS.
//!
//! Each connection is served by a task of its own: a message is read, given to the [`Sink`], and
//! answered only once that has said what became of it. So what is acknowledged is durable, and what
//! is not can be sent again. Some messages of a connection are under way at once; those that touch
//! the same patient or encounter go one behind the other, and all are answered in order.
//! Connections, their bytes, and the time that each step may take are bounded ([`Limits`]); a
//! sender that is slow, mute or never reads its answers costs no other anything.

mod connection;
mod control_ids;
mod inflow;
mod limits;
mod metrics;
mod owed;
mod room;
mod settings;
mod shared;
mod sink;
pub mod tls;
mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use limits::Limits;
pub use settings::Settings;
pub use sink::Sink;

use connection::Connection;
use shared::Shared;

/// How long nobody is let in after that failed, such as for too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The address cannot be had. The operator must act.
#[derive(Debug, Error)]
#[error("cannot listen for HL7 on {address} (TCP): {source}; choose another address, or stop what has it")]
pub struct ListenError {
    /// Where.
    address: SocketAddr,
    /// Why.
    source: io::Error,
}

/// An address that is listened on.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    settings: Settings,
}

impl Listener {
    /// Binds the address; nobody is answered yet.
    ///
    /// # Errors
    /// [`ListenError`] if it cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, ListenError> {
        let listen = |source| ListenError { address: settings.address, source };
        let socket = TcpListener::bind(settings.address).await.map_err(listen)?;
        let address = socket.local_addr().map_err(listen)?;
        Ok(Self { socket, address, settings })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves senders until stopped. Then a message that the sink has is answered still, and all
    /// else is closed: what was not answered, its sender sends again.
    pub async fn run<S: Sink>(self, sink: S, stop: CancellationToken) {
        let tls = self.settings.tls.clone();
        let seats = Arc::new(Semaphore::new(self.settings.limits.connections_max));
        let shared = Arc::new(Shared::new(sink, self.settings, stop.clone()));
        let connections = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(self.socket.accept()).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(code = "mllp-accept", %error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                shared.metrics.full.increment(1);
                tracing::warn!(code = "mllp-full", %peer, "no place for one more connection: it was closed");
                continue;
            };
            let shared = Arc::clone(&shared);
            let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.borrow())));
            connections.spawn(async move {
                serve(stream, peer, acceptor, shared).await;
                drop(seat);
            });
        }
        connections.close();
        connections.wait().await;
    }
}

async fn serve<S: Sink>(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared<S>>,
) {
    // An answer is small and waited for.
    let _ = stream.set_nodelay(true);
    let _held = metrics::Held::new(&shared.metrics.connections);
    let Some(acceptor) = acceptor else {
        shared.metrics.accepted.increment(1);
        return Connection::new(stream, peer, shared).run().await;
    };
    let shaken = timeout(shared.settings.limits.handshake, acceptor.accept(stream));
    match shared.stop.run_until_cancelled(shaken).await {
        Some(Ok(Ok(stream))) => {
            shared.metrics.accepted.increment(1);
            Connection::new(stream, peer, shared).run().await;
        }
        Some(Ok(Err(error))) => {
            shared.metrics.handshake_failed.increment(1);
            tracing::warn!(code = "mllp-tls", %peer, %error, "a TLS handshake failed: check the certificates of both");
        }
        Some(Err(_)) => {
            shared.metrics.handshake_failed.increment(1);
            tracing::warn!(code = "mllp-tls", %peer, "a TLS handshake took too long: does the sender speak TLS?");
        }
        None => {}
    }
}
