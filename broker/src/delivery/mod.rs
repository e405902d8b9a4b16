//! Delivery: from committed events to the lanes of every device.
//!
//! The fan-out encodes each entry once and puts it into the conversation's topic; each session then
//! has a task that copies from there, or from the store, after its own cursors.

mod ahead;
mod calling;
mod calls;
mod catch_up;
mod chunk;
pub(crate) mod deliver;
pub(crate) mod deliveries;
mod eviction;
pub(crate) mod fanout;
mod following;
mod job;
mod lane;
mod progress;
mod receipts;
mod recent;
mod subscription;
pub(crate) mod tail;
mod topic;
pub(crate) mod topics;
mod unfollowed;

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use wardline_storage::id::ConversationId;

use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::presence::registry::Registry;
use crate::requests::reads::Reads;
use deliveries::Deliveries;
use fanout::Fanout;
use topics::Topics;

/// Conversations whose expiry is to be rewritten that may wait; the store remembers them too.
const REEXPIRE_MAX: usize = 1024;

/// What delivery is bounded by.
pub(crate) struct Config {
    pub(crate) limits: Arc<Limits>,
}

/// What the fan-out tells others than sessions.
pub(crate) struct Told {
    /// Conversations whose messages' expiry is to be rewritten.
    pub(crate) reexpire: mpsc::Receiver<ConversationId>,
    /// When members of care conversations are to be brought in line with the record.
    pub(crate) regroup: Arc<Notify>,
    /// How the store failed, once it has.
    pub(crate) failed: watch::Receiver<Option<String>>,
}

impl Config {
    /// The way out: the fan-out is for the log, deliveries are for sessions.
    pub(crate) fn start(
        self,
        reads: Arc<Reads>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> (Arc<Deliveries>, Fanout, Told) {
        let Self { limits } = self;
        let (reexpire, to_reexpire) = mpsc::channel(REEXPIRE_MAX);
        let (failure, failed) = watch::channel(None);
        let topics = Arc::new(Topics::new(&limits));
        let regroup = Arc::new(Notify::new());
        let (telling, measured) = (Arc::clone(&regroup), Arc::clone(&metrics));
        let fanout = Fanout::new(Arc::clone(&topics), registry, measured, reexpire, telling, failure);
        let deliveries = Deliveries { topics, reads, metrics, limits };
        (Arc::new(deliveries), fanout, Told { reexpire: to_reexpire, regroup, failed })
    }
}
