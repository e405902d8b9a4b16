//! The broker as a whole: starts its parts, stops them in order.
//!
//! Stopping: first the word that no more clients should come, then no new connection, then every
//! lane stops reading and every client is told on its control stream, then the log finishes what it
//! took in and the answers go out, then connections are closed. All tasks have left when
//! [`Broker::stop`] returns, or the deadline has passed and they are cut off.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::RwLock;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::format;
use wardline_storage::local::{Bounds, LocalLog};
use wardline_storage::log::Log;

use crate::access::ids::Ids;
use crate::clock::Clock;
use crate::delivery::fanout::Fanout;
use crate::delivery::topic::Topics;
use crate::edge::endpoint::{self, Acceptor, Secrets};
use crate::edge::tls;
use crate::limits::{Contradiction, Limits};
use crate::metrics::{Metrics, gather};
use crate::operator::readiness::Readiness;
use crate::operator::reload::Reloader;
use crate::presence::farewell::Farewell;
use crate::presence::registry::Registry;
use crate::requests::admission::Admission;
use crate::requests::service::Service;
use crate::retention;
use crate::settings::Settings;
use crate::turns::Turns;

/// Conversations whose expiry is to be rewritten that may wait; the store remembers them too.
const REEXPIRE_MAX: usize = 1024;
/// Of the stop deadline, what is kept for closing connections.
const CLOSE_SHARE: f64 = 0.2;

/// A running broker.
pub struct Broker {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    log: Arc<LocalLog>,
    connections: TaskTracker,
    tasks: JoinSet<()>,
    /// Give connections their turns, to the very end.
    turns: JoinSet<()>,
    /// Says that new clients should go elsewhere. Before `stop`.
    draining: CancellationToken,
    /// Ends sessions and the taking in of new ones.
    stop: CancellationToken,
    failed: watch::Receiver<Option<String>>,
    deadline: Duration,
    service: Arc<Service>,
    reloader: Reloader,
}

/// The broker could not start. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port is taken, or the address is not ours.
    #[error("cannot listen on {address} (UDP): {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("the certificate or its key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// Bounds contradict each other.
    #[error(transparent)]
    Limits(#[from] Contradiction),
    /// The store could not be read or written.
    #[error("the store cannot be used: {0}")]
    Storage(#[from] EngineError),
    /// The committer could not be started.
    #[error("the committer cannot be started: {0}")]
    Committer(std::io::Error),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// Why a broker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// The store failed; the text says how. Exit with a failure.
    StorageFailed(String),
}

impl Broker {
    /// Starts on an open engine whose format was checked.
    ///
    /// # Errors
    /// [`StartError`] if it cannot run as set.
    ///
    /// # Cancellation
    /// Not to be cancelled: it does not wait for anything but the store.
    pub async fn start(settings: Settings, engine: Arc<dyn Engine>) -> Result<Self, StartError> {
        settings.limits.check()?;
        let listen = |source| StartError::Listen { address: settings.listen, source };
        let socket = endpoint::bind(settings.listen).map_err(listen)?;
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(StartError::Randomness)?;
        let secret = format::id_secret(engine.as_ref(), fresh)?;
        let secrets = Secrets::new(&secret);
        let config = endpoint::server_config(&settings.tls, &settings.limits, &secrets)?;

        let (reexpire, told) = mpsc::channel(REEXPIRE_MAX);
        let (failed_sender, failed) = watch::channel(None);
        let topics = Arc::new(Topics::new(settings.limits.tail_bytes_max, settings.limits.tails_bytes_max));
        let (registry, metrics) = (Arc::new(Registry::default()), Arc::new(Metrics::new()));
        if let Some(until) = tls::valid_until(&settings.tls.chain) {
            metrics.certificate_expires.set(until.as_secs_f64());
        }
        let fanout = Fanout {
            topics: Arc::clone(&topics),
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&metrics),
            reexpire,
            failed: failed_sender,
            scratch: BytesMut::new(),
        };
        let bounds = bounds(&settings.limits, settings.stop_deadline);
        let log = LocalLog::start(Arc::clone(&engine), bounds, fanout).map_err(StartError::Committer)?;
        let log = Arc::new(log);
        let admission = Arc::new(Admission::new(Arc::clone(&log) as _, settings.limits.retry_after));
        let service = Arc::new(Service {
            engine,
            admission: Arc::clone(&admission),
            topics,
            registry,
            metrics: Arc::clone(&metrics),
            clock: Arc::new(Clock::default()),
            policy: settings.policy,
            ids: Ids::new(&secret),
            verifier: RwLock::new(settings.verifier),
            farewell: Farewell::default(),
            request_reads: Semaphore::new(settings.limits.catch_up_reads_max),
            catch_up_reads: Semaphore::new(settings.limits.catch_up_reads_max),
            limits: settings.limits,
        });

        let urgent_log = Arc::clone(&log);
        let turns = Turns::new(move || urgent_log.owes_urgent());
        let runtime = Arc::clone(&turns) as _;
        let endpoint = endpoint::open(socket, config, &secrets, runtime).map_err(listen)?;
        let mut giving_turns = JoinSet::new();
        for _ in 0..Handle::current().metrics().num_workers() {
            let turns = Arc::clone(&turns);
            giving_turns.spawn(async move { turns.run().await });
        }
        let address = endpoint.local_addr().map_err(listen)?;
        let (stop, connections, mut tasks) = (CancellationToken::new(), TaskTracker::new(), JoinSet::new());
        let acceptor = Acceptor::new(
            endpoint.clone(),
            Arc::clone(&turns),
            Arc::clone(&service),
            connections.clone(),
            stop.clone(),
        );
        tasks.spawn(acceptor.run());
        tasks.spawn(admission.watch(settings.disk, metrics, stop.clone()));
        tasks.spawn(retention::reclaim(Arc::clone(&service), settings.reclaim_every, stop.clone()));
        tasks.spawn(gather::run(Arc::clone(&service), turns, address, stop.clone()));
        tasks.spawn(retention::reexpire(Arc::clone(&service), told, stop.clone()));
        tracing::info!(code = "listening", %address, "listening");
        let reloader = Reloader::new(endpoint.clone(), Arc::clone(&service), secrets, stop.clone());
        let (deadline, draining) = (settings.stop_deadline, CancellationToken::new());
        Ok(Self {
            endpoint,
            address,
            log,
            connections,
            tasks,
            turns: giving_turns,
            draining,
            stop,
            failed,
            deadline,
            service,
            reloader,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces certificate and token keys while it runs.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Cancelled once new clients should go elsewhere: the broker is about to stop.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Says that new clients should go elsewhere, and serves for `notice` as before, so that
    /// whoever sends clients here can hear of it. Ends early if the store fails. To be called
    /// before [`Broker::stop`], or not at all.
    ///
    /// # Cancellation
    /// It stays said.
    pub async fn drain(&self, notice: Duration) {
        self.draining.cancel();
        self.service.metrics.draining.set(1.0);
        self.service.metrics.ready.set(0.0);
        tracing::info!(code = "draining", ?notice, "no more clients should come");
        // Whichever comes first.
        let _ = timeout(notice, self.failed()).await;
    }

    /// Whether it is ready for clients, to be asked as often as one likes. `data`: a folder on the
    /// store's disk, to be written to now and then; `None`: the store is in memory.
    pub fn readiness(&self, data: Option<PathBuf>) -> Readiness {
        Readiness::watch(Arc::clone(&self.service), self.failed.clone(), [&self.draining, &self.stop], data)
    }

    /// Waits until the store fails; pends for ever otherwise.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(how)) => how.clone(),
            // The log is gone without a failure.
            _ => std::future::pending().await,
        }
    }

    /// Stops: says goodbye to every client, finishes what was taken in, closes. At most the
    /// deadline of the settings.
    ///
    /// # Cancellation
    /// Not to be cancelled: tasks would be left behind.
    pub async fn stop(mut self) -> Ended {
        let begun = Instant::now();
        let deadline = begun + self.deadline;
        self.service.metrics.draining.set(1.0);
        tracing::info!(code = "stopping", connections = self.endpoint.open_connections(), "stopping");
        self.draining.cancel();
        self.service.farewell.decide(self.failed.borrow().is_some(), self.connections.len());
        self.endpoint.set_server_config(None);
        self.stop.cancel();
        self.connections.close();
        // Sessions drain while the log still works, so that every answer that is owed can be given.
        let drain_until = begun + self.deadline.mul_f64(1.0 - CLOSE_SHARE);
        if timeout_at(drain_until, self.connections.wait()).await.is_err() {
            tracing::warn!(
                code = "sessions-cut",
                left = self.connections.len(),
                "some sessions did not end in time and are cut off"
            );
        }
        self.endpoint.close(self.service.farewell.code().quic(), b"the broker is stopping");
        let log = Arc::clone(&self.log);
        let closing = tokio::task::spawn_blocking(move || log.close());
        let left = async {
            // A panic of the log is logged by the log.
            let _ = closing.await;
            while self.tasks.join_next().await.is_some() {}
            self.connections.wait().await;
            self.endpoint.wait_idle().await;
        };
        if timeout_at(deadline, left).await.is_err() {
            tracing::warn!(code = "stop-late", "not everything ended within the stop deadline");
        }
        self.turns.shutdown().await;
        let failed = self.failed.borrow().clone();
        tracing::info!(code = "stopped", took = ?begun.elapsed(), "stopped");
        failed.map_or(Ended::Stopped, Ended::StorageFailed)
    }
}

fn bounds(limits: &Limits, stop_deadline: Duration) -> Bounds {
    Bounds {
        waiting_commands_max: limits.waiting_commands_max,
        waiting_bytes_max: limits.waiting_bytes_max,
        group_commands_max: limits.group_commands_max,
        group_bytes_max: limits.group_bytes_max,
        receipts_wait: limits.receipt_delay,
        close_timeout: stop_deadline.mul_f64(CLOSE_SHARE),
    }
}
