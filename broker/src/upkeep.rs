//! The janitor: makes good on "gone within the bound".
//!
//! Expired records are invisible at once; here their bytes are reclaimed, every `reclaim_every`, so
//! that none is left after twice that. Also carries on the rewriting of expiry after a retention
//! was shortened, one bounded command at a time, and what an earlier run of the broker left of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use wardline_storage::command::{Actor, Command, Outcome, Submission};
use wardline_storage::engine::{EngineError, Reclaimed};
use wardline_storage::id::{ConversationId, DeviceId, TenantId, UserId};
use wardline_storage::log::{Completion, Reply};
use wardline_storage::model::Text;
use wardline_storage::view::View;

use crate::refusal::Code;
use crate::requests::service::Service;

/// How long to wait when the log has no room for a rewriting.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// Conversations looked up at a time when unfinished rewritings are resumed.
const PAGE: usize = 256;

/// Reclaims expired bytes until stopped.
pub(crate) async fn reclaim(service: Arc<Service>, every: Duration, stop: CancellationToken) {
    service.metrics.retention_bound_seconds.set((every * 2).as_secs_f64());
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let task = Arc::clone(&service);
        let began = Instant::now();
        let reclaimed = tokio::task::spawn_blocking(move || run(&task)).await;
        service.metrics.reclaim_seconds.set(began.elapsed().as_secs_f64());
        match reclaimed {
            Ok(Ok(reclaimed)) => {
                service.metrics.reclaimed_records.increment(reclaimed.records);
                service.metrics.reclaimed_bytes.increment(reclaimed.bytes);
                if reclaimed.records > 0 {
                    let Reclaimed { records, bytes } = reclaimed;
                    tracing::info!(code = "reclaimed", records, bytes, "expired bytes are gone");
                }
            }
            Ok(Err(error)) => {
                service.metrics.reclaim_failures.increment(1);
                tracing::error!(code = "reclaim-failed", %error, "expired bytes could not be reclaimed; will be tried again");
            }
            Err(error) => {
                service.metrics.reclaim_failures.increment(1);
                tracing::error!(code = "reclaim-ended", %error, "reclaiming ended early");
            }
        }
    }
}

fn run(service: &Service) -> Result<Reclaimed, EngineError> {
    let now = service.clock.now();
    service.topics.sweep(now);
    service.engine.reclaim(now)
}

/// Carries on the rewriting of expiry until stopped: what is left from before, then what is told.
pub(crate) async fn reexpire(
    service: Arc<Service>,
    mut told: mpsc::Receiver<ConversationId>,
    stop: CancellationToken,
) {
    let work = async {
        loop {
            for conversation in unfinished(&service).await {
                rewrite(&service, conversation).await;
            }
            match told.recv().await {
                // The store knows of it, and of those for which there was no room in the channel.
                Some(_) => while told.try_recv().is_ok() {},
                None => return,
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn unfinished(service: &Arc<Service>) -> VecDeque<ConversationId> {
    let read = |service: &Service| {
        let view = View::new(service.engine.as_ref(), service.clock.now());
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
    service.read(&service.catch_up_reads, read).await.unwrap_or_default()
}

async fn rewrite(service: &Service, conversation: ConversationId) {
    let (places, mut completions) = mpsc::channel::<Completion>(1);
    loop {
        let place = places.clone().try_reserve_owned().expect("its only place was given back");
        let submission = Submission {
            time: service.clock.now(),
            actor: nobody(),
            policy: service.policy,
            command: Command::Reexpire { conversation },
        };
        if let Err(refusal) = service.admission.submit(submission, Reply { ticket: 0, place }) {
            if refusal.code == Code::Unavailable {
                return;
            }
            sleep(BUSY_PAUSE).await;
            continue;
        }
        let completion = completions.recv().await;
        match completion.map(|completion| completion.verdict) {
            Some(Ok(Ok(Outcome::Reexpired { more: true }))) => {}
            _ => return,
        }
    }
}

/// The broker itself: the command needs no membership.
pub(crate) fn nobody() -> Arc<Actor> {
    Arc::new(Actor {
        tenant: TenantId::new([0; 16]),
        user: UserId::new([0; 16]),
        name: Text::new(""),
        device: DeviceId::new([0; 16]),
    })
}
