//! What a comparison leaves behind: every sample, and the medians and ratios that are made of them.
//!
//! `peers.json` holds this as it is; the table is for people. Percentiles come from one round's
//! histogram, and the median is taken over rounds; nothing is averaged.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::arguments::Work;
use super::contestant::{Contestant, Facts};
use super::harness::Seen;
use super::machine::{Machine, SyncTimes};
use crate::result::Integrity;

/// The version that this crate writes.
const SCHEMA: u32 = 1;
/// From this share of a core on, the generator may have been what was measured.
const GENERATOR_BUSY: f64 = 0.93;
/// From so many cores on, other programs disturbed a measurement.
const OTHERS_BUSY: f64 = 0.25;

/// A comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) schema: u32,
    pub(crate) machine: Machine,
    pub(crate) contestants: Vec<Facts>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) medians: Vec<Median>,
    /// Whether it was ended early.
    pub(crate) is_partial: bool,
    /// Turns without a sample: who, what, which round, why.
    pub(crate) failures: Vec<(Contestant, Work, u32, String)>,
}

/// One contestant's turn.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) contestant: Contestant,
    pub(crate) work: Work,
    pub(crate) round: u32,
    pub(crate) measured_s: f64,
    /// Acknowledgements, or acknowledged deliveries.
    pub(crate) count: u64,
    pub(crate) per_s: f64,
    /// From when a message was due to its ack or delivery.
    pub(crate) latency_us: Percentiles,
    /// `latency` only: from when a message was due until the client had it.
    pub(crate) late_us: Percentiles,
    pub(crate) generator_cores_used: f64,
    pub(crate) server_cores_used: f64,
    /// Everything else on the machine: what makes the figures doubtful.
    pub(crate) other_cores_used: f64,
    pub(crate) server_resident_bytes: u64,
    pub(crate) integrity: Integrity,
    /// `publish-one` only: the disk's own sync, just before.
    pub(crate) fdatasync_us: Option<SyncTimes>,
    /// The generator had no time left: the server might do better.
    pub(crate) is_generator_bound: bool,
}

/// Some quantiles of a histogram.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// A contestant's figures for a work: medians over the rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Median {
    pub(crate) contestant: Contestant,
    pub(crate) work: Work,
    pub(crate) rounds: usize,
    pub(crate) per_s: f64,
    pub(crate) per_s_min: f64,
    pub(crate) per_s_max: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) fdatasync_p50_us: Option<u64>,
    pub(crate) generator_cores_used: f64,
    pub(crate) server_cores_used: f64,
    /// Everything else on the machine: what makes the figures doubtful.
    pub(crate) other_cores_used: f64,
    pub(crate) server_resident_bytes: u64,
    /// Lost, duplicated, reordered and foreign together, over all rounds.
    pub(crate) wrong: u64,
    pub(crate) is_generator_bound: bool,
    /// Wardline's figure for this work over this one's: the rate, or the p99 where times are
    /// measured.
    pub(crate) wardline_ratio: Option<f64>,
}

impl Figures {
    /// Without samples yet.
    pub(crate) fn new(machine: Machine, contestants: Vec<Facts>) -> Self {
        let (samples, medians, failures) = (Vec::new(), Vec::new(), Vec::new());
        Self { schema: SCHEMA, machine, contestants, samples, medians, is_partial: false, failures }
    }

    /// Whether Wardline lost nothing, made nothing up, and had all its turns.
    pub(crate) fn is_wardline_right(&self) -> bool {
        let mut ours = self.samples.iter().filter(|sample| sample.contestant == Contestant::Wardline);
        let takes_part = self.contestants.iter().any(|facts| facts.contestant == Contestant::Wardline);
        // Of nothing nobody can say that it was right.
        let has_shown = if takes_part { ours.clone().next().is_some() } else { !self.samples.is_empty() };
        has_shown
            && ours.all(|sample| sample.integrity == Integrity::default())
            && !self.failures.iter().any(|(contestant, ..)| *contestant == Contestant::Wardline)
    }

    /// Makes the medians and ratios.
    pub(crate) fn summarise(&mut self) {
        let mut works: Vec<Work> = self.samples.iter().map(|sample| sample.work).collect();
        works.dedup();
        self.medians.clear();
        for work in works {
            let mut medians: Vec<Median> = self
                .contestants
                .iter()
                .filter_map(|facts| {
                    let of = |sample: &&Sample| sample.contestant == facts.contestant && sample.work == work;
                    Median::of(&self.samples.iter().filter(of).collect::<Vec<_>>())
                })
                .collect();
            let ours = medians.iter().find(|median| median.contestant == Contestant::Wardline).cloned();
            for median in &mut medians {
                let ratio = ours.as_ref().map(|ours| ours.compared() / median.compared());
                // Of a contestant that got nowhere, none.
                median.wardline_ratio = ratio.filter(|ratio| ratio.is_finite());
            }
            self.medians.append(&mut medians);
        }
    }

    /// The summary, for people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let machine = &self.machine;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "\n{}, {} cores, Linux {}; servers on core {}, generator on core {}; fdatasync p50 {} µs, p99 {} µs\n\
             {} B messages; {} s after {} s of warm-up; medians\n",
            machine.cpu_model,
            machine.cores,
            machine.kernel,
            machine.server_cores,
            machine.generator_cores,
            machine.fdatasync_us.p50,
            machine.fdatasync_us.p99,
            machine.payload_bytes,
            machine.duration_s,
            machine.warmup_s,
        );
        for facts in &self.contestants {
            let tls = if facts.tls { "TLS" } else { "plain" };
            let (name, version) = (facts.contestant.name(), &facts.version);
            let _ = writeln!(text, "{name:<16} {version}; {tls}; sync: {}; acks: {}", facts.sync, facts.acks);
        }
        let mut last = None;
        for median in &self.medians {
            if last != Some(median.work) {
                let _ = writeln!(text, "\n{}\n{}", self.title(median.work), Median::HEADING);
                last = Some(median.work);
            }
            let _ = writeln!(text, "{}", median.line());
        }
        if self.medians.iter().any(|median| median.is_generator_bound) {
            text += "\n* the generator had no time left: at least this\n";
        }
        if self.medians.iter().any(|median| median.other_cores_used > OTHERS_BUSY) {
            text += "\nother programs kept the machine busy (column `others`): the figures are too low\n";
        }
        if self.is_partial {
            text += "\nended early: not every round is in these figures\n";
        }
        text
    }

    fn title(&self, work: Work) -> String {
        let machine = &self.machine;
        match work {
            Work::Publish => format!(
                "publish: durable publishes, {} in flight over {} connections; ratio of rates",
                machine.in_flight, machine.publishers
            ),
            Work::PublishOne => "publish-one: durable publishes, one in flight; ratio of p99".into(),
            Work::FanOut => format!(
                "fan-out: acknowledged deliveries, 1 to {}, {} messages in flight; ratio of rates",
                machine.readers, machine.fan_out_in_flight
            ),
            Work::Latency => format!(
                "latency: publish to delivery, 1 to {} at {} messages/s; ratio of p99",
                machine.readers, machine.rate_per_s
            ),
        }
    }
}

impl Sample {
    /// What was seen, in figures.
    pub(crate) fn new(
        contestant: Contestant,
        work: Work,
        round: u32,
        seen: &Seen,
        fdatasync_us: Option<SyncTimes>,
    ) -> Self {
        Self {
            contestant,
            work,
            round,
            measured_s: seen.measured.as_secs_f64(),
            count: seen.count,
            per_s: seen.count as f64 / seen.measured.as_secs_f64(),
            latency_us: Percentiles::of(&seen.latency_us),
            late_us: Percentiles::of(&seen.late_us),
            generator_cores_used: seen.used.generator_cores,
            server_cores_used: seen.used.server_cores,
            other_cores_used: seen.used.other_cores,
            server_resident_bytes: seen.used.server_resident_bytes,
            integrity: seen.integrity,
            fdatasync_us,
            is_generator_bound: seen.used.generator_cores >= GENERATOR_BUSY,
        }
    }

    /// For people, while it runs.
    pub(crate) fn line(&self) -> String {
        let integrity = match self.wrong() {
            0 => String::new(),
            _ => format!("  WRONG: {:?}", self.integrity),
        };
        format!(
            "{:>9.0}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  CPU {:.2} server, {:.2} generator, {:.2} others{integrity}",
            self.per_s,
            millis(self.latency_us.p50),
            millis(self.latency_us.p99),
            self.server_cores_used,
            self.generator_cores_used,
            self.other_cores_used,
        )
    }

    fn wrong(&self) -> u64 {
        let Integrity { lost, duplicated, reordered, foreign, misnumbered } = self.integrity;
        lost + duplicated + reordered + foreign + misnumbered
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

impl Median {
    const HEADING: &str = "                          /s (least to most)       p50 ms   p99 ms  p99.9 ms  fdatasync  server CPU  gen CPU  others  memory MiB  wrong  wardline is";

    /// `None`: there are no samples.
    fn of(samples: &[&Sample]) -> Option<Self> {
        let first = samples.first()?;
        let real = |of: fn(&Sample) -> f64| median(samples.iter().map(|sample| of(sample)).collect());
        let whole = |of: fn(&Sample) -> u64| median(samples.iter().map(|sample| of(sample)).collect());
        let rates = samples.iter().map(|sample| sample.per_s);
        let syncs: Vec<u64> =
            samples.iter().filter_map(|sample| Some(sample.fdatasync_us.as_ref()?.p50)).collect();
        Some(Self {
            contestant: first.contestant,
            work: first.work,
            rounds: samples.len(),
            per_s: real(|sample| sample.per_s)?,
            per_s_min: rates.clone().fold(f64::INFINITY, f64::min),
            per_s_max: rates.fold(0.0, f64::max),
            p50_us: whole(|sample| sample.latency_us.p50)?,
            p99_us: whole(|sample| sample.latency_us.p99)?,
            p999_us: whole(|sample| sample.latency_us.p999)?,
            fdatasync_p50_us: median(syncs),
            generator_cores_used: real(|sample| sample.generator_cores_used)?,
            server_cores_used: real(|sample| sample.server_cores_used)?,
            other_cores_used: real(|sample| sample.other_cores_used)?,
            server_resident_bytes: whole(|sample| sample.server_resident_bytes)?,
            wrong: samples.iter().map(|sample| sample.wrong()).sum(),
            is_generator_bound: 2 * samples.iter().filter(|sample| sample.is_generator_bound).count()
                > samples.len(),
            wardline_ratio: None,
        })
    }

    /// The figure that matters for the work.
    fn compared(&self) -> f64 {
        match self.work {
            Work::Publish | Work::FanOut => self.per_s,
            Work::PublishOne | Work::Latency => self.p99_us as f64,
        }
    }

    fn line(&self) -> String {
        let name = self.contestant.name();
        let star = if self.is_generator_bound { "*" } else { " " };
        let range = format!("({:.0} to {:.0})", self.per_s_min, self.per_s_max);
        let sync = self.fdatasync_p50_us.map(|us| format!("{:.2} ms", millis(us))).unwrap_or_default();
        let ratio = self.wardline_ratio.map(|ratio| format!("{ratio:.2} x")).unwrap_or_default();
        format!(
            "{name:<16} {:>9.0}{star} {range:<22} {:>8.2} {:>8.2} {:>9.2} {sync:>10} {:>11.2} {:>8.2} {:>7.2} {:>11.0} {:>6} {ratio:>12}",
            self.per_s,
            millis(self.p50_us),
            millis(self.p99_us),
            millis(self.p999_us),
            self.server_cores_used,
            self.generator_cores_used,
            self.other_cores_used,
            self.server_resident_bytes as f64 / f64::from(1 << 20),
            self.wrong,
        )
    }
}

/// The middle one; of an even number, the lower of the two.
fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len().saturating_sub(1) / 2).copied()
}

fn millis(us: u64) -> f64 {
    us as f64 / 1000.0
}
