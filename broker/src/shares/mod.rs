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
pub(crate) mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use wardline_storage::log;

use crate::access::ids::Ids;
use crate::counted::Counted;
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
use work::{Work, Works};

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

/// How often a principal may open a session at once, for each that they may have, and how often
/// again each second. Who does so more often is kept waiting with their Hello: a handshake costs
/// most of all that one can ask for before one is known.
const HELLOS_PER_SESSION: u64 = 2;
const HELLOS_PER_SECOND: f64 = 4.0;
/// Longest wait with a Hello: less than a client waits for its answer.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(8);
/// And so much of the time that there is from the handshake to Hello's answer.
const HELLO_WAIT_PART: f64 = 0.8;
/// Most who wait so, of all principals together; others are answered at once.
const HELLOS_WAITING_MAX: usize = 2_048;

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
    hellos: Mutex<Allowances>,
    hello_wait_max: Duration,
    hellos_waiting: Arc<AtomicUsize>,
    works: Works,
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
            hellos: Mutex::new(Allowances::new(
                HELLOS_PER_SESSION.saturating_mul(limits.principal_sessions_max as u64),
                HELLOS_PER_SECOND,
            )),
            hello_wait_max: HELLO_WAIT_MAX.min(limits.hello_timeout.mul_f64(HELLO_WAIT_PART)),
            hellos_waiting: Arc::default(),
            works: Works::new(limits.principal_work),
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

    /// Gives back what was taken to bring in so many, who were not.
    pub(crate) fn not_brought_in(&self, whose: Principal, people: usize) {
        self.people.lock().give_back(whose.user, people as u64, Instant::now());
    }

    /// Lets somebody wait who opens sessions too often.
    ///
    /// # Cancellation
    /// They have not waited.
    pub(crate) async fn welcome(&self, whose: Principal) {
        let wait = self.hello(whose.sharing(), Instant::now());
        if !wait.is_zero() && self.hellos_waiting.load(Ordering::Relaxed) < HELLOS_WAITING_MAX {
            let _waits = Counted::new(&self.hellos_waiting);
            self.note(whose, Kind::Sessions);
            sleep(wait).await;
        }
    }

    /// Counts a Hello; how long it is to wait. Who waits longest anyway owes nothing more for it,
    /// so that it is over soon after they stop.
    fn hello(&self, whose: Principal, now: Instant) -> Duration {
        let mut hellos = self.hellos.lock();
        match hellos.owed(whose.user, now) {
            owed if owed >= self.hello_wait_max => self.hello_wait_max,
            _ => hellos.charge(whose.user, 1, now).min(self.hello_wait_max),
        }
    }

    /// Counts what was done for somebody's requests; how long whoever did it is to leave them
    /// alone.
    pub(crate) fn work(&self, whose: Principal, work: Work) -> Duration {
        let rest = self.works.charge(whose, work, Instant::now());
        if !rest.is_zero() {
            self.note(whose, Kind::Work);
        }
        rest
    }

    /// How long a lane that somebody opens now is to be left alone: not at all, unless they owe so
    /// much that their other lanes all rest for long.
    pub(crate) fn rest_at_first(&self, whose: Principal) -> Duration {
        self.works.owed(whose, Instant::now()).saturating_sub(REST_MAX)
    }

    /// Counts that somebody has used up a share; what they are told.
    pub(crate) fn used_up(&self, whose: Principal, kind: Kind, wait: Duration) -> Refusal {
        self.note(whose, kind);
        kind.refusal(wait)
    }

    fn note(&self, whose: Principal, kind: Kind) {
        self.metrics.used_up(kind);
        self.offenders.count(whose, kind);
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
