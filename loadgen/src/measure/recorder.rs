//! How long things took, in histograms: each second's own, and all of them merged.
//!
//! Three significant digits, microseconds, up to an hour; what takes longer counts as an hour. A
//! time counts if it was intended while measuring, however late it happened. Each second's
//! histogram goes into the interval log (the HdrHistogram text format) and is then merged;
//! percentiles are never averaged. Pure but for what it is told.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::result::{Counts, Latency, Second};

/// Longest time that is told apart.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Points of a curve for each halving of the distance to 1.
const CURVE_TICKS: u32 = 4;
/// Nearest to 1 that a curve comes before its last point.
const CURVE_QUANTILE_MAX: f64 = 0.999_999;

/// What took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// From the intended time to the acknowledgement.
    PublishAck,
    /// From handing over to the SDK to the acknowledgement.
    PublishAckService,
    /// From the intended time until a recipient has it.
    Deliver,
    /// From handing over to the SDK until a recipient has it.
    DeliverService,
    /// From the intended time until the publisher knows that a recipient has it.
    Receipt,
    /// As the first five, of urgent messages.
    UrgentPublishAck,
    /// See above.
    UrgentPublishAckService,
    /// See above.
    UrgentDeliver,
    /// See above.
    UrgentDeliverService,
    /// See above.
    UrgentReceipt,
    /// As `Deliver`, to those who stopped reading for a while.
    DeliverSlow,
    /// As `Deliver`, to the others while some do not read. Those are in `Deliver` too.
    DeliverBesideSlow,
    /// As `Deliver`, to devices that come back, from when each was to come back.
    CatchUp,
    /// From when a device was to come back until it has a session.
    Reconnect,
    /// How far behind its intended time a message was handed to the SDK.
    LateSend,
}

const NAMES: [(Name, &str); 15] = [
    (Name::PublishAck, "publish_ack"),
    (Name::PublishAckService, "publish_ack_service"),
    (Name::Deliver, "deliver"),
    (Name::DeliverService, "deliver_service"),
    (Name::Receipt, "receipt"),
    (Name::UrgentPublishAck, "urgent_publish_ack"),
    (Name::UrgentPublishAckService, "urgent_publish_ack_service"),
    (Name::UrgentDeliver, "urgent_deliver"),
    (Name::UrgentDeliverService, "urgent_deliver_service"),
    (Name::UrgentReceipt, "urgent_receipt"),
    (Name::DeliverSlow, "deliver_slow"),
    (Name::DeliverBesideSlow, "deliver_beside_slow"),
    (Name::CatchUp, "catch_up"),
    (Name::Reconnect, "reconnect"),
    (Name::LateSend, "late_send"),
];

impl Name {
    /// Whether it needs an intended time, which a closed loop's messages do not have.
    fn counts_from_intended(self) -> bool {
        matches!(self, Self::PublishAck | Self::Deliver | Self::Receipt | Self::LateSend)
    }

    /// The same of an urgent message.
    pub fn urgent(self, is_urgent: bool) -> Self {
        match self {
            _ if !is_urgent => self,
            Self::PublishAck => Self::UrgentPublishAck,
            Self::PublishAckService => Self::UrgentPublishAckService,
            Self::Deliver => Self::UrgentDeliver,
            Self::DeliverService => Self::UrgentDeliverService,
            Self::Receipt => Self::UrgentReceipt,
            other => other,
        }
    }
}

/// Records one measurement.
#[derive(Debug)]
pub struct Recorder {
    measured_ns: Range<u64>,
    /// Routine messages have no intended times: a closed loop.
    is_closed: bool,
    /// By [`Name`].
    series: Vec<Option<Box<Series>>>,
    /// Of what was intended while measuring.
    pub counts: Counts,
    /// What happened while measuring, whenever it was intended.
    pub flow: Flow,
    seconds: Vec<Second>,
    last_flow: Flow,
}

/// What happened in a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    /// Messages that fell due.
    pub due: u64,
    /// Messages acknowledged.
    pub acked: u64,
    /// Messages taken from inboxes, a publisher's own ones apart.
    pub delivered: u64,
    /// Payload bytes of those.
    pub delivered_bytes: u64,
}

#[derive(Debug)]
struct Series {
    second: Histogram<u64>,
    all: Histogram<u64>,
    log: Vec<u8>,
}

impl Recorder {
    /// Records what is intended in this time, from the run's origin. In a closed loop nothing is
    /// intended, so only service times are recorded.
    pub fn new(measured_ns: Range<u64>, is_closed: bool) -> Self {
        Self {
            measured_ns,
            is_closed,
            series: NAMES.iter().map(|_| None).collect(),
            counts: Counts::default(),
            flow: Flow::default(),
            seconds: Vec::new(),
            last_flow: Flow::default(),
        }
    }

    /// Whether something that was intended at this time counts.
    pub fn counts_at(&self, intended_ns: u64) -> bool {
        self.measured_ns.contains(&intended_ns)
    }

    /// What is measured.
    pub fn measured_ns(&self) -> Range<u64> {
        self.measured_ns.clone()
    }

    /// Ends the measurement early: what is intended later does not count.
    pub fn cut(&mut self, now_ns: u64) {
        self.measured_ns.end = self.measured_ns.end.min(now_ns).max(self.measured_ns.start);
    }

    /// Records a time that counts.
    pub fn record(&mut self, name: Name, from_ns: u64, to_ns: u64) {
        if self.is_closed && name.counts_from_intended() {
            return;
        }
        let series = self.series[name as usize].get_or_insert_with(Series::new);
        series.second.saturating_record(to_ns.saturating_sub(from_ns) / 1_000);
    }

    /// Adds to what happened at this time.
    pub fn flows(&mut self, now_ns: u64, add: impl FnOnce(&mut Flow)) {
        if self.measured_ns.contains(&now_ns) {
            add(&mut self.flow);
        }
    }

    /// A quantile of the second that is not yet closed; `None` if nothing was recorded in it.
    pub fn quantile_us(&self, name: Name, quantile: f64) -> Option<u64> {
        let series = self.series[name as usize].as_ref().filter(|series| !series.second.is_empty())?;
        Some(series.second.value_at_quantile(quantile))
    }

    /// Messages acknowledged and delivered in the second that is not yet closed.
    pub fn this_second(&self) -> (u64, u64) {
        (self.flow.acked - self.last_flow.acked, self.flow.delivered - self.last_flow.delivered)
    }

    /// Closes a second; `second` has what the two processes used, and the backlog.
    ///
    /// # Errors
    /// If a histogram cannot be written to its log.
    pub fn close_second(&mut self, lasted: Duration, mut second: Second) -> anyhow::Result<()> {
        let quantile = |series: &Option<Box<Series>>, quantile| {
            series.as_ref().map_or(0, |series| series.second.value_at_quantile(quantile))
        };
        second.deliver_p50_us = quantile(&self.series[Name::Deliver as usize], 0.5);
        second.deliver_p99_us = quantile(&self.series[Name::Deliver as usize], 0.99);
        second.ack_p99_us = quantile(&self.series[Name::PublishAck as usize], 0.99);
        second.acked = self.flow.acked - self.last_flow.acked;
        second.delivered = self.flow.delivered - self.last_flow.delivered;
        self.last_flow = self.flow;
        self.merge(Duration::from_secs_f64(second.at_s.max(0.0)), lasted)?;
        self.seconds.push(second);
        Ok(())
    }

    /// Merges what came since the last second was closed.
    ///
    /// # Errors
    /// If a histogram cannot be written to its log.
    pub fn merge(&mut self, at: Duration, lasted: Duration) -> anyhow::Result<()> {
        for series in self.series.iter_mut().flatten() {
            series.merge(at, lasted)?;
        }
        Ok(())
    }

    /// The seconds that were closed.
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// The distribution of a time; empty if it never was recorded.
    pub fn latency(&self, name: Name) -> Latency {
        self.series[name as usize].as_ref().map(|series| latency(&series.all)).unwrap_or_default()
    }

    /// All distributions but of late sends, by name.
    pub fn latencies(&self) -> BTreeMap<String, Latency> {
        let recorded = NAMES.iter().filter(|(name, _)| *name != Name::LateSend);
        let recorded = recorded.map(|(name, text)| ((*text).to_owned(), self.latency(*name)));
        recorded.filter(|(_, latency)| latency.count > 0).collect()
    }

    /// The interval logs, by name, ready to be written to files.
    ///
    /// # Errors
    /// If a header cannot be made.
    pub fn logs(&self, workload: &str, began: SystemTime) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let mut logs = Vec::new();
        for (name, text) in NAMES {
            let Some(series) = &self.series[name as usize] else { continue };
            let mut log = Vec::new();
            IntervalLogWriterBuilder::new()
                .add_comment(&format!("wardline-loadgen {workload} {text}, microseconds"))
                .with_start_time(began)
                .with_base_time(began)
                .begin_log_with(&mut log, &mut V2DeflateSerializer::new())
                .context("cannot begin an interval log")?;
            log.extend_from_slice(&series.log);
            logs.push((text, log));
        }
        Ok(logs)
    }
}

impl Series {
    fn new() -> Box<Self> {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are constants that are valid")
        };
        Box::new(Self { second: histogram(), all: histogram(), log: Vec::new() })
    }

    fn merge(&mut self, at: Duration, lasted: Duration) -> anyhow::Result<()> {
        if self.second.is_empty() {
            return Ok(());
        }
        self.all.add(&self.second).context("two histograms with the same bounds do not add up")?;
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut self.log, &mut V2DeflateSerializer::new())
            .context("cannot begin an interval log")?
            .write_histogram(&self.second, at, lasted, None)
            .context("cannot write to an interval log")?;
        self.second.reset();
        Ok(())
    }
}

fn latency(all: &Histogram<u64>) -> Latency {
    let at = |quantile| all.value_at_quantile(quantile);
    let points =
        all.iter_quantiles(CURVE_TICKS).map(|step| (step.quantile_iterated_to(), step.value_iterated_to()));
    let points = points.filter(|(quantile, _)| *quantile <= CURVE_QUANTILE_MAX);
    Latency {
        count: all.len(),
        min_us: if all.is_empty() { 0 } else { all.min() },
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: all.max(),
        curve: points.chain(std::iter::once((1.0, all.max()))).collect(),
    }
}
