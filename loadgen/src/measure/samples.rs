//! How many times it takes to state a percentile.
//!
//! A 99th percentile of twenty times is the greatest of them, and of none it is nothing at all:
//! neither is a result. A percentile is stated if enough times lie beyond it; else it is a dash.
//! Pure.

use crate::result::{Latency, Repeat};

/// Fewest times beyond a percentile.
const BEYOND_MIN: u64 = 5;

/// The times whose 99th percentile a run states, if it measured them.
const STATED: [&str; 6] =
    ["publish_ack", "publish_ack_service", "deliver", "deliver_service", "urgent_deliver", "catch_up"];

/// What is stated of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Percentile {
    /// The median.
    P50,
    /// The 90th.
    P90,
    /// The 99th.
    P99,
    /// The one of a thousand.
    P999,
}

impl Percentile {
    fn per_mille(self) -> u64 {
        match self {
            Self::P50 => 500,
            Self::P90 => 900,
            Self::P99 => 990,
            Self::P999 => 999,
        }
    }

    /// Fewest times of which it can be stated.
    pub fn samples_min(self) -> u64 {
        (BEYOND_MIN * 1_000).div_ceil(1_000 - self.per_mille())
    }
}

impl Latency {
    /// A percentile, in microseconds, if enough was measured to state it.
    pub fn stated_us(&self, percentile: Percentile) -> Option<u64> {
        let us = match percentile {
            Percentile::P50 => self.p50_us,
            Percentile::P90 => self.p90_us,
            Percentile::P99 => self.p99_us,
            Percentile::P999 => self.p999_us,
        };
        (self.count >= percentile.samples_min()).then_some(us)
    }
}

/// Why a repetition says nothing, a sentence each; none: it says what it states.
pub fn too_few(repeat: &Repeat) -> Vec<String> {
    let mut reasons = Vec::new();
    if repeat.counts.acked == 0 {
        reasons.push("nothing was acknowledged while it was measured".to_owned());
    }
    let of = |latencies: &std::collections::BTreeMap<String, Latency>, when: &str| {
        let stated = STATED.into_iter().filter_map(|name| Some((name, latencies.get(name)?)));
        let few = stated.filter(|(_, latency)| latency.stated_us(Percentile::P99).is_none());
        few.map(|(name, latency)| {
            format!(
                "only {} times of {name}{when}: a 99th percentile takes {}; measure longer with --duration, or offer more",
                latency.count,
                Percentile::P99.samples_min()
            )
        })
        .collect::<Vec<_>>()
    };
    reasons.extend(of(&repeat.latencies, ""));
    reasons.extend(of(&repeat.alone, " alone"));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u64) -> Latency {
        Latency { count, p50_us: 1, p90_us: 2, p99_us: 3, p999_us: 4, ..Latency::default() }
    }

    #[test]
    fn a_percentile_needs_times_beyond_it() {
        let cases = [
            (Percentile::P50, 10, 1),
            (Percentile::P90, 50, 2),
            (Percentile::P99, 500, 3),
            (Percentile::P999, 5_000, 4),
        ];
        for (percentile, least, us) in cases {
            assert_eq!(percentile.samples_min(), least);
            assert_eq!(of(least).stated_us(percentile), Some(us));
            assert_eq!(of(least - 1).stated_us(percentile), None);
        }
    }

    #[test]
    fn a_repetition_says_of_what_it_has_too_little() {
        let mut repeat = Repeat::default();
        assert_eq!(too_few(&repeat), ["nothing was acknowledged while it was measured"]);
        repeat.counts.acked = 1;
        repeat.latencies.insert("deliver".into(), of(500));
        repeat.latencies.insert("urgent_receipt".into(), of(1));
        assert!(too_few(&repeat).is_empty(), "no percentile of receipts is stated");
        repeat.latencies.insert("urgent_deliver".into(), of(499));
        repeat.alone.insert("urgent_deliver".into(), of(20));
        let reasons = too_few(&repeat);
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons[0].starts_with("only 499 times of urgent_deliver: a 99th percentile takes 500"));
        assert!(reasons[1].starts_with("only 20 times of urgent_deliver alone:"));
    }
}
