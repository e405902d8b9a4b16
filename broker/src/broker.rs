//! The broker as a whole: starts its parts, stops them in order.
//!
//! Stopping: first the word that no more clients should come, then no new connection, then every
//! lane stops reading and every client is told on its control stream, then the log finishes what it
//! took in and the answers go out, then connections are closed. All tasks have left when
//! [`Broker::stop`] returns, or the deadline has passed and they are cut off.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::log::{self, Bounds, Log, Starter};
use wardline_storage::state;
use wardline_storage::view::View;

use crate::access::auth::Verifier;
use crate::access::auth::issuers::Issuers;
use crate::access::caller::Callers;
use crate::access::ids::Ids;
use crate::access::provider::{self, Provider};
use crate::access::revocations::Revocations;
use crate::clock::Clock;
use crate::delivery;
use crate::edge::certificate::Certificates;
use crate::edge::secrets::Secrets;
use crate::edge::{self, Edge, salt};
use crate::founding::{self, FoundingError};
use crate::limits::{Contradiction, Limits};
use crate::metrics::Metrics;
use crate::operator::gather::{self, Seen};
use crate::operator::issuers::Keeper;
use crate::operator::readiness::Readiness;
use crate::operator::reload::Reloader;
use crate::operator::revoke::Revoker;
use crate::operator::sign_out::SignOuts;
use crate::presence::farewell::Farewell;
use crate::presence::registry::Registry;
use crate::requests;
use crate::requests::intake::Intake;
use crate::requests::reads::Reads;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::shares::{self, Shares};
use crate::tasks::Tasks;
use crate::upkeep::{self, Upkeep};

/// Of the stop deadline, what is kept for closing connections.
const CLOSE_SHARE: f64 = 0.2;

/// A running broker.
pub struct Broker {
    edge: Edge,
    log: Arc<dyn Log>,
    /// Also ends sessions and the taking in of new ones.
    tasks: Tasks,
    /// Says that new clients should go elsewhere. Before `stop`.
    draining: CancellationToken,
    failed: watch::Receiver<Option<String>>,
    stop_deadline: Duration,
    farewell: Arc<Farewell>,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    doors: Doors,
}

/// By which others have a say in who may come and stay.
struct Doors {
    reloader: Reloader,
    sign_outs: SignOuts,
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
    /// The log could not be started.
    #[error(transparent)]
    Log(#[from] log::StartError),
    /// The store could not be told what it needs.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// The node's salt can be neither read nor written.
    #[error("the file node-salt in the data folder cannot be used: {0}; it must be the broker's user's")]
    Salt(std::io::Error),
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
    /// Starts a log on an open engine whose format was checked, and all that serves it.
    ///
    /// # Errors
    /// [`StartError`] if it cannot run as set.
    ///
    /// # Cancellation
    /// Not to be cancelled: it does not wait for anything but the store.
    pub async fn start(
        settings: Settings,
        engine: Arc<dyn Engine>,
        starter: &dyn Starter,
    ) -> Result<Self, StartError> {
        settings.limits.check()?;
        let listen = settings.listen;
        let cannot_listen = |source| StartError::Listen { address: listen, source };
        let retention = settings.retention.clone();
        let Parts { edge, delivery, requests, upkeep, log, trusted, stop_deadline } = Parts::of(settings);
        let (limits, policy) = (Arc::clone(&requests.limits), requests.policy);

        let edge = edge.bind().map_err(cannot_listen)?;
        let mut tasks = Tasks::default();
        let clock = Arc::new(Clock::new(state::applied(engine.as_ref())?.time));
        let metrics = Arc::new(Metrics::new());
        let (registry, farewell) = (Arc::new(Registry::default()), Arc::new(Farewell::default()));
        let reads = Arc::new(Reads::new(Arc::clone(&engine), Arc::clone(&clock), &limits));
        let (deliveries, fanout, told) =
            delivery.start(Arc::clone(&reads), Arc::clone(&registry), Arc::clone(&metrics));
        let topics = Arc::clone(&deliveries.topics);
        let log = starter.start(Arc::clone(&engine), Arc::clone(&clock) as _, log, Box::new(fanout))?;
        let secret = founding::found(log.as_ref(), engine.as_ref(), policy).await?;
        let salt = salt::of(engine.folder()).map_err(StartError::Salt)?;
        let edge = edge.secure(Secrets::new(&secret, &salt))?;

        let ids = Arc::new(Ids::new(&secret));
        founding::govern(log.as_ref(), engine.as_ref(), retention.under(&ids, policy.retention_max)).await?;
        let shares = Shares::start(&limits, &ids, Arc::clone(&metrics), &mut tasks);
        let store =
            requests::Store { log: Arc::clone(&log), reads: Arc::clone(&reads), engine: Arc::clone(&engine) };
        let requests =
            requests.start(store, Arc::clone(&shares), Arc::clone(&ids), Arc::clone(&metrics), &mut tasks);
        let intake = Arc::clone(&requests.intake);
        let sessions = Sessions {
            callers: callers(trusted, engine.as_ref(), ids, &clock, &metrics)?,
            requests,
            deliveries,
            registry,
            farewell: Arc::clone(&farewell),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            limits: Arc::clone(&limits),
            shares,
            policy,
        };
        let access = Access::of(&sessions);
        let started = edge.start(Arc::new(sessions), Arc::clone(&log), engine.folder(), &mut tasks);
        let (edge, certificates) = started.map_err(cannot_listen)?;
        let doors = access.open(certificates, engine.folder(), &mut tasks);

        let work = Upkeep {
            engine: Arc::clone(&engine),
            topics: Arc::clone(&topics),
            reads: Arc::clone(&reads),
            intake: Arc::clone(&intake),
            metrics: Arc::clone(&metrics),
        };
        upkeep.start(work, told.reexpire, told.regroup, &mut tasks);
        let (turns, address) = (Arc::clone(edge.turns()), edge.address());
        let seen = Seen { engine, reads, topics, turns, clock, address };
        tasks.spawn(|stop| gather::run(seen, Arc::clone(&metrics), limits, stop));
        tracing::info!(code = "listening", %address, "listening");
        let (failed, draining) = (told.failed, CancellationToken::new());
        Ok(Self { edge, log, tasks, draining, failed, stop_deadline, farewell, intake, metrics, doors })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.edge.address()
    }

    /// Replaces certificate and token keys while it runs.
    pub fn reloader(&self) -> Reloader {
        self.doors.reloader.clone()
    }

    /// Takes access back while it runs.
    pub fn revoker(&self) -> Revoker {
        self.doors.reloader.revoker(&self.intake)
    }

    /// Ends sign-ins that issuers have ended, while it runs.
    pub fn sign_outs(&self) -> SignOuts {
        self.doors.sign_outs.clone()
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
        self.metrics.draining.set(1.0);
        self.metrics.ready.set(0.0);
        tracing::info!(code = "draining", ?notice, "no more clients should come");
        // Whichever comes first.
        let _ = timeout(notice, self.failed()).await;
    }

    /// Whether it is ready for clients, to be asked as often as one likes. `data`: a folder on the
    /// store's disk, to be written to now and then; `None`: the store is in memory.
    pub fn readiness(&self, data: Option<PathBuf>) -> Readiness {
        let (intake, metrics) = (Arc::clone(&self.intake), Arc::clone(&self.metrics));
        Readiness::watch(intake, metrics, self.failed.clone(), [&self.draining, self.tasks.stopping()], data)
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
        let deadline = begun + self.stop_deadline;
        self.metrics.draining.set(1.0);
        tracing::info!(code = "stopping", connections = self.edge.open_connections(), "stopping");
        self.draining.cancel();
        self.farewell.decide(self.failed.borrow().is_some(), self.edge.served());
        self.edge.shut();
        self.tasks.stop();
        // Sessions drain while the log still works, so that every answer that is owed can be given.
        let drain_until = begun + self.stop_deadline.mul_f64(1.0 - CLOSE_SHARE);
        if timeout_at(drain_until, self.edge.drained()).await.is_err() {
            tracing::warn!(
                code = "sessions-cut",
                left = self.edge.served(),
                "some sessions did not end in time and are cut off"
            );
        }
        self.edge.close(self.farewell.code());
        let log = Arc::clone(&self.log);
        let closing = tokio::task::spawn_blocking(move || log.close());
        let left = async {
            // A panic of the log is logged by the log.
            let _ = closing.await;
            self.tasks.ended().await;
            self.edge.left().await;
        };
        if timeout_at(deadline, left).await.is_err() {
            tracing::warn!(code = "stop-late", "not everything ended within the stop deadline");
        }
        self.edge.end().await;
        let failed = self.failed.borrow().clone();
        tracing::info!(code = "stopped", took = ?begun.elapsed(), "stopped");
        failed.map_or(Ended::Stopped, Ended::StorageFailed)
    }
}

/// Who issues tokens.
struct Trusted {
    verifier: Option<Arc<Verifier>>,
    providers: Vec<provider::Config>,
}

/// What each part is set to.
struct Parts {
    edge: edge::Config,
    delivery: delivery::Config,
    requests: requests::Config,
    upkeep: upkeep::Config,
    log: Bounds,
    trusted: Trusted,
    stop_deadline: Duration,
}

impl Parts {
    fn of(settings: Settings) -> Self {
        let Settings {
            listen,
            tls,
            verifier,
            providers,
            limits,
            policy,
            reclaim_every,
            stop_deadline,
            disk,
            ..
        } = settings;
        let limits = shares::principal::bounds(limits);
        let (log, limits) = (bounds(&limits, stop_deadline), Arc::new(limits));
        Self {
            edge: edge::Config { listen, tls, limits: Arc::clone(&limits) },
            delivery: delivery::Config { limits: Arc::clone(&limits) },
            requests: requests::Config { limits, policy, disk },
            upkeep: upkeep::Config { reclaim_every },
            log,
            trusted: Trusted { verifier, providers },
            stop_deadline,
        }
    }
}

/// What has to do with who may come and stay.
struct Access {
    callers: Arc<Callers>,
    registry: Arc<Registry>,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
}

impl Access {
    fn of(sessions: &Sessions) -> Self {
        let Sessions { callers, registry, requests, metrics, .. } = sessions;
        Self {
            callers: Arc::clone(callers),
            registry: Arc::clone(registry),
            intake: Arc::clone(&requests.intake),
            metrics: Arc::clone(metrics),
        }
    }

    /// Lets others have a say, and keeps the issuers, with copies of their keys in a folder.
    fn open(self, certificates: Certificates, folder: Option<&Path>, tasks: &mut Tasks) -> Doors {
        let Self { callers, registry, intake, metrics } = self;
        let (whose, who) = (Arc::clone(&callers), Arc::clone(&registry));
        let reloader = Reloader::new(certificates, whose, who, tasks.stopping().clone());
        let (whose, who) = (Arc::clone(&callers), Arc::clone(&registry));
        let sign_outs = SignOuts::new(whose, who, intake, Arc::clone(&metrics));
        let folder = folder.map(Path::to_owned);
        let keeper = Keeper { callers, registry, reloader: reloader.clone(), metrics, folder };
        keeper.start(tasks);
        Doors { reloader, sign_outs }
    }
}

/// Who may come in. What access was taken back before is so before anybody can ask.
fn callers(
    trusted: Trusted,
    engine: &dyn Engine,
    ids: Arc<Ids>,
    clock: &Arc<Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Callers>, EngineError> {
    let revocations = Revocations::new(View::new(engine, clock.now()).revocations()?);
    let ours = |config| Arc::new(Provider::new(config, Arc::clone(clock), Arc::clone(metrics)));
    // Their keys are put in force as they come.
    let without = |config: &provider::Config| Arc::new(Verifier::without_keys(config.expected.clone()));
    let issuers = trusted.verifier.into_iter().chain(trusted.providers.iter().map(without)).collect();
    let providers = trusted.providers.into_iter().map(ours).collect();
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    Ok(Arc::new(Callers::new(Issuers::new(issuers), providers, revocations, ids, clock, metrics)))
}

fn bounds(limits: &Limits, stop_deadline: Duration) -> Bounds {
    Bounds {
        waiting_commands_max: limits.waiting_commands_max,
        waiting_bytes_max: limits.waiting_bytes_max,
        group_commands_max: limits.group_commands_max,
        group_bytes_max: limits.group_bytes_max,
        group_records_max: limits.group_records_max,
        share: shares::of_log(limits),
        receipts_wait: limits.receipt_delay,
        close_timeout: stop_deadline.mul_f64(CLOSE_SHARE),
    }
}
