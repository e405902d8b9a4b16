//! Upkeep: makes good on "gone within the bound".
//!
//! Expired records are invisible at once; here their bytes are reclaimed, every `reclaim_every`, so
//! that none is left after twice that. What is reclaimed goes by the log's time, as all else does:
//! so the log is made to tick first, and an idle broker forgets too. Also carries on the rewriting
//! of expiry after a retention was shortened, and brings the members of care conversations in line
//! with the record: one bounded command at a time, and what an earlier run of the broker left of
//! it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use wardline_storage::command::{Command, Outcome};
use wardline_storage::engine::{Engine, Reclaimed};
use wardline_storage::id::ConversationId;
use wardline_storage::staff::StaffOf;
use wardline_storage::view::View;

use crate::access::caller::nobody;
use crate::delivery::topics::Topics;
use crate::metrics::Metrics;
use crate::refusal::Code;
use crate::requests::intake::Intake;
use crate::requests::reads::Reads;
use crate::shares::principal::Principal;
use crate::tasks::Tasks;

/// How long to wait when the log has no room for a rewriting.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How often what has expired is forgotten in memory.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Conversations looked up at a time when unfinished rewritings are resumed.
const PAGE: usize = 256;

/// What upkeep is set to.
pub(crate) struct Config {
    /// How often expired bytes are reclaimed.
    pub(crate) reclaim_every: Duration,
}

/// What it works on.
pub(crate) struct Upkeep {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Config {
    /// Starts it. `told`: conversations whose expiry is to be rewritten; `regroup`: told when
    /// members are to be brought in line with the record.
    pub(crate) fn start(
        self,
        work: Upkeep,
        told: mpsc::Receiver<ConversationId>,
        regroup: Arc<Notify>,
        tasks: &mut Tasks,
    ) {
        let work = Arc::new(work);
        tasks.spawn(|stop| sweep(Arc::clone(&work), stop));
        tasks.spawn(|stop| reclaim(Arc::clone(&work), self.reclaim_every, stop));
        tasks.spawn(|stop| reexpire(Arc::clone(&work), told, stop));
        tasks.spawn(|stop| self::regroup(work, regroup, stop));
    }
}

/// Forgets in memory what has expired, until stopped.
async fn sweep(work: Arc<Upkeep>, stop: CancellationToken) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let sweeping = Arc::clone(&work);
        // Topics are many: not on a thread that sessions wait for. If it panicked, the panic was
        // told, and it is tried again.
        let _ = tokio::task::spawn_blocking(move || sweeping.topics.sweep(sweeping.reads.now())).await;
    }
}

/// Reclaims expired bytes until stopped.
async fn reclaim(work: Arc<Upkeep>, every: Duration, stop: CancellationToken) {
    let metrics = &work.metrics;
    metrics.retention_bound_seconds.set((every * 2).as_secs_f64());
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let reached = work.intake.tick().await;
        let (engine, began) = (Arc::clone(&work.engine), Instant::now());
        let reclaimed = tokio::task::spawn_blocking(move || engine.reclaim(reached)).await;
        metrics.reclaim_seconds.set(began.elapsed().as_secs_f64());
        match reclaimed {
            Ok(Ok(reclaimed)) => {
                metrics.reclaimed_records.increment(reclaimed.records);
                metrics.reclaimed_bytes.increment(reclaimed.bytes);
                if reclaimed.records > 0 {
                    let Reclaimed { records, bytes } = reclaimed;
                    tracing::info!(code = "reclaimed", records, bytes, "expired bytes are gone");
                }
            }
            Ok(Err(error)) => {
                metrics.reclaim_failures.increment(1);
                tracing::error!(code = "reclaim-failed", %error, "expired bytes could not be reclaimed; will be tried again");
            }
            Err(error) => {
                metrics.reclaim_failures.increment(1);
                tracing::error!(code = "reclaim-ended", %error, "reclaiming ended early");
            }
        }
    }
}

/// Carries on the rewriting of expiry until stopped: what is left from before, then what is told.
async fn reexpire(work: Arc<Upkeep>, mut told: mpsc::Receiver<ConversationId>, stop: CancellationToken) {
    let rewriting = async {
        loop {
            for conversation in work.unfinished().await {
                work.rewrite(conversation).await;
            }
            match told.recv().await {
                // The store knows of it, and of those for which there was no room in the channel.
                Some(_) => while told.try_recv().is_ok() {},
                None => return,
            }
        }
    };
    stop.run_until_cancelled(rewriting).await;
}

/// Brings members in line with the record until stopped: what is left from before, then whenever it
/// is told.
async fn regroup(work: Arc<Upkeep>, told: Arc<Notify>, stop: CancellationToken) {
    let regrouping = async {
        loop {
            // Telling the encounters of a ward leaves marks of its own: look until there are none.
            loop {
                let due = work.out_of_line().await;
                if due.is_empty() {
                    break;
                }
                for of in due {
                    if !work.go_on(Command::Regroup { of }).await {
                        sleep(BUSY_PAUSE).await;
                    }
                }
            }
            told.notified().await;
        }
    };
    stop.run_until_cancelled(regrouping).await;
}

impl Upkeep {
    /// Some of those whose members are not those whom the record names.
    async fn out_of_line(&self) -> Vec<StaffOf> {
        let read = |view: View<'_>| Ok(view.regrouping(None, PAGE)?.items);
        // The read logs its failure; what is out of line stays so in the store.
        self.reads.to_catch_up(Principal::from(&*nobody()), read).await.unwrap_or_default()
    }

    async fn unfinished(&self) -> VecDeque<ConversationId> {
        let read = |view: View<'_>| {
            let (mut all, mut after) = (VecDeque::new(), None);
            loop {
                let page = view.reexpiring(after, PAGE)?;
                all.extend(page.items);
                match page.next {
                    Some(next) => after = Some(next),
                    None => return Ok(all),
                }
            }
        };
        // The read logs its failure; what is unfinished stays in the store.
        self.reads.to_catch_up(Principal::from(&*nobody()), read).await.unwrap_or_default()
    }

    async fn rewrite(&self, conversation: ConversationId) {
        self.go_on(Command::Reexpire { conversation }).await;
    }

    /// Submits a command of bounded steps until there is no more to do, or it is refused for good:
    /// `false`.
    async fn go_on(&self, command: Command) -> bool {
        loop {
            match self.intake.ask(&nobody(), command.clone()).await {
                Ok(Outcome::Reexpired { more: true } | Outcome::Regrouped { more: true }) => {}
                Err(refusal)
                    if matches!(refusal.code, Code::Retry | Code::ResourceExhausted | Code::StorageFull) =>
                {
                    sleep(BUSY_PAUSE).await;
                }
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }
}
