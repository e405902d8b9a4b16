//! A measurement and its limit in alternation, and the line that says what part of the limit was
//! reached.
//!
//! Criterion decides how often to iterate and judges our own side. Within each of its samples the
//! limit does the same number of iterations, directly before or after ours by turns: what else the
//! machine does meets both alike, so the ratio is steadier than either figure. The ratio is the
//! median of the pairs' ratios, the rates are the medians of either side (on a noisy machine they
//! need not divide to it); the warm-up does not count.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};

/// How often each pair is measured.
const PAIRS: usize = 20;

/// What is measured, and against what.
#[derive(Clone, Debug)]
pub struct Case {
    /// The bench.
    pub group: &'static str,
    /// Which case of it, mostly a size.
    pub name: String,
    /// What the limit is: "bare RocksDB".
    pub limit: &'static str,
    /// How many of `unit` one iteration is, on either side.
    pub units: u64,
    /// What is counted: "messages".
    pub unit: &'static str,
    /// For how long both sides are measured together, the warm-up not counted. About: a sample
    /// iterates at least once.
    pub time: Duration,
}

/// A bench program: measures cases, then prints a line for each.
pub struct Bench {
    criterion: Criterion,
    lines: Vec<String>,
}

/// Runs a bench program with the arguments that cargo gave it.
///
/// Without `--bench` (under `cargo test`) each side does one iteration, and no ratio is printed.
pub fn run(measure: impl FnOnce(&mut Bench)) {
    let criterion = Criterion::default().sample_size(PAIRS).without_plots().configure_from_args();
    let mut bench = Bench { criterion, lines: Vec::new() };
    measure(&mut bench);
    bench.criterion.final_summary();
    let mut out = io::stdout().lock();
    for line in bench.lines {
        // Whoever closed the pipe has read enough.
        let _ = writeln!(out, "{line}");
    }
}

impl Bench {
    /// Measures a case. `prepare` makes our side and the limit, in this order, unless the case was
    /// not asked for; each does as many iterations as it is told and says how long they took,
    /// without what it had to prepare.
    ///
    /// Whether there is a ratio now: only a whole measurement gives one.
    pub fn measure<Ours, Limit>(&mut self, case: &Case, prepare: impl FnOnce() -> (Ours, Limit)) -> bool
    where
        Ours: FnMut(u64) -> Duration,
        Limit: FnMut(u64) -> Duration,
    {
        let (mut prepare, mut sides) = (Some(prepare), None);
        let mut pairs: Vec<Pair> = Vec::new();
        let mut group = self.criterion.benchmark_group(case.group);
        group
            .sampling_mode(SamplingMode::Flat)
            .warm_up_time((case.time / 4).max(Duration::from_millis(100)))
            .measurement_time(case.time)
            .throughput(Throughput::Elements(case.units));
        group.bench_function(case.name.as_str(), |bencher| {
            // Outside of what criterion times, or it would think that each iteration takes so long.
            if let Some(prepare) = prepare.take() {
                sides = Some(prepare());
            }
            let (ours, limit) = sides.as_mut().expect("prepared at the first call");
            bencher.iter_custom(|iterations| {
                let pair = Pair::measure(pairs.len().is_multiple_of(2), iterations, ours, limit);
                pairs.push(pair);
                pair.ours.mul_f64(iterations as f64)
            });
        });
        group.finish();
        let warm_up = pairs.len().saturating_sub(PAIRS);
        let result = Reached::of(&pairs[warm_up..], case.units);
        self.lines.extend(
            result.map(|reached| format!("{}/{}: {}", case.group, case.name, reached.of_limit(case))),
        );
        result.is_some()
    }

    /// Adds a line about the case that was measured last.
    pub fn note(&mut self, line: impl fmt::Display) {
        self.lines.push(format!("    {line}"));
    }
}

/// What one iteration took on either side, within one sample.
#[derive(Clone, Copy)]
struct Pair {
    ours: Duration,
    limit: Duration,
}

impl Pair {
    fn measure(
        ours_first: bool,
        iterations: u64,
        ours: &mut impl FnMut(u64) -> Duration,
        limit: &mut impl FnMut(u64) -> Duration,
    ) -> Self {
        let each = |total: Duration| total.div_f64(iterations as f64);
        if ours_first {
            let ours = each(ours(iterations));
            Self { ours, limit: each(limit(iterations)) }
        } else {
            let limit = each(limit(iterations));
            Self { ours: each(ours(iterations)), limit }
        }
    }

    fn ratio(self) -> f64 {
        self.limit.as_secs_f64() / self.ours.as_secs_f64()
    }
}

/// What came of a case.
#[derive(Clone, Copy)]
struct Reached {
    ratio: f64,
    /// Between which half of the pairs' ratios lie: how far to trust the ratio.
    middle: (f64, f64),
    ours_per_second: f64,
    limit_per_second: f64,
}

impl Reached {
    /// `None` unless the measurement was a whole one.
    fn of(pairs: &[Pair], units: u64) -> Option<Self> {
        if pairs.len() < PAIRS {
            return None;
        }
        let quantile = |of: fn(&Pair) -> f64, at: f64| {
            let mut values: Vec<f64> = pairs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[(at * (values.len() - 1) as f64).round() as usize]
        };
        let per_second = |of: fn(&Pair) -> f64| units as f64 / quantile(of, 0.5);
        let ratio = |at| quantile(|pair| pair.ratio(), at);
        Some(Self {
            ratio: ratio(0.5),
            middle: (ratio(0.25), ratio(0.75)),
            ours_per_second: per_second(|pair| pair.ours.as_secs_f64()),
            limit_per_second: per_second(|pair| pair.limit.as_secs_f64()),
        })
    }

    fn of_limit(&self, case: &Case) -> String {
        let Self { ratio, middle: (low, high), ours_per_second, limit_per_second } = *self;
        format!(
            "{ratio:.2} of {} ({} of {} {}/s; half of the pairs between {low:.2} and {high:.2})",
            case.limit,
            short(ours_per_second),
            short(limit_per_second),
            case.unit,
        )
    }
}

/// Three digits and a prefix.
fn short(rate: f64) -> String {
    let (value, prefix) = match rate {
        _ if rate >= 1e9 => (rate / 1e9, " G"),
        _ if rate >= 1e6 => (rate / 1e6, " M"),
        _ if rate >= 1e3 => (rate / 1e3, " k"),
        _ => (rate, ""),
    };
    let decimals = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}{prefix}")
}
