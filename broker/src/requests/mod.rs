//! Requests: what a device asks, as a command for the log or a query of the store.
//!
//! Commands go by way of the planner and the intake, queries by way of the reads; nothing else goes
//! to the log or to the store for a client.

pub(crate) mod admission;
pub(crate) mod answer;
mod contexts;
mod disk;
pub(crate) mod intake;
mod listing;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod reads;
mod recording;
pub(crate) mod urgency;

use std::sync::Arc;

use wardline_storage::command::{Actor, Command};
use wardline_storage::engine::Engine;
use wardline_storage::log::Log;
use wardline_storage::model::Policy;

use crate::access::ids::Ids;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::settings::DiskWatch;
use crate::shares::Shares;
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
    /// Messages are refused while the file system has less room than this; `None`: not watched.
    pub(crate) disk: Option<DiskWatch>,
}

/// What requests go through.
pub(crate) struct Requests {
    pub(crate) intake: Arc<Intake>,
    pub(crate) planner: Planner,
    pub(crate) queries: Queries,
    pub(crate) urgency: Urgency,
    shares: Arc<Shares>,
}

impl Requests {
    /// Whether somebody may bring in the people whom a command names, or make the conversation that
    /// it asks for; how many are taken of what they may.
    ///
    /// # Errors
    /// A refusal, with when to come back.
    pub(crate) fn bring_in(&self, actor: &Actor, command: &Command) -> Result<usize, Refusal> {
        let people = match command {
            Command::Create(create) => 1 + create.others.len(),
            Command::AddMembers { people, .. } => people.len(),
            _ => return Ok(0),
        };
        self.shares.bring_in(actor.into(), people).map(|()| people)
    }

    /// Gives so many back: the log did not take them in, and they will be asked for again.
    pub(crate) fn not_brought_in(&self, actor: &Actor, people: usize) {
        if people > 0 {
            self.shares.not_brought_in(actor.into(), people);
        }
    }
}

/// The store, as requests come to it.
pub(crate) struct Store {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) reads: Arc<Reads>,
    /// Whose disk is watched.
    pub(crate) engine: Arc<dyn Engine>,
}

impl Config {
    /// In front of a store. Watches its queue and its disk until `tasks` stop.
    pub(crate) fn start(
        self,
        store: Store,
        shares: Arc<Shares>,
        ids: Arc<Ids>,
        metrics: Arc<Metrics>,
        tasks: &mut Tasks,
    ) -> Requests {
        let (Self { limits, policy, disk }, Store { log, reads, engine }) = (self, store);
        let admission = Arc::new(Admission::new(Arc::clone(&log), Arc::clone(&shares), limits.retry_after));
        let disk = disk.map(|watch| Disk::new(watch, engine));
        tasks.spawn(|stop| Arc::clone(&admission).watch(disk, metrics, stop));
        Requests {
            intake: Arc::new(Intake::new(admission)),
            planner: Planner::new(ids, policy.members_max),
            queries: Queries::new(log, reads, Arc::clone(&shares), &limits),
            urgency: Urgency::new(limits.urgent, limits.urgent_broadcaster),
            shares,
        }
    }
}
