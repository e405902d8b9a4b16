//! Deterministic simulation: thousands of schedules of clients, log, machine and a disk that
//! forgets.
//!
//! A seed is a schedule. 2,000 by default; `WARDLINE_SEED=N` replays one, twice, step by step on
//! stdout (`-- --nocapture`), and `WARDLINE_SCHEDULES=N` runs more or fewer.

mod client;
mod gate;
#[path = "../power_loss/lossy.rs"]
mod lossy;
mod world;

use lossy::Disk;
use world::World;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} wants a whole number, not {text}")))
}

#[test]
fn no_schedule_breaks_a_promise() {
    let chosen = setting("WARDLINE_SEED");
    let (first, count) = match chosen {
        Some(seed) => (seed, 1),
        None => (1, setting("WARDLINE_SCHEDULES").unwrap_or(2_000)),
    };
    let (mut cuts, mut acknowledged, mut steps) = (0, 0, 0);
    for seed in first..first + count {
        match World::run(seed, Disk::Honest, chosen.is_some()) {
            Ok(trace) => {
                cuts += trace.cuts;
                acknowledged += trace.acknowledged;
                steps += trace.steps;
            }
            Err(objection) => panic!("{objection}\nreplay: WARDLINE_SEED={seed}"),
        }
    }
    println!("{count} schedules: {steps} steps, {acknowledged} acknowledgements, {cuts} cuts");
    assert!(chosen.is_some() || (cuts > count && acknowledged > 5 * count), "hardly anything happens");
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    let seeds = setting("WARDLINE_SEED").map_or(1..201, |seed| seed..seed + 1);
    let mut digests = std::collections::HashSet::new();
    for seed in seeds.clone() {
        let run = || World::run(seed, Disk::Honest, false).unwrap_or_else(|why| panic!("{seed}: {why}"));
        let (first, second) = (run(), run());
        assert_eq!(first, second, "seed {seed}");
        digests.insert(first.digest);
    }
    assert_eq!(digests.len() as u64, seeds.end - seeds.start, "each seed gives a schedule of its own");
}

/// What proves that the first test can see: a disk that ignores syncs must not pass.
#[test]
fn a_missing_sync_is_seen() {
    let seen = (1..=300).filter(|seed| World::run(*seed, Disk::Ignoring, false).is_err()).count();
    assert!(seen > 150, "only {seen} of 300 schedules saw that syncs are ignored");
}
