//! What merely stands is looked at here, every few seconds: the store, memory, queues, clock,
//! socket, process.
//!
//! One task; reads of files and of the store are done on a blocking thread, so that no session
//! waits for them.

mod figures;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics_process::Collector;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wardline_storage::engine::Engine;

use crate::clock::Clock;
use crate::delivery::topics::Topics;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::requests::reads::Reads;
use crate::turns::Turns;
use figures::Figures;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is looked at.
pub(crate) struct Seen {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) clock: Arc<Clock>,
    /// Where the broker listens.
    pub(crate) address: SocketAddr,
}

/// Looks until stopped, and says so in `metrics`.
pub(crate) async fn run(seen: Seen, metrics: Arc<Metrics>, limits: Arc<Limits>, stop: CancellationToken) {
    let mut look = Look::new(seen, metrics, &limits);
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let looked = tokio::task::spawn_blocking(move || {
            look.once();
            look
        });
        match looked.await {
            Ok(back) => look = back,
            Err(error) => {
                tracing::error!(code = "metrics-stopped", %error, "figures are no longer gathered");
                return;
            }
        }
    }
}

struct Look {
    seen: Seen,
    metrics: Arc<Metrics>,
    figures: Figures,
    process: Collector,
    /// When the broker started, by both clocks.
    started: (Instant, Duration),
}

impl Look {
    fn new(seen: Seen, metrics: Arc<Metrics>, limits: &Limits) -> Self {
        let engine = seen.engine.name();
        metrics::describe_gauge!("wardline_build_info", "Always 1; the labels say what is running.");
        metrics::gauge!("wardline_build_info", "version" => env!("CARGO_PKG_VERSION"), "engine" => engine)
            .set(1.0);
        metrics.connections_max.set(limits.connections_max as f64);
        metrics.tail_bytes_max.set(limits.tails_bytes_max as f64);
        metrics.pages_bytes_max.set(limits.pages_bytes_max as f64);
        metrics.reads_max.set(limits.catch_up_reads_max as f64);
        let process = Collector::default();
        process.describe();
        Self {
            seen,
            metrics,
            figures: Figures::new(engine),
            process,
            started: (Instant::now(), since_epoch()),
        }
    }

    fn once(&mut self) {
        let Self { seen, metrics, .. } = self;
        let health = seen.engine.health(seen.clock.now());
        metrics.retention_oldest_seconds.set(health.oldest_unreclaimed.as_secs_f64());
        self.figures.tell(health.figures);

        metrics.tail_bytes.set(seen.topics.tail_bytes() as f64);
        metrics.topics.set(seen.topics.len() as f64);
        metrics.turns_waiting.set(seen.turns.len() as f64);
        let [request, catch_up, urgent] = seen.reads.under_way();
        metrics.reads_request.set(request as f64);
        metrics.reads_catch_up.set(catch_up as f64);
        metrics.reads_urgent.set(urgent as f64);

        metrics.clock_held_seconds.set(seen.clock.held().as_secs_f64());
        metrics.clock_behind_seconds.set(seen.clock.behind().as_secs_f64());
        let (monotonic, wall) = self.started;
        let moved = since_epoch().as_secs_f64() - wall.as_secs_f64() - monotonic.elapsed().as_secs_f64();
        metrics.clock_moved_seconds.set(moved);

        if let Some(buffer) = socket::look(seen.address) {
            metrics.udp_queue_bytes.set(buffer.queue_bytes as f64);
            metrics.udp_dropped.absolute(buffer.dropped);
        }
        self.process.collect();
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
