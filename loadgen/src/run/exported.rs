//! The generator's own figures for Prometheus, beside the broker's: `wardline-loadgen run --metrics
//! ADDRESS`.
//!
//! Told a few times a second from what is counted anyway; nothing is added to what each message
//! costs. Latencies are those of the last second. Without a recorder all this does nothing.

use std::cell::Cell;
use std::net::SocketAddr;

use anyhow::Context;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::stage::Stage;
use crate::measure::recorder::{Name, Recorder};
use crate::result::Second;

/// Latencies that are told.
const LATENCIES: [(Name, &str); 6] = [
    (Name::PublishAck, "publish_ack"),
    (Name::Deliver, "deliver"),
    (Name::Receipt, "receipt"),
    (Name::UrgentPublishAck, "urgent_publish_ack"),
    (Name::UrgentDeliver, "urgent_deliver"),
    (Name::LateSend, "late_send"),
];
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.99, "0.99"), (0.999, "0.999")];

/// Serves what is told from now on; within a runtime.
///
/// # Errors
/// If the address cannot be had.
pub fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let served = PrometheusBuilder::new().with_http_listener(address).install();
    served.with_context(|| format!("cannot serve metrics on {address} (TCP); name another --metrics"))?;
    describe_counter!("wardline_loadgen_offered_total", "Messages that fell due.");
    describe_counter!("wardline_loadgen_acked_total", "Messages acknowledged.");
    describe_counter!("wardline_loadgen_failed_total", "Messages that failed for good.");
    describe_counter!("wardline_loadgen_delivered_total", "Messages taken from inboxes.");
    describe_gauge!("wardline_loadgen_backlog", "Messages due and not acknowledged.");
    describe_gauge!("wardline_loadgen_outstanding", "Deliveries still to come.");
    describe_gauge!("wardline_loadgen_cores", "Cores that the generator used in the last second.");
    describe_gauge!("wardline_loadgen_resident_bytes", "Memory of the generator.");
    describe_gauge!(
        "wardline_loadgen_latency_seconds",
        "Latency in the last second in which there was any, from the intended time."
    );
    Ok(())
}

/// What was told so far of one repetition.
pub(crate) struct Exported {
    counted: [(Counter, Cell<u64>); 4],
    backlog: Gauge,
    outstanding: Gauge,
    cores: Gauge,
    resident_bytes: Gauge,
}

impl Exported {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        let counted = [
            counter!("wardline_loadgen_offered_total"),
            counter!("wardline_loadgen_acked_total"),
            counter!("wardline_loadgen_failed_total"),
            counter!("wardline_loadgen_delivered_total"),
        ];
        Self {
            counted: counted.map(|counter| (counter, Cell::new(0))),
            backlog: gauge!("wardline_loadgen_backlog"),
            outstanding: gauge!("wardline_loadgen_outstanding"),
            cores: gauge!("wardline_loadgen_cores"),
            resident_bytes: gauge!("wardline_loadgen_resident_bytes"),
        }
    }

    /// Tells how it stands.
    pub(crate) fn tell(&self, stage: &Stage) {
        let totals = &stage.totals;
        let now = [&totals.due, &totals.acked, &totals.failed, &totals.received].map(Cell::get);
        for ((counter, told), now) in self.counted.iter().zip(now) {
            // What was due and is dropped at the end is taken back.
            counter.increment(now.saturating_sub(told.get()));
            told.set(now.max(told.get()));
        }
        self.backlog.set(stage.backlog() as f64);
        self.outstanding.set(stage.ledger.borrow().outstanding() as f64);
    }

    /// Tells of a second that is about to be closed.
    pub(crate) fn tell_second(&self, recorder: &Recorder, second: &Second) {
        self.cores.set(second.generator_cores);
        self.resident_bytes.set(second.generator_resident_bytes as f64);
        for (name, what) in LATENCIES {
            for (quantile, label) in QUANTILES {
                if let Some(micros) = recorder.quantile_us(name, quantile) {
                    gauge!("wardline_loadgen_latency_seconds", "what" => what, "quantile" => label)
                        .set(micros as f64 / 1e6);
                }
            }
        }
    }
}
