//! What merely stands is looked at here, every few seconds: the store, memory, queues, clock,
//! socket, process.
//!
//! One task; reads of files and of the store are done on a blocking thread, so that no session
//! waits for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics_process::Collector;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use super::socket;
use crate::requests::service::Service;
use crate::turns::Turns;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks until stopped. `address`: where the broker listens.
pub(crate) async fn run(
    service: Arc<Service>,
    turns: Arc<Turns>,
    address: SocketAddr,
    stop: CancellationToken,
) {
    let mut look = Look::new(&service, turns, address);
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let task = Arc::clone(&service);
        let looked = tokio::task::spawn_blocking(move || {
            look.at(&task);
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
    turns: Arc<Turns>,
    address: SocketAddr,
    figures: Figures,
    process: Collector,
    /// When the broker started, by both clocks.
    started: (Instant, Duration),
}

impl Look {
    fn new(service: &Service, turns: Arc<Turns>, address: SocketAddr) -> Self {
        let (metrics, limits) = (&service.metrics, &service.limits);
        let engine = service.engine.name();
        metrics::describe_gauge!("wardline_build_info", "Always 1; the labels say what is running.");
        metrics::gauge!("wardline_build_info", "version" => env!("CARGO_PKG_VERSION"), "engine" => engine)
            .set(1.0);
        metrics.connections_max.set(limits.connections_max as f64);
        metrics.tail_bytes_max.set(limits.tails_bytes_max as f64);
        metrics.reads_max.set(limits.catch_up_reads_max as f64);
        let process = Collector::default();
        process.describe();
        Self {
            turns,
            address,
            figures: Figures::new(engine),
            process,
            started: (Instant::now(), since_epoch()),
        }
    }

    fn at(&mut self, service: &Service) {
        let metrics = &service.metrics;
        let health = service.engine.health(service.clock.now());
        metrics.retention_oldest_seconds.set(health.oldest_unreclaimed.as_secs_f64());
        self.figures.tell(health.figures);

        metrics.tail_bytes.set(service.topics.tail_bytes() as f64);
        metrics.topics.set(service.topics.len() as f64);
        metrics.turns_waiting.set(self.turns.len() as f64);
        let under_way = |permits: &tokio::sync::Semaphore| {
            service.limits.catch_up_reads_max.saturating_sub(permits.available_permits()) as f64
        };
        metrics.reads_request.set(under_way(&service.request_reads));
        metrics.reads_catch_up.set(under_way(&service.catch_up_reads));

        metrics.clock_held_seconds.set(service.clock.held().as_secs_f64());
        let (monotonic, wall) = self.started;
        let moved = since_epoch().as_secs_f64() - wall.as_secs_f64() - monotonic.elapsed().as_secs_f64();
        metrics.clock_moved_seconds.set(moved);

        if let Some(buffer) = socket::look(self.address) {
            metrics.udp_queue_bytes.set(buffer.queue_bytes as f64);
            metrics.udp_dropped.absolute(buffer.dropped);
        }
        self.process.collect();
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
