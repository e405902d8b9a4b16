//! The table of others' figures without and with the offender, and whether they are near enough.
//!
//! Pure. Of several turns the middle one counts; what was not measured does not hold.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

/// What is compared: a name, and how many times the p99 without the offender it may be with them.
pub(super) const ROWS: [(&str, f64); 5] = [
    ("publish_ack", 1.5),
    ("urgent_publish_ack", 1.2),
    ("deliver", 1.5),
    ("urgent_deliver", 1.2),
    ("history", 1.5),
];

/// What is below the clock's and the scheduler's own noise counts as equal, in microseconds.
const NOISE_US: u64 = 300;

/// One percentile of one thing in one turn.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Figure {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// A thing, alone and beside the offender.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) without: Figure,
    pub(super) with: Figure,
    /// Of the p99s.
    pub(super) ratio: f64,
    pub(super) ratio_max: f64,
}

/// What was found in a turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// By name.
    pub(super) figures: BTreeMap<&'static str, Figure>,
    pub(super) cores: Cores,
}

/// How many of the machine's cores who used: what is nobody's here is the kernel's or a
/// stranger's.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Cores {
    pub(super) broker: Option<f64>,
    /// The generator, which is all others.
    pub(super) others: f64,
    pub(super) offender: Option<f64>,
}

/// The mean of all turns.
pub(super) fn cores(turns: &[Turn]) -> Cores {
    let mean = |value: fn(&Cores) -> Option<f64>| {
        let values: Vec<f64> = turns.iter().filter_map(|turn| value(&turn.cores)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Cores {
        broker: mean(|cores| cores.broker),
        others: mean(|cores| Some(cores.others)).unwrap_or_default(),
        offender: mean(|cores| cores.offender),
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} all others", self.others)?;
        for (cores, who) in [(self.broker, "the broker"), (self.offender, "the offender")] {
            if let Some(cores) = cores {
                write!(f, ", {cores:.2} {who}")?;
            }
        }
        Ok(())
    }
}

/// Puts turns side by side: of each figure the middle one, so that one bad second decides nothing.
pub(super) fn rows(without: &[Turn], with: &[Turn]) -> Vec<Row> {
    ROWS.iter()
        .map(|(name, ratio_max)| {
            let (without, with) = (middle(without, name), middle(with, name));
            let ratio = with.p99_us as f64 / without.p99_us.max(1) as f64;
            Row { name, without, with, ratio, ratio_max: *ratio_max }
        })
        .collect()
}

impl Row {
    /// Whether others were spared.
    pub(super) fn holds(&self) -> bool {
        let is_measured = self.without.count > 0 && self.with.count > 0;
        let is_noise = self.with.p99_us.saturating_sub(self.without.p99_us) <= NOISE_US;
        is_measured && (self.ratio <= self.ratio_max || is_noise)
    }
}

fn middle(turns: &[Turn], name: &str) -> Figure {
    let figures: Vec<Figure> = turns.iter().filter_map(|turn| turn.figures.get(name).copied()).collect();
    let of = |value: fn(&Figure) -> u64| {
        let mut values: Vec<u64> = figures.iter().map(value).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    Figure {
        count: figures.iter().map(|figure| figure.count).sum(),
        p50_us: of(|figure| figure.p50_us),
        p99_us: of(|figure| figure.p99_us),
    }
}

/// For people.
pub(super) fn show(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<20} {:>12} {:>12} {:>12} {:>12} {:>7} {:>6}\n",
        "ms", "p50 without", "p50 with", "p99 without", "p99 with", "ratio", "most"
    );
    for row in rows {
        let millis = |us: u64| us as f64 / 1e3;
        // A string takes everything.
        let _ = writeln!(
            text,
            "{:<20} {:>12.3} {:>12.3} {:>12.3} {:>12.3} {:>7.2} {:>6.1}{}",
            row.name,
            millis(row.without.p50_us),
            millis(row.with.p50_us),
            millis(row.without.p99_us),
            millis(row.with.p99_us),
            row.ratio,
            row.ratio_max,
            if row.holds() { "" } else { "  TOO MUCH" },
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(p99_us: u64) -> Turn {
        let figure = Figure { count: 100, p50_us: p99_us / 2, p99_us };
        let cores = Cores { broker: None, others: 0.5, offender: Some(p99_us as f64) };
        Turn { figures: ROWS.iter().map(|(name, _)| (*name, figure)).collect(), cores }
    }

    #[test]
    fn the_middle_of_the_turns_counts_and_each_row_has_its_bound() {
        let rows =
            rows(&[turn(10_000), turn(9_000), turn(50_000)], &[turn(13_000), turn(90_000), turn(12_000)]);
        assert!(rows.iter().all(|row| row.without.p99_us == 10_000 && row.with.p99_us == 13_000));
        let held: Vec<bool> = rows.iter().map(Row::holds).collect();
        assert_eq!(held, [true, false, true, false, true], "urgent ones are held to less");
        assert!(show(&rows).contains("TOO MUCH"));
    }

    #[test]
    fn cores_are_the_mean_of_those_that_are_known() {
        let cores = cores(&[turn(1), turn(2)]);
        assert_eq!(cores.to_string(), "0.50 all others, 1.50 the offender");
    }

    #[test]
    fn what_was_not_measured_does_not_hold_and_noise_does() {
        let rows = rows(&[Turn::default()], &[turn(1)]);
        assert!(rows.iter().all(|row| !row.holds()));
        let rows = super::rows(&[turn(100)], &[turn(390)]);
        assert!(rows.iter().all(Row::holds));
    }
}
