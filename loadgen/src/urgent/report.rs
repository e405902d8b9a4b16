//! What `urgent-worst` found: a line for each question, with its bound.
//!
//! A bound that a figure is compared with stands beside it in the result; what is not a number
//! holds no bound.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// All that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// A line for each question.
    pub lines: Vec<Line>,
}

/// The answer to one question.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What was asked.
    pub question: &'static str,
    /// What was found, for people.
    pub found: String,
    /// The figure that is judged.
    pub figure: f64,
    /// It must be no more than this.
    pub figure_max: f64,
    /// How many samples it rests on.
    pub samples: usize,
}

impl Line {
    /// Whether the bound holds.
    pub fn holds(&self) -> bool {
        self.figure <= self.figure_max
    }
}

impl Report {
    /// Whether all bounds hold.
    pub fn holds(&self) -> bool {
        self.lines.iter().all(Line::holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let verdict = if line.holds() { "ok" } else { "NO" };
            writeln!(f, "{verdict}  {}: {} ({} samples)", line.question, line.found, line.samples)?;
        }
        Ok(())
    }
}

/// Times of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds; of no times it is not a number.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

/// A line that says how much longer something takes than alone, at the 99th percentile.
pub(super) fn beside(question: &'static str, alone: &Times, loaded: &Times) -> Line {
    let (a, b) = (alone.percentile(99), loaded.percentile(99));
    let found = format!(
        "p99 {b:.2} ms, alone {a:.2} ms: {:.2} times; p50 {:.2} ms, alone {:.2} ms",
        b / a,
        loaded.percentile(50),
        alone.percentile(50)
    );
    Line { question, found, figure: b / a, figure_max: 1.5, samples: loaded.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample() {
        let mut times = Times::default();
        assert!(times.percentile(99).is_nan());
        for ms in (1..=200).rev() {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!((times.percentile(50), times.percentile(99)), (100.0, 198.0));
    }

    #[test]
    fn what_is_not_a_number_holds_nothing() {
        let line = Line { question: "", found: String::new(), figure: f64::NAN, figure_max: 1.5, samples: 0 };
        assert!(!line.holds());
    }
}
