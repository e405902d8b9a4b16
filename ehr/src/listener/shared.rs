//! What all connections of a sender share, and how an event of theirs is applied.
//!
//! An event waits for its turn, then for the sink, no longer than it may; whatever becomes of it,
//! those that wait for it are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::control_ids::ControlIds;
use super::metrics::Metrics;
use super::room::Room;
use super::settings::Settings;
use super::sink::Sink;
use super::turns::Turn;
use crate::hl7::ack::Reply;
use crate::record::Event;

/// What all connections of a sender share.
pub(super) struct Shared<S> {
    sink: S,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
    pub(super) room: Room,
    pub(super) ids: ControlIds,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The sender closed it.
    Closed,
    /// We stop.
    Stopped,
    /// Nothing came for too long.
    Idle,
    /// A message did not come to its end in time.
    Slow,
    /// There was no room for its message for too long.
    NoRoom,
    /// The sender did not take an answer.
    Unread,
    /// What came is not MLLP.
    Broken,
    /// The network failed.
    Failed,
}

impl End {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Stopped => "stopped",
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::NoRoom => "no_room",
            Self::Unread => "unread",
            Self::Broken => "broken",
            Self::Failed => "failed",
        }
    }
}

impl<S: Sink> Shared<S> {
    pub(super) fn new(sink: S, settings: Settings, stop: CancellationToken) -> Self {
        let room = Room::new(settings.limits.in_hand_bytes_max, settings.rules.bounds.message_bytes_max);
        let metrics = Metrics::new(&settings.name);
        Self { sink, settings, metrics, stop, room, ids: ControlIds::new(now_ms()) }
    }

    /// Gives an event to the sink once its turn has come, for as long as that may take.
    pub(super) async fn apply(self: Arc<Self>, peer: SocketAddr, event: Event, mut turn: Turn) -> Reply {
        let (metrics, began) = (&self.metrics, Instant::now());
        let applied = timeout(self.settings.limits.apply, async {
            if turn.comes().await { self.sink.apply(event).await } else { overtaken() }
        });
        let reply = applied.await.unwrap_or_else(|_| {
            tracing::warn!(code = "hl7-apply-slow", %peer, "an event took too long: AE was answered");
            Reply::retry("it took too long: send it again; what was done already is not done twice")
        });
        turn.pass(!matches!(reply, Reply::Retry(_)));
        metrics.apply_seconds.record(began.elapsed().as_secs_f64());
        match &reply {
            Reply::Applied => metrics.applied.increment(1),
            Reply::Retry(_) => metrics.retry.increment(1),
            Reply::Refused(_) => metrics.refused.increment(1),
        }
        reply
    }
}

/// The answer to what would overtake an event that is to be sent again.
fn overtaken() -> Reply {
    Reply::retry("an event of the same patient before it was not done: send that again first, then this one")
}

/// By this machine's clock.
pub(super) fn now_ms() -> i64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
