//! Metrics: every handle resolved once, at the start. A constant number of series.
//!
//! Names are `wardline_<thing>_<unit>[_total]`. Labels are from closed sets (codes, sources, results), never from a
//! peer. The recorder is installed by whoever starts the broker; without one, all this does nothing.

use metrics::{Counter, Gauge, Histogram, counter, describe_gauge, gauge, histogram};

use crate::refusal::Code;

/// The broker's metric handles.
pub(crate) struct Metrics {
    /// Connections open now, from the handshake's begin.
    pub(crate) connections: Gauge,
    /// Sessions open now.
    pub(crate) sessions: Gauge,
    /// Handshakes that succeeded.
    pub(crate) handshakes_accepted: Counter,
    /// Handshakes that failed or took too long.
    pub(crate) handshakes_failed: Counter,
    /// Handshakes refused since too many were under way, or too many connections open.
    pub(crate) handshakes_refused: Counter,
    /// Handshakes answered with Retry.
    pub(crate) handshakes_retried: Counter,
    /// Requests taken in.
    pub(crate) requests: Counter,
    /// Refusals, by [`Code::index`].
    refusals: Vec<Counter>,
    /// Messages committed.
    pub(crate) published: Counter,
    /// Watermarks committed.
    pub(crate) acknowledged: Counter,
    /// Entries sent out of tails.
    pub(crate) deliveries_tail: Counter,
    /// Entries sent after reading the engine.
    pub(crate) deliveries_engine: Counter,
    /// Entries sent on the urgent lane.
    pub(crate) deliveries_urgent: Counter,
    /// Receipts pushed.
    pub(crate) receipts: Counter,
    /// Commands per commit group.
    pub(crate) group_commands: Histogram,
    /// Seconds to apply a group.
    pub(crate) apply_seconds: Histogram,
    /// Seconds to commit a group, sync included.
    pub(crate) commit_seconds: Histogram,
    /// Commands waiting to be committed.
    pub(crate) queue_commands: Gauge,
    /// Their bytes.
    pub(crate) queue_bytes: Gauge,
    /// Most commands that may wait.
    pub(crate) queue_commands_max: Gauge,
    /// Most bytes that may wait.
    pub(crate) queue_bytes_max: Gauge,
    /// Bytes in tails.
    pub(crate) tail_bytes: Gauge,
    /// Free bytes on the store's file system.
    pub(crate) disk_free_bytes: Gauge,
    /// 1 while writes are refused for lack of room.
    pub(crate) disk_full: Gauge,
    /// Within which time expired bytes are gone.
    pub(crate) retention_bound_seconds: Gauge,
    /// How long the oldest expired bytes have been waiting.
    pub(crate) retention_oldest_seconds: Gauge,
    /// Expired records dropped.
    pub(crate) reclaimed_records: Counter,
    /// Their bytes.
    pub(crate) reclaimed_bytes: Counter,
    /// Runs of reclaiming that failed.
    pub(crate) reclaim_failures: Counter,
}

impl Metrics {
    /// Resolves all handles with the recorder that is installed.
    pub(crate) fn new() -> Self {
        describe_gauge!(
            "wardline_retention_bound_seconds",
            "Expired bytes are gone from every file within this time."
        );
        let handshakes = |result: &'static str| counter!("wardline_handshakes_total", "result" => result);
        let deliveries = |source: &'static str| counter!("wardline_deliveries_total", "source" => source);
        Self {
            connections: gauge!("wardline_connections"),
            sessions: gauge!("wardline_sessions"),
            handshakes_accepted: handshakes("accepted"),
            handshakes_failed: handshakes("failed"),
            handshakes_refused: handshakes("refused"),
            handshakes_retried: handshakes("retried"),
            requests: counter!("wardline_requests_total"),
            refusals: Code::ALL
                .iter()
                .map(|code| counter!("wardline_refusals_total", "code" => code.label()))
                .collect(),
            published: counter!("wardline_published_total"),
            acknowledged: counter!("wardline_acknowledged_total"),
            deliveries_tail: deliveries("tail"),
            deliveries_engine: deliveries("engine"),
            deliveries_urgent: deliveries("urgent"),
            receipts: counter!("wardline_receipts_pushed_total"),
            group_commands: histogram!("wardline_commit_group_commands"),
            apply_seconds: histogram!("wardline_apply_seconds"),
            commit_seconds: histogram!("wardline_commit_seconds"),
            queue_commands: gauge!("wardline_queue_commands"),
            queue_bytes: gauge!("wardline_queue_bytes"),
            queue_commands_max: gauge!("wardline_queue_commands_max"),
            queue_bytes_max: gauge!("wardline_queue_bytes_max"),
            tail_bytes: gauge!("wardline_tail_bytes"),
            disk_free_bytes: gauge!("wardline_disk_free_bytes"),
            disk_full: gauge!("wardline_disk_full"),
            retention_bound_seconds: gauge!("wardline_retention_bound_seconds"),
            retention_oldest_seconds: gauge!("wardline_retention_oldest_unreclaimed_seconds"),
            reclaimed_records: counter!("wardline_reclaimed_records_total"),
            reclaimed_bytes: counter!("wardline_reclaimed_bytes_total"),
            reclaim_failures: counter!("wardline_reclaim_failures_total"),
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, code: Code) {
        self.refusals[code.index()].increment(1);
    }
}
