//! Shares: what is scarce is shared by principal first, then by tenant.
//!
//! Sessions, reads in hand, pages in memory and people brought in are held or used up here; the
//! committer's queue is shared by the log, which is told the bounds. Who uses up their share is
//! told so, with when to come back, and waits behind themselves. Each refusal is counted by the
//! kind of share, never by whose it was; the text log names the worst by opaque id.

pub(crate) mod allowance;
pub(crate) mod kind;
pub(crate) mod line;
mod offenders;
pub(crate) mod principal;
pub(crate) mod share;
pub(crate) mod tenants;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wardline_storage::log;

use crate::access::ids::Ids;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::tasks::Tasks;
use allowance::Allowances;
use kind::Kind;
use offenders::Offenders;
use principal::Principal;
use share::{Bounds, Share};
use tenants::Tenants;

/// How often the worst offender is told of.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// What a principal is told to wait, at least, whose share comes back only when they give it back.
const COME_BACK: Duration = Duration::from_secs(1);

/// How often a principal is told at once that a share is used up, and how often again each second:
/// more than the SDK has under way. To refuse costs something, too.
const REFUSALS: u64 = 2_000;
const REFUSALS_PER_SECOND: f64 = 1_000.0;
/// Longest rest of a lane that goes on in spite of that.
const REST_MAX: Duration = Duration::from_secs(1);

/// One principal may have one part in so many of a commit group that others want, too.
const GROUP_SHARE: usize = 8;

/// What is shared.
pub(crate) struct Shares {
    /// Sessions.
    pub(crate) sessions: Arc<Share>,
    /// Reads for requests that are asked for.
    pub(crate) reads: Arc<Share>,
    /// Bytes of answers that are made and not written.
    pub(crate) pages: Arc<Share>,
    people: Mutex<Allowances>,
    /// Refusals that somebody is told without a pause.
    refusals: Mutex<Allowances>,
    offenders: Offenders,
    metrics: Arc<Metrics>,
}

impl Shares {
    /// As the limits say, for tenants by these ids. Tells of the worst offender until `tasks` stop.
    pub(crate) fn start(limits: &Limits, ids: &Ids, metrics: Arc<Metrics>, tasks: &mut Tasks) -> Arc<Self> {
        let shares = Arc::new(Self::new(limits, Tenants::of(limits, ids), metrics));
        tasks.spawn(|stop| Arc::clone(&shares).watch(stop));
        shares
    }

    fn new(limits: &Limits, tenants: Tenants, metrics: Arc<Metrics>) -> Self {
        let tenants = Arc::new(tenants);
        let share =
            |principal_max, all_max| Share::new(Bounds { principal_max, all_max }, Arc::clone(&tenants));
        let people =
            Allowances::new(limits.principal_people_max, limits.principal_people_per_hour as f64 / 3600.0);
        Self {
            sessions: share(limits.principal_sessions_max, limits.connections_max),
            reads: share(limits.principal_reads_max, limits.reads_waiting_max),
            pages: share(limits.principal_pages_bytes_max, limits.pages_bytes_max),
            people: Mutex::new(people),
            refusals: Mutex::new(Allowances::new(REFUSALS, REFUSALS_PER_SECOND)),
            offenders: Offenders::default(),
            metrics,
        }
    }

    /// Lets a principal make a conversation, or bring people into one; each counts as one.
    ///
    /// # Errors
    /// A refusal, with when to come back.
    pub(crate) fn bring_in(&self, whose: Principal, people: usize) -> Result<(), Refusal> {
        let taken = self.people.lock().take(whose.user, people as u64, Instant::now());
        taken.map_err(|wait| self.used_up(whose, Kind::People, wait))
    }

    /// Counts that somebody has used up a share; what they are told.
    pub(crate) fn used_up(&self, whose: Principal, kind: Kind, wait: Duration) -> Refusal {
        self.metrics.used_up(kind);
        self.offenders.count(whose, kind);
        kind.refusal(wait)
    }

    /// The same for what comes back when it is given back.
    pub(crate) fn held(&self, whose: Principal, kind: Kind) -> Refusal {
        self.used_up(whose, kind, COME_BACK.mul_f64(rand::random_range(0.5..1.5)))
    }

    /// Counts that somebody is told so; how long whoever told them is to leave them alone. So a
    /// flood that is refused takes little from others.
    pub(crate) fn rest(&self, whose: Principal) -> Duration {
        self.refusals.lock().charge(whose.sharing().user, 1, Instant::now()).min(REST_MAX)
    }

    /// Tells of the worst offender now and then, until stopped.
    async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.metrics.pages_bytes.set(self.pages.held() as f64);
            let Some(worst) = self.offenders.take_worst() else { continue };
            let (tenant, user, kind) = (worst.whose.tenant, worst.whose.user, worst.kind.label());
            tracing::warn!(
                code = "share-used-up", %tenant, %user, kind, refused = worst.refused, others = worst.others,
                "a user has run into their shares more often than all others"
            );
        }
    }
}

/// What one principal may have of the log.
pub(crate) fn of_log(limits: &Limits) -> log::Share {
    let part = |bound: usize| principal::part(bound, GROUP_SHARE);
    log::Share {
        commands_max: limits.principal_commands_max,
        bytes_max: limits.principal_bytes_max,
        group_commands_max: part(limits.group_commands_max),
        group_bytes_max: part(limits.group_bytes_max),
        group_records_max: part(limits.group_records_max),
    }
}
