//! Takes connections in.
//!
//! Validates addresses by Retry when handshakes pile up, but not of those who were connected to the
//! broker before; refuses what is beyond the bounds, puts each connection on the roll, and gives it
//! to a session of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use quinn::ConnectionError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ids::Ids;
use super::returning::Returning;
use super::roll::{Noted, Roll};
use crate::counted::Counted;
use crate::limits::Limits;
use crate::metrics::{Held, Metrics};
use crate::session::{self, Sessions};
use crate::turns::{Task, Turns};

/// Takes connections in until stopped.
pub(crate) struct Acceptor {
    endpoint: quinn::Endpoint,
    turns: Arc<Turns>,
    sessions: Arc<Sessions>,
    connections: TaskTracker,
    counts: Arc<Counts>,
    notes: Arc<Notes>,
    stop: CancellationToken,
}

/// Notes who connects.
pub(super) struct Notes {
    pub(super) ids: Arc<Ids>,
    /// `None`: nobody is noted.
    pub(super) roll: Option<Arc<Roll>>,
    pub(super) returning: Arc<Returning>,
}

/// How much is in hand.
#[derive(Default)]
pub(super) struct Counts {
    handshakes: Arc<AtomicUsize>,
    /// Without a session, those in their handshake included.
    strangers: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

/// Least crowd of handshakes, and its share of those that are taken without a Retry.
const CROWD_MIN: usize = 16;
const CROWD_SHARE: usize = 4;
/// Most who are in their handshake or on the way to it, in such crowds.
const COMING_CROWDS: usize = 3;

impl Counts {
    /// Whether so many handshakes are in hand, or soon will be, that it is better to wait with what
    /// brings more.
    pub(super) fn crowd(
        &self,
        before_retry: usize,
        returning: Arc<Returning>,
    ) -> Box<dyn Fn() -> bool + Send + Sync> {
        let (handshakes, crowd) = (Arc::clone(&self.handshakes), CROWD_MIN.max(before_retry / CROWD_SHARE));
        Box::new(move || {
            let in_hand = handshakes.load(Ordering::Relaxed);
            in_hand >= crowd || in_hand + returning.on_the_way() >= COMING_CROWDS * crowd
        })
    }
}

impl Notes {
    /// Accepts a connection and puts it on the roll. So early, since its client may count it as
    /// made before the broker does.
    fn accept(&self, turns: &Turns, incoming: quinn::Incoming) -> Option<Accepted> {
        let (remote, local) = (incoming.remote_address(), incoming.local_ip());
        let (accepted, id) = self.ids.given_by(|| turns.accept(incoming));
        let (connecting, driver) = accepted.ok()?;
        let noted = self.roll.as_ref().zip(id).map(|(roll, id)| roll.note(id, remote, local));
        Some(Accepted { connecting, driver, noted })
    }
}

struct Accepted {
    connecting: quinn::Connecting,
    driver: Arc<Task>,
    noted: Option<Noted>,
}

impl Acceptor {
    /// Gives each connection of `endpoint` to a task on `connections`. `stop` ends all of it.
    pub(crate) fn new(
        endpoint: quinn::Endpoint,
        turns: Arc<Turns>,
        sessions: Arc<Sessions>,
        connections: TaskTracker,
        counts: Arc<Counts>,
        notes: Arc<Notes>,
        stop: CancellationToken,
    ) -> Self {
        Self { endpoint, turns, sessions, connections, counts, notes, stop }
    }

    /// Runs until stopped.
    pub(crate) async fn run(self) {
        while let Some(Some(incoming)) = self.stop.run_until_cancelled(self.endpoint.accept()).await {
            self.take(incoming);
        }
    }

    fn take(&self, incoming: quinn::Incoming) {
        let (limits, metrics) = (&self.sessions.limits, &self.sessions.metrics);
        let Counts { handshakes, strangers, connections } = &*self.counts;
        let [handshaking, strange, open] =
            [handshakes, strangers, connections].map(|count| count.load(Ordering::Relaxed));
        if handshaking >= limits.handshakes_max {
            metrics.handshakes_crowded.increment(1);
            return incoming.refuse();
        }
        if open >= limits.connections_max {
            metrics.handshakes_full.increment(1);
            return incoming.refuse();
        }
        if strange >= limits.strangers_max() {
            metrics.handshakes_strangers.increment(1);
            return incoming.refuse();
        }
        let returns = self.notes.returning.comes(incoming.remote_address());
        if handshaking >= limits.handshakes_before_retry && !returns && incoming.may_retry() {
            metrics.handshakes_retried.increment(1);
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            return;
        }
        let [handshake, stranger, counted] = [handshakes, strangers, connections].map(Counted::new);
        let (sessions, turns) = (Arc::clone(&self.sessions), Arc::clone(&self.turns));
        let (notes, stop) = (Arc::clone(&self.notes), self.stop.clone());
        self.connections.spawn(async move {
            let _open = Held::new(&sessions.metrics.connections);
            let Some(accepted) = notes.accept(&turns, incoming) else { return };
            let Accepted { connecting, driver, noted } = accepted;
            let connected =
                shake_hands(connecting, &driver, &sessions.limits, &sessions.metrics, &stop).await;
            if let Some(connection) = connected {
                drop(handshake);
                session::serve(Arc::clone(&sessions), connection, driver, noted, stranger, stop).await;
            }
            drop(counted);
        });
    }
}

async fn shake_hands(
    connecting: quinn::Connecting,
    driver: &Task,
    limits: &Limits,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Option<quinn::Connection> {
    let began = Instant::now();
    let connected = stop.run_until_cancelled(timeout(limits.hello_timeout, connecting)).await;
    match connected {
        Some(Ok(Ok(connection))) => {
            metrics.handshakes_accepted.increment(1);
            metrics.handshake_seconds.record(began.elapsed().as_secs_f64());
            Some(connection)
        }
        Some(Ok(Err(error))) => {
            metrics.handshakes_failed.increment(1);
            tracing::debug!(code = "handshake-failed", %error, "handshake failed");
            if matches!(error, ConnectionError::ConnectionClosed(_) | ConnectionError::ApplicationClosed(_)) {
                // There is nothing more to be said. quinn (0.11.12) would keep a connection that
                // its first packet closes until it is idle for long, or for ever if another packet
                // comes; and a stop would wait for it.
                driver.end();
            }
            None
        }
        Some(Err(_)) => {
            metrics.handshakes_timed_out.increment(1);
            tracing::debug!(code = "handshake-timed-out", "handshake took too long");
            None
        }
        None => None,
    }
}
