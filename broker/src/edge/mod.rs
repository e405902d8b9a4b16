//! The edge: the UDP socket, QUIC's settings, the certificate that clients see, and the taking in
//! of connections.
//!
//! Starts in three steps, so that what can be told wrong is told before the store is touched: the
//! socket, then the certificate, then everything else.

mod acceptor;
pub(crate) mod certificate;
pub mod endpoint;
pub(crate) mod salt;
pub(crate) mod secrets;
pub mod tls;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use wardline_storage::log::Log;

use crate::limits::Limits;
use crate::refusal::Code;
use crate::session::Sessions;
use crate::settings::Tls;
use crate::tasks::Tasks;
use crate::turns::Turns;
use acceptor::Acceptor;
use certificate::Certificates;
use secrets::Secrets;

/// What the edge is set to.
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Tls,
    pub(crate) limits: Arc<Limits>,
}

/// An edge whose address is its own.
pub(crate) struct Bound {
    config: Config,
    socket: UdpSocket,
}

/// An edge whose certificate can be used, too.
pub(crate) struct Secured {
    bound: Bound,
    secrets: Secrets,
    server: quinn::ServerConfig,
}

/// An edge that takes connections in.
pub(crate) struct Edge {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    connections: TaskTracker,
    turns: Arc<Turns>,
    /// Give connections their turns, to the very end.
    giving_turns: JoinSet<()>,
}

impl Config {
    /// Binds the address.
    ///
    /// # Errors
    /// [`io::Error`] if it is taken or not ours.
    pub(crate) fn bind(self) -> io::Result<Bound> {
        let socket = endpoint::bind(self.listen)?;
        Ok(Bound { config: self, socket })
    }
}

impl Bound {
    /// Looks whether the certificate can be used.
    ///
    /// # Errors
    /// [`rustls::Error`] if it does not go together with its key.
    pub(crate) fn secure(self, secrets: Secrets) -> Result<Secured, rustls::Error> {
        let server = endpoint::server_config(&self.config.tls, &self.config.limits, &secrets)?;
        Ok(Secured { bound: self, secrets, server })
    }
}

impl Secured {
    /// Takes connections in, until `tasks` stop. Gives way to what is urgent in the log.
    ///
    /// # Errors
    /// [`io::Error`] if the runtime does not take the socket.
    pub(crate) fn start(
        self,
        sessions: Arc<Sessions>,
        log: Arc<dyn Log>,
        tasks: &mut Tasks,
    ) -> io::Result<(Edge, Certificates)> {
        let Self { bound: Bound { config, socket }, secrets, server } = self;
        let turns = Turns::new(move || log.owes_urgent());
        let endpoint = endpoint::open(socket, server, &secrets, Arc::clone(&turns) as _)?;
        let mut giving_turns = JoinSet::new();
        for _ in 0..Handle::current().metrics().num_workers() {
            let turns = Arc::clone(&turns);
            giving_turns.spawn(async move { turns.run().await });
        }
        let address = endpoint.local_addr()?;
        let connections = TaskTracker::new();
        let metrics = Arc::clone(&sessions.metrics);
        tasks.spawn(|stop| {
            let (endpoint, turns, connections) = (endpoint.clone(), Arc::clone(&turns), connections.clone());
            Acceptor::new(endpoint, turns, sessions, connections, stop).run()
        });
        let certificates = Certificates::new(endpoint.clone(), secrets, config.limits, metrics, &config.tls);
        Ok((Edge { endpoint, address, connections, turns, giving_turns }, certificates))
    }
}

impl Edge {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The turns of its connections.
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Connections open now, as QUIC sees them.
    pub(crate) fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// Connections that are served now.
    pub(crate) fn served(&self) -> usize {
        self.connections.len()
    }

    /// Takes nobody in any more.
    pub(crate) fn shut(&self) {
        self.endpoint.set_server_config(None);
        self.connections.close();
    }

    /// Waits until no connection is served any more, once it is shut.
    ///
    /// # Cancellation
    /// Changes nothing.
    pub(crate) async fn drained(&self) {
        self.connections.wait().await;
    }

    /// Closes all connections that are left, with this code.
    pub(crate) fn close(&self, code: Code) {
        self.endpoint.close(code.quic(), b"the broker is stopping");
    }

    /// Waits until every connection has left, once they are closed.
    ///
    /// # Cancellation
    /// Changes nothing.
    pub(crate) async fn left(&self) {
        self.connections.wait().await;
        self.endpoint.wait_idle().await;
    }

    /// Gives no turns any more.
    ///
    /// # Cancellation
    /// Not to be cancelled: tasks would be left behind.
    pub(crate) async fn end(mut self) {
        self.giving_turns.shutdown().await;
    }
}
