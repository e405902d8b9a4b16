//! What a connection sends and loses, added to the broker's figures now and then, and when it ends.
//!
//! quinn counts for each connection; here only the difference since the last look is passed on.

use std::time::Duration;

use crate::metrics::Metrics;

/// How often a connection is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Passes on what a connection counts; the rest when it is dropped.
pub(super) struct Traffic<'a> {
    connection: &'a quinn::Connection,
    metrics: &'a Metrics,
    sent: u64,
    lost: u64,
    congestion: u64,
}

impl<'a> Traffic<'a> {
    /// Of a connection from which nothing was passed on yet.
    pub(super) fn new(connection: &'a quinn::Connection, metrics: &'a Metrics) -> Self {
        Self { connection, metrics, sent: 0, lost: 0, congestion: 0 }
    }

    /// Passes on what was counted since the last time.
    pub(super) fn tell(&mut self) {
        let path = self.connection.stats().path;
        self.metrics.rtt_seconds.record(path.rtt.as_secs_f64());
        for (told, counted, counter) in [
            (&mut self.sent, path.sent_packets, &self.metrics.packets_sent),
            (&mut self.lost, path.lost_packets, &self.metrics.packets_lost),
            (&mut self.congestion, path.congestion_events, &self.metrics.congestion_events),
        ] {
            counter.increment(counted.saturating_sub(*told));
            *told = counted;
        }
    }
}

impl Drop for Traffic<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
