//! Metrics: every handle resolved once, at the start. A constant number of series.
//!
//! `table` has them all: name, meaning, labels. Names are `wardline_<thing>_<unit>[_total]`; label
//! values are from closed sets (codes, sources, results), never from a peer. What happens is
//! counted where it happens; what merely stands (sizes, depths, the process, the store's own
//! figures) is looked at every few seconds by `operator::gather`. The recorder is installed by
//! whoever starts the broker; without one, all this does nothing.

mod kind;
mod table;

use metrics::Gauge;
use metrics_exporter_prometheus::Matcher;
use wardline_storage::encounter::Heard;
use wardline_storage::said::Effect;

pub(crate) use table::Metrics;

use crate::refusal::Code;
use crate::shares::kind::Kind;

/// Buckets of the histograms. A whole name goes before an ending.
pub(crate) fn buckets() -> [(Matcher, Vec<f64>); 5] {
    let (full, ending) = (|name: &str| Matcher::Full(name.into()), |name: &str| Matcher::Suffix(name.into()));
    let doubling = |from: f64, count: i32| (0..count).map(|n| from * 2f64.powi(n)).collect();
    [
        // What people take.
        (
            full("wardline_delivered_to_read_seconds"),
            vec![0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0],
        ),
        // The broker's times are in milliseconds: up to a minute.
        (full("wardline_publish_to_delivered_seconds"), doubling(1e-3, 17)),
        // 50 µs to 13 s.
        (ending("_seconds"), doubling(50e-6, 19)),
        (ending("_commands"), doubling(1.0, 13)),
        (ending("_entries"), (0..9).map(|n| 4f64.powi(n)).collect()),
    ]
}

impl Metrics {
    /// Counts a refusal.
    pub(crate) fn refused(&self, code: Code) {
        self.refusals[code.index()].increment(1);
    }

    /// Counts that somebody's share is used up.
    pub(crate) fn used_up(&self, kind: Kind) {
        let counter = match kind {
            Kind::Sessions => &self.shares_sessions,
            Kind::Reads => &self.shares_reads,
            Kind::Pages => &self.shares_pages,
            Kind::Commands => &self.shares_commands,
            Kind::People => &self.shares_people,
            Kind::Work => &self.shares_work,
        };
        counter.increment(1);
    }

    /// Counts the end of a session; `None`: the client left, or its connection was lost.
    pub(crate) fn ended(&self, reason: Option<Code>) {
        match reason {
            Some(code) => self.sessions_ended[code.index()].increment(1),
            None => self.sessions_left.increment(1),
        }
    }

    /// Counts what came of a source event, and what is odd about it.
    pub(crate) fn heard(&self, heard: &Heard) {
        let counter = match heard.effect {
            Effect::Changed => &self.record_changed,
            Effect::Unchanged => &self.record_unchanged,
            Effect::Late => &self.record_late,
            Effect::Repeated => &self.record_repeated,
        };
        counter.increment(1);
        let oddities = [
            (heard.made, &self.record_unknown),
            (heard.ahead, &self.record_ahead),
            (heard.disputed, &self.record_disputed),
            (heard.bed.is_some(), &self.record_bed),
        ];
        oddities.iter().filter(|(is_so, _)| *is_so).for_each(|(_, counter)| counter.increment(1));
    }

    /// Counts what came of asking an issuer for its keys.
    pub(crate) fn fetched(&self, result: &str) {
        debug_assert!(table::FETCH_RESULTS.contains(&result), "{result} is counted nowhere");
        let results = table::FETCH_RESULTS.iter().zip(&self.fetches);
        results.filter(|(known, _)| **known == result).for_each(|(_, counter)| counter.increment(1));
    }

    /// Notes a span that is told apart by priority.
    pub(crate) fn delivered(&self, seconds: f64, is_urgent: bool) {
        let histogram = if is_urgent { &self.urgent_to_delivered } else { &self.routine_to_delivered };
        histogram.record(seconds);
    }

    /// The same, from delivered to read.
    pub(crate) fn read(&self, seconds: f64, is_urgent: bool) {
        let histogram = if is_urgent { &self.urgent_to_read } else { &self.routine_to_read };
        histogram.record(seconds);
    }
}

/// Counts one in a gauge as long as it lives.
pub(crate) struct Held(Gauge);

impl Held {
    /// Counts one more.
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
