//! How old backups are, when clocks cannot be trusted.
//!
//! Their sequence is their order; the times that were noted may contradict it and this clock. The
//! largest set of times that ascend with the sequence and end before now is believed. A backup
//! whose time is not counts as being as old as the next one that is: it is older than that one, and
//! nothing keeps it for longer. Pure.

use std::time::Duration;

use wardline_storage::id::Timestamp;

/// How far this clock may be ahead of a running broker's log, beside the time between two ticks.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// What ages are counted to. A running broker does not follow a clock that jumps, and its log
/// ticks: so a clock that is far ahead of the log takes nothing that is fresh. Without a broker
/// (`None`) nothing else is known.
pub fn counted_to(now: Timestamp, log_time: Option<Timestamp>, ticks_every: Duration) -> Timestamp {
    let ahead = u64::try_from((ticks_every + AHEAD_MAX).as_millis()).unwrap_or(u64::MAX);
    log_time.map_or(now, |log_time| now.min(Timestamp(log_time.0.saturating_add(ahead))))
}

/// From when each backup is, in order of sequence, by the times that were noted.
pub(super) fn dated(noted: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    let believed = believed(noted, now);
    let mut next = now;
    let mut dated: Vec<Timestamp> = Vec::with_capacity(noted.len());
    for (time, is_believed) in noted.iter().zip(believed).rev() {
        if is_believed {
            next = *time;
        }
        dated.push(next);
    }
    dated.reverse();
    dated
}

/// Which times belong to the largest ascending set up to now; of two that are as large, the earlier
/// times.
fn believed(noted: &[Timestamp], now: Timestamp) -> Vec<bool> {
    // The largest set that ends with each: how many, and which one comes before it.
    let mut ending: Vec<Option<(usize, Option<usize>)>> = Vec::with_capacity(noted.len());
    for time in noted {
        let best = largest(noted, &ending, *time);
        let size = best.and_then(|best| ending[best]).map_or(1, |(size, _)| size + 1);
        ending.push((*time <= now).then_some((size, best)));
    }
    let mut believed = vec![false; noted.len()];
    let mut at = largest(noted, &ending, now);
    while let Some(last) = at {
        believed[last] = true;
        at = ending[last].and_then(|(_, before)| before);
    }
    believed
}

/// Of the sets so far, the largest that ends no later than `until`.
fn largest(
    noted: &[Timestamp],
    ending: &[Option<(usize, Option<usize>)>],
    until: Timestamp,
) -> Option<usize> {
    let fitting = ending.iter().enumerate().filter(|(at, _)| noted[*at] <= until);
    let sized = fitting.filter_map(|(at, set)| set.map(|(size, _)| (size, std::cmp::Reverse(noted[at]), at)));
    sized.max().map(|(.., at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(noted: &[u64], now: u64) -> Vec<u64> {
        let noted: Vec<Timestamp> = noted.iter().copied().map(Timestamp).collect();
        dated(&noted, Timestamp(now)).into_iter().map(|time| time.0).collect()
    }

    #[test]
    fn times_that_agree_with_the_sequence_are_believed() {
        assert_eq!(days(&[1, 2, 3], 3), [1, 2, 3]);
        assert_eq!(days(&[5, 5], 9), [5, 5]);
        assert!(days(&[], 9).is_empty());
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_nothing() {
        // Ahead of now, and ahead only of those that came after.
        assert_eq!(days(&[401, 2, 3], 3), [2, 2, 3]);
        assert_eq!(days(&[1, 402, 3, 4], 4), [1, 3, 3, 4]);
        assert_eq!(days(&[1, 9, 3, 4], 10), [1, 3, 3, 4]);
        assert_eq!(days(&[401, 402], 3), [3, 3]);
        assert_eq!(days(&[7, 2], 9), [2, 2]);
    }

    #[test]
    fn a_clock_that_is_ahead_takes_nothing_that_is_fresh() {
        const DAY: u64 = 86_400_000;
        let hour = Duration::from_secs(3_600);
        let to = |now: u64, log: Option<u64>| counted_to(Timestamp(now), log.map(Timestamp), hour).0;
        assert_eq!(to(500 * DAY, Some(100 * DAY)), 101 * DAY + 3_600_000);
        assert_eq!(to(100 * DAY + 1, Some(100 * DAY)), 100 * DAY + 1);
        assert_eq!(to(500 * DAY, None), 500 * DAY, "nobody knows better");
        assert_eq!(to(7, Some(100 * DAY)), 7);
    }

    #[test]
    fn a_clock_that_was_behind_takes_nothing_with_it() {
        assert_eq!(days(&[7, 8, 0, 9], 9), [7, 8, 9, 9]);
        // This one is behind: nothing is older than it says.
        assert_eq!(days(&[7, 8, 9, 1], 1), [1, 1, 1, 1]);
    }
}
