//! The edge: the UDP socket, QUIC's settings, the certificate that clients see, the taking in of
//! connections, and the roll of them by which a broker tells clients of the one before.
//!
//! Starts in three steps, so that what can be told wrong is told before the store is touched: the
//! socket, then the certificate, then everything else.

mod acceptor;
pub(crate) mod certificate;
pub mod endpoint;
mod ids;
mod resets;
mod returning;
pub(crate) mod roll;
pub(crate) mod salt;
pub(crate) mod secrets;
mod tickets;
pub mod tls;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use quinn::{Runtime as _, TokioRuntime};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use wardline_storage::log::Log;

use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::refusal::Code;
use crate::session::Sessions;
use crate::settings::Tls;
use crate::tasks::Tasks;
use crate::turns::Turns;
use acceptor::{Acceptor, Counts, Notes};
use certificate::Certificates;
use ids::Ids;
use resets::Resets;
use returning::Returning;
use roll::{Keeper, Roll};
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
    /// `None`: there is no data folder, or it has no usable roll.
    keeper: Option<Keeper>,
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
    /// Takes connections in, until `tasks` stop, and tells those of the broker before, of whom the
    /// roll in the data folder knows. Gives way to what is urgent in the log.
    ///
    /// # Errors
    /// [`io::Error`] if the runtime does not take the socket.
    pub(crate) fn start(
        self,
        sessions: Arc<Sessions>,
        log: Arc<dyn Log>,
        data: Option<&Path>,
        tasks: &mut Tasks,
    ) -> io::Result<(Edge, Certificates)> {
        let Self { bound: Bound { config, socket }, secrets, server } = self;
        let Config { tls, limits, .. } = config;
        let turns = Turns::new(move || log.owes_urgent());
        let ids = Ids::new(endpoint::ids_key(&secrets));
        // Resets must come from the same address; a socket that is handled apart has nothing to do
        // with the endpoint's once they are sent.
        let apart = socket.try_clone()?;
        let endpoint = endpoint::open(socket, server, &secrets, &ids, Arc::clone(&turns) as _)?;
        let mut giving_turns = JoinSet::new();
        for _ in 0..Handle::current().metrics().num_workers() {
            let turns = Arc::clone(&turns);
            giving_turns.spawn(async move { turns.run().await });
        }
        let address = endpoint.local_addr()?;
        let connections = TaskTracker::new();
        let metrics = Arc::clone(&sessions.metrics);
        let counts = Arc::<Counts>::default();
        let opened = data.and_then(|data| open_roll(data, &limits, &secrets, &metrics));
        let (keeper, former) = opened.map_or((None, Vec::new()), |(keeper, former)| (Some(keeper), former));
        let returning = Arc::new(Returning::of(&former));
        let roll = keeper.as_ref().map(|keeper| Arc::clone(keeper.roll()));
        if let (Some(roll), false) = (&roll, former.is_empty()) {
            let resets = Resets {
                socket: TokioRuntime.wrap_udp_socket(apart)?,
                key: endpoint::reset_key(&secrets),
                roll: Arc::clone(roll),
                returning: Arc::clone(&returning),
                is_crowded: counts.crowd(limits.handshakes_before_retry, Arc::clone(&returning)),
                metrics: Arc::clone(&metrics),
            };
            tasks.spawn(|stop| resets.run(former, stop));
        }
        tasks.spawn(|stop| {
            let (endpoint, turns, connections) = (endpoint.clone(), Arc::clone(&turns), connections.clone());
            let notes = Arc::new(Notes { ids, roll, returning });
            Acceptor::new(endpoint, turns, sessions, connections, counts, notes, stop).run()
        });
        let certificates = Certificates::new(endpoint.clone(), secrets, limits, metrics, &tls);
        Ok((Edge { endpoint, address, connections, turns, giving_turns, keeper }, certificates))
    }
}

/// The roll, and who is on it; the broker serves without one, too.
fn open_roll(
    data: &Path,
    limits: &Limits,
    secrets: &Secrets,
    metrics: &Arc<Metrics>,
) -> Option<(Keeper, Vec<roll::Former>)> {
    let opened = Roll::open(data, limits.connections_max, secrets, Arc::clone(metrics));
    opened
        .inspect_err(|error| {
            tracing::warn!(
                code = "roll-unusable", %error,
                "the file roll in the data folder cannot be used: after a crash, clients find out by themselves; \
                 it must be the broker's user's, or not there"
            );
        })
        .ok()
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

    /// Gives no turns any more, and leaves nobody on the roll: all were told.
    ///
    /// # Cancellation
    /// Not to be cancelled: tasks would be left behind.
    pub(crate) async fn end(mut self) {
        self.giving_turns.shutdown().await;
        if let Some(keeper) = self.keeper {
            keeper.empty().await;
        }
    }
}
