//! Compares two results of one workload, or several pairs of them, and says what got worse.
//!
//! Medians over repetitions are compared. Something got worse if its median did by more than the
//! threshold *and* nearly every repetition of the second run is worse than nearly every one of the
//! first: a rank test, so that noise within the runs does not fail a build. Tails are noisier than
//! medians and have a wider threshold. A shared machine changes its speed between runs: [`Speed`]
//! takes that out where it is known. Runs of two builds that took turns are compared pair by pair,
//! and more than half of the pairs must be worse. Pure.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::measure::samples::{self, Percentile};
use crate::result::{Environment, Repeat, RunResult};

/// By how much a figure may get worse unless told otherwise.
pub const THRESHOLD: f64 = 0.10;
/// How much wider that is for 99th percentiles.
const TAIL_FACTOR: f64 = 2.5;
/// Of all pairs of repetitions, how many must be worse in the second run: eight of nine.
const WORSE_PAIRS_MIN: f64 = 0.85;
/// With which powers of the machine's speed a latency may go, at least and at most.
pub const POWERS: [f64; 2] = [0.5, 1.5];
/// Two runs of which one had a machine that was faster by more than this say nothing.
const SPEEDS_RATIO_MAX: f64 = 1.5;
/// Fewest pairs of runs with one repetition that say anything.
const SINGLE_PAIRS_MIN: usize = 3;
/// A change of a latency that is less than this is none, whatever share of it that is.
const LATENCY_US_MIN: f64 = 100.0;

/// Two results cannot be compared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CompareError {
    /// They are of two workloads.
    #[error("{a} and {b} are different workloads, or their files differ: only the same can be compared")]
    Workload {
        /// The first's.
        a: String,
        /// The second's.
        b: String,
    },
    /// They offered different loads.
    #[error(
        "the two runs offered different loads ({a}, and {b}): run one of them again with the other's --rate"
    )]
    Load {
        /// The first's.
        a: String,
        /// The second's.
        b: String,
    },
    /// They were measured in different ways.
    #[error("the two runs differ in {what} ({a}, and {b}): run one of them again as the other was")]
    Plan {
        /// In what.
        what: &'static str,
        /// The first's.
        a: String,
        /// The second's.
        b: String,
    },
    /// Nothing tells a change from noise.
    #[error(
        "one repetition each does not tell a change from noise: run with --repeat 3, or give three pairs of runs that took turns"
    )]
    Single,
    /// They have nothing in common.
    #[error("no figure is in both runs: there is nothing to compare")]
    Nothing,
    /// The machine changed too much.
    #[error(
        "the machine's speed differs too much: the generator took {a_us:.1} µs of processor time for each message, and {b_us:.1}: run them again, in turns"
    )]
    Speed {
        /// In the first run.
        a_us: f64,
        /// In the second.
        b_us: f64,
    },
    /// One cannot be used.
    #[error("the {which} run says nothing: {why}")]
    Unusable {
        /// Which.
        which: &'static str,
        /// Why.
        why: String,
    },
}

/// What became of each figure.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Figures that all runs have.
    pub rows: Vec<Row>,
    /// How fast the machine was in each pair; none: not known of all, and not corrected for.
    pub speeds: Vec<Speed>,
    /// In what the two places differ: a change may come from there.
    pub differences: Vec<String>,
}

/// How fast the machine was in two runs of the same load by the same generator, from what that
/// spent on each message.
///
/// The broker's processor time is stated at the speed of the first run (on a host on which both
/// changed by a third, their ratio stayed within 5 %). Latencies go with the speed more or less:
/// more, once work queues; less, where they wait for a disk. So one got worse only if it did by
/// both of [`POWERS`] of the speed. Rates stay as they are. A closed loop gives the generator as
/// much work as the broker can do: nothing is known of it.
///
/// A broker that makes its clients work more looks like a slower machine: [`Comparison::speeds`] is
/// to be read.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// In the first run, the generator's processor time for each message acknowledged or delivered,
    /// microseconds.
    pub a_us: f64,
    /// The same in the second.
    pub b_us: f64,
}

impl Speed {
    fn of(a: &RunResult, b: &RunResult) -> Result<Option<Self>, CompareError> {
        let of = |run: &RunResult| values(run, generator_us).map(|all| median(&all));
        let (true, Some(a_us), Some(b_us)) = (is_same_place(&a.environment, &b.environment), of(a), of(b))
        else {
            return Ok(None);
        };
        if (b_us / a_us).max(a_us / b_us) > SPEEDS_RATIO_MAX {
            return Err(CompareError::Speed { a_us, b_us });
        }
        Ok(Some(Self { a_us, b_us }))
    }

    /// What a figure of a repetition would have been at the speed of the first run, if it goes with
    /// this power of it.
    fn corrected(&self, figure: f64, repeat: &Repeat, power: f64) -> Option<f64> {
        Some(figure * (self.a_us / generator_us(repeat)?).powf(power))
    }
}

/// Whether the same generator ran on the same machine.
fn is_same_place(a: &Environment, b: &Environment) -> bool {
    let place = |it: &Environment| {
        let cores = (it.cores, it.generator_cores.clone(), it.broker_cores.clone());
        (it.generator_sha256.clone(), it.cpu_model.clone(), it.kernel.clone(), cores)
    };
    !a.generator_sha256.is_empty() && place(a) == place(b)
}

/// What became of one figure.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name, with its unit.
    pub figure: &'static str,
    /// The first run's median; of several pairs, here and below, that of the pair in the middle.
    pub a: f64,
    /// The second run's median.
    pub b: f64,
    /// By which share it got worse; negative: better.
    pub worse_by: f64,
    /// By how much it may.
    pub allowed: f64,
    /// Whether it got worse beyond noise, in more than half of the pairs.
    pub is_regression: bool,
}

impl Comparison {
    /// Whether anything got worse.
    pub fn has_regression(&self) -> bool {
        self.rows.iter().any(|row| row.is_regression)
    }
}

/// What is compared.
struct Figure {
    name: &'static str,
    of: fn(&Repeat) -> Option<f64>,
    kind: FigureKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FigureKind {
    Rate,
    Cost,
    Median,
    Tail,
}

impl FigureKind {
    /// With which powers of the machine's speed it may go.
    fn powers(self) -> &'static [f64] {
        match self {
            Self::Rate => &[0.0],
            Self::Cost => &[1.0],
            Self::Median | Self::Tail => &POWERS,
        }
    }
}

const FIGURES: [Figure; 13] = [
    Figure { name: "acked/s", of: |it| Some(it.rates.acked_per_s), kind: FigureKind::Rate },
    Figure { name: "delivered/s", of: |it| Some(it.rates.delivered_per_s), kind: FigureKind::Rate },
    Figure { name: "ack p50, µs", of: |it| p50(it, "publish_ack"), kind: FigureKind::Median },
    Figure { name: "ack p99, µs", of: |it| p99(it, "publish_ack"), kind: FigureKind::Tail },
    Figure { name: "delivery p50, µs", of: |it| p50(it, "deliver"), kind: FigureKind::Median },
    Figure { name: "delivery p99, µs", of: |it| p99(it, "deliver"), kind: FigureKind::Tail },
    Figure { name: "urgent delivery p50, µs", of: |it| p50(it, "urgent_deliver"), kind: FigureKind::Median },
    Figure { name: "urgent delivery p99, µs", of: |it| p99(it, "urgent_deliver"), kind: FigureKind::Tail },
    Figure { name: "catching up p50, µs", of: |it| p50(it, "catch_up"), kind: FigureKind::Median },
    Figure { name: "catching up p99, µs", of: |it| p99(it, "catch_up"), kind: FigureKind::Tail },
    // A closed loop has no intended times.
    Figure { name: "ack service p50, µs", of: |it| service(it, "publish_ack"), kind: FigureKind::Median },
    Figure { name: "delivery service p50, µs", of: |it| service(it, "deliver"), kind: FigureKind::Median },
    Figure { name: "broker CPU per delivery, µs", of: broker_cpu_us, kind: FigureKind::Cost },
];

/// Compares the second run of each pair with its first.
///
/// # Errors
/// [`CompareError`] if that would say nothing.
pub fn compare(pairs: &[(&RunResult, &RunResult)], threshold: f64) -> Result<Comparison, CompareError> {
    let mut differences = BTreeSet::new();
    for (a, b) in pairs {
        check("first", a)?;
        check("second", b)?;
        let (first, _) = pairs[0];
        for run in [a, b] {
            if (&first.workload, &first.workload_toml) != (&run.workload, &run.workload_toml) {
                return Err(CompareError::Workload { a: first.workload.clone(), b: run.workload.clone() });
            }
            let (offered, also) = (load(first), load(run));
            if offered != also {
                return Err(CompareError::Load { a: offered, b: also });
            }
            same_plan(first, run)?;
        }
        same("their seed", a.seed.to_string(), b.seed.to_string())?;
        differences.extend(differing(&a.environment, &b.environment));
        differences.extend(missing(a, b));
    }
    differences.extend(singles(pairs)?);
    let speeds = pairs.iter().map(|(a, b)| Speed::of(a, b)).collect::<Result<Option<Vec<_>>, _>>()?;
    let speeds = speeds.unwrap_or_default();
    let rows: Vec<Row> = FIGURES.iter().filter_map(|figure| row(figure, pairs, &speeds, threshold)).collect();
    if rows.is_empty() {
        return Err(CompareError::Nothing);
    }
    Ok(Comparison { rows, speeds, differences: differences.into_iter().collect() })
}

fn check(which: &'static str, run: &RunResult) -> Result<(), CompareError> {
    // A run of before this was looked at calls itself valid.
    let too_few: Vec<String> = run.repeats.iter().flat_map(samples::too_few).collect();
    let why = match run.verdict.reasons.as_slice() {
        _ if run.repeats.is_empty() => "it has no repetition".into(),
        reasons if !(run.verdict.passed && run.verdict.valid) => reasons.join("; "),
        _ if too_few.is_empty() => return Ok(()),
        _ => too_few.join("; "),
    };
    Err(CompareError::Unusable { which, why })
}

/// Whether both were measured for as long and as often.
fn same_plan(a: &RunResult, b: &RunResult) -> Result<(), CompareError> {
    let time = |seconds: Option<f64>| seconds.map_or("not known".into(), |seconds| format!("{seconds} s"));
    let often = |run: &RunResult| run.repetitions.map_or(run.repeats.len(), |asked| asked as usize);
    same("how long they measured", time(a.duration_s), time(b.duration_s))?;
    same("how long they warmed up", time(a.warmup_s), time(b.warmup_s))?;
    same("how often they measured", often(a).to_string(), often(b).to_string())?;
    same("how often they measured", a.repeats.len().to_string(), b.repeats.len().to_string())
}

fn same(what: &'static str, a: String, b: String) -> Result<(), CompareError> {
    if a == b { Ok(()) } else { Err(CompareError::Plan { what, a, b }) }
}

/// What is to be said of runs with one repetition: few of them say nothing.
fn singles(pairs: &[(&RunResult, &RunResult)]) -> Result<Option<String>, CompareError> {
    match pairs.iter().any(|(a, b)| a.repeats.len().min(b.repeats.len()) < 2) {
        true if pairs.len() < SINGLE_PAIRS_MIN => Err(CompareError::Single),
        true => Ok(Some("one repetition in a run: only the pairs tell a change from noise".into())),
        false => Ok(None),
    }
}

/// Figures that only one of the two has.
fn missing(a: &RunResult, b: &RunResult) -> Vec<String> {
    let has = |run: &RunResult, figure: &Figure| values(run, figure.of).is_some();
    let alone = FIGURES.iter().filter(|figure| has(a, figure) != has(b, figure));
    alone.map(|figure| format!("{}: only one of two runs has it", figure.name)).collect()
}

/// What was offered, in words; a rate that was looked for is an outcome, not a load.
fn load(run: &RunResult) -> String {
    let of = |repeat: &Repeat| match repeat.offered_per_s {
        _ if !repeat.search.is_empty() => "the highest that is sustained".to_owned(),
        Some(per_s) => format!("{per_s}/s"),
        None => repeat.loop_kind.clone(),
    };
    run.repeats.first().map(of).unwrap_or_default()
}

/// The pair in the middle stands for all, and more than half of them must be worse.
fn row(figure: &Figure, pairs: &[(&RunResult, &RunResult)], speeds: &[Speed], threshold: f64) -> Option<Row> {
    let of_each = pairs.iter().enumerate().map(|(number, pair)| {
        let speed = speeds.get(number);
        let by_powers =
            figure.kind.powers().iter().map(|power| of_pair(figure, *pair, speed, *power, threshold));
        let by_powers = by_powers.collect::<Option<Vec<Row>>>()?;
        by_powers.into_iter().min_by(|one, other| one.worse_by.total_cmp(&other.worse_by))
    });
    let mut rows = of_each.collect::<Option<Vec<Row>>>()?;
    rows.sort_by(|one, other| one.worse_by.total_cmp(&other.worse_by));
    let worse = rows.iter().filter(|row| row.is_regression).count();
    let is_regression = worse * 2 > rows.len();
    let middle = rows.len().checked_sub(1)? / 2;
    Some(Row { is_regression, ..rows.swap_remove(middle) })
}

/// At the speed of the first run, if it is known, where the figure goes with this power of it.
fn of_pair(
    figure: &Figure,
    (a, b): (&RunResult, &RunResult),
    speed: Option<&Speed>,
    power: f64,
    threshold: f64,
) -> Option<Row> {
    let of = |repeat: &Repeat| {
        let value = (figure.of)(repeat)?;
        speed.map_or(Some(value), |speed| speed.corrected(value, repeat, power))
    };
    let (all_a, all_b) = (values(a, of)?, values(b, of)?);
    let (a, b) = (median(&all_a), median(&all_b));
    if a <= 0.0 || b <= 0.0 {
        return None;
    }
    let is_better_high = figure.kind == FigureKind::Rate;
    let worse_by = if is_better_high { (a - b) / a } else { (b - a) / a };
    let allowed = if figure.kind == FigureKind::Tail { threshold * TAIL_FACTOR } else { threshold };
    let pairs =
        all_a.iter().flat_map(|a| all_b.iter().map(move |b| if is_better_high { b < a } else { b > a }));
    let worse_pairs = pairs.clone().filter(|is_worse| *is_worse).count() as f64 / pairs.count() as f64;
    let is_latency = matches!(figure.kind, FigureKind::Median | FigureKind::Tail);
    let is_noticeable = !is_latency || b - a >= LATENCY_US_MIN;
    let is_regression = worse_by > allowed && worse_pairs >= WORSE_PAIRS_MIN && is_noticeable;
    Some(Row { figure: figure.name, a, b, worse_by, allowed, is_regression })
}

/// A figure of each repetition, if all have it.
fn values(run: &RunResult, of: impl Fn(&Repeat) -> Option<f64>) -> Option<Vec<f64>> {
    run.repeats.iter().map(of).collect()
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

fn p50(repeat: &Repeat, name: &str) -> Option<f64> {
    repeat.latencies.get(name)?.stated_us(Percentile::P50).map(|us| us as f64)
}

fn p99(repeat: &Repeat, name: &str) -> Option<f64> {
    repeat.latencies.get(name)?.stated_us(Percentile::P99).map(|us| us as f64)
}

fn service(repeat: &Repeat, name: &str) -> Option<f64> {
    if repeat.latencies.contains_key(name) { None } else { p50(repeat, &format!("{name}_service")) }
}

/// What the generator spent on each message acknowledged or delivered, of a load that was given.
fn generator_us(repeat: &Repeat) -> Option<f64> {
    let is_given = repeat.offered_per_s.is_some() && repeat.search.is_empty();
    let events = repeat.counts.acked + repeat.counts.delivered + repeat.counts.echoed;
    let cpu_s = repeat.generator.cpu_s;
    (is_given && events > 0 && cpu_s > 0.0).then(|| cpu_s * 1e6 / events as f64)
}

fn broker_cpu_us(repeat: &Repeat) -> Option<f64> {
    let deliveries = repeat.counts.delivered + repeat.counts.echoed;
    let cpu_s = repeat.broker.as_ref()?.cpu_s;
    (deliveries > 0).then(|| cpu_s * 1e6 / deliveries as f64)
}

fn differing(a: &Environment, b: &Environment) -> Vec<String> {
    let tell = |it: &Environment| {
        BTreeMap::from([
            ("processor", it.cpu_model.clone()),
            ("cores", it.cores.to_string()),
            ("generator's cores", format!("{:?}", it.generator_cores)),
            ("broker's cores", format!("{:?}", it.broker_cores)),
            ("kernel", it.kernel.clone()),
            ("file system", it.file_system.clone()),
            ("receive buffer limit", it.rmem_max_bytes.to_string()),
            ("sync mode", it.sync_mode.clone()),
            ("build profile", it.build_profile.clone()),
            ("generator's program", it.generator_sha256.chars().take(12).collect()),
            ("broker's configuration", it.broker_config.clone().unwrap_or_else(|| "not named".into())),
        ])
    };
    let (a, b) = (tell(a), tell(b));
    let differing = a.into_iter().filter(|(name, value)| b[name] != *value);
    differing.map(|(name, value)| format!("{name}: {value} / {}", b[name])).collect()
}
