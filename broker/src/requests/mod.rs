//! Requests: what a device asks, as a command for the log or a query of the store.
//!
//! Commands go by way of the planner and the intake, queries by way of the reads; nothing else goes
//! to the log or to the store for a client.

pub(crate) mod admission;
pub(crate) mod answer;
mod disk;
pub(crate) mod intake;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod reads;
pub(crate) mod urgency;

use std::sync::Arc;

use wardline_storage::engine::Engine;
use wardline_storage::log::Log;
use wardline_storage::model::Policy;

use crate::access::ids::Ids;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::settings::DiskWatch;
use crate::tasks::Tasks;
use admission::Admission;
use disk::Disk;
use intake::Intake;
use plan::Planner;
use query::Queries;
use reads::Reads;
use urgency::Urgency;

/// What requests are bounded by.
pub(crate) struct Config {
    pub(crate) limits: Arc<Limits>,
    pub(crate) policy: Policy,
    /// Writes are refused while the file system has less room than this; `None`: not watched.
    pub(crate) disk: Option<DiskWatch>,
}

/// What requests go through.
pub(crate) struct Requests {
    pub(crate) intake: Arc<Intake>,
    pub(crate) planner: Planner,
    pub(crate) queries: Queries,
    pub(crate) urgency: Urgency,
}

impl Config {
    /// In front of a log and of what reads the store. Watches the queue and the engine's disk until
    /// `tasks` stop.
    pub(crate) fn start(
        self,
        log: Arc<dyn Log>,
        engine: Arc<dyn Engine>,
        reads: Arc<Reads>,
        ids: Arc<Ids>,
        metrics: Arc<Metrics>,
        tasks: &mut Tasks,
    ) -> Requests {
        let Self { limits, policy, disk } = self;
        let admission = Arc::new(Admission::new(Arc::clone(&log), limits.retry_after));
        let disk = disk.map(|watch| Disk::new(watch, engine));
        tasks.spawn(|stop| Arc::clone(&admission).watch(disk, metrics, stop));
        Requests {
            intake: Arc::new(Intake::new(admission)),
            planner: Planner::new(ids, policy.members_max),
            queries: Queries::new(log, reads, &limits),
            urgency: Urgency::new(limits.urgent, limits.urgent_broadcaster),
        }
    }
}
