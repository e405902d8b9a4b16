//! What a run will do: arrivals have their rate and their distribution, plans hold what workloads
//! promise.

use std::collections::HashSet;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use wardline_loadgen::plan::arrivals::Arrivals;
use wardline_loadgen::plan::{Person, Plan};
use wardline_loadgen::workload::{ArrivalKind, SHIPPED, Workload};

const SECOND_NS: f64 = 1e9;

fn due(kind: ArrivalKind, rate_per_s: f64, count: usize, seed: u64) -> Vec<u64> {
    let mut arrivals = Arrivals::new(kind, rate_per_s, 1_000, seed, 0);
    std::iter::repeat_with(|| {
        let next_ns = arrivals.next_ns();
        arrivals.advance();
        next_ns
    })
    .take(count)
    .collect()
}

#[test]
fn constant_arrivals_are_evenly_spaced_and_do_not_drift() {
    let due = due(ArrivalKind::Constant, 3.0, 3_000_001, 1);
    let expected = 1_000.0 + 3_000_001.0 / 3.0 * SECOND_NS;
    let last = *due.last().unwrap() as f64;
    assert!((last - expected).abs() < 1e6, "a million seconds are off by {} ns", last - expected);
}

#[test]
fn poisson_arrivals_have_exponential_gaps() {
    let seed = std::env::var("WARDLINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("WARDLINE_SEED={seed}");
    let due = due(ArrivalKind::Poisson, 1_000.0, 200_001, seed);
    let gaps: Vec<_> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    // An exponential distribution's deviation is its mean; 200,000 gaps leave less than 1 % of
    // doubt.
    assert!((mean - 1.0).abs() < 0.02, "mean gap {mean} ms");
    assert!((variance.sqrt() - mean).abs() < 0.03, "deviation {} ms", variance.sqrt());
    let above = gaps.iter().filter(|gap| **gap > 3.0).count() as f64 / gaps.len() as f64;
    assert!((above - (-3.0f64).exp()).abs() < 0.003, "{above} of the gaps are above three means");
}

#[test]
fn schedules_of_one_seed_are_alike_and_of_two_are_not() {
    let of = |seed| due(ArrivalKind::Poisson, 100.0, 100, seed);
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn plans_hold_what_workloads_promise() {
    for shipped in SHIPPED {
        let workload = Workload::find(shipped.name).unwrap();
        let plan = Plan::new(&workload, 1);
        let mut rooms = plan.rooms.iter();
        for audience in &workload.audiences {
            for room in rooms.by_ref().take(audience.conversations as usize) {
                let members: HashSet<_> = room.members.iter().collect();
                let count = members.len() as u32;
                assert_eq!(members.len(), room.members.len(), "{}: nobody is in twice", shipped.name);
                assert!((audience.members[0]..=audience.members[1]).contains(&count), "{}", shipped.name);
                assert!(room.members.iter().all(|person| person.0 < plan.people));
            }
        }
        assert!(rooms.next().is_none());
    }
}

#[test]
fn messages_go_where_the_weights_say() {
    let workload = Workload::find("ward-chat").unwrap();
    let plan = Plan::new(&workload, 1);
    let mut rng = SmallRng::seed_from_u64(1);
    let draws = 100_000;
    let pairs = (0..draws).filter(|_| plan.draw(0, &mut rng).room.0 < 3_000).count();
    let share = pairs as f64 / f64::from(draws);
    assert!((share - 0.81).abs() < 0.01, "{share} between two");
}

#[test]
fn who_is_away_is_not_who_writes_to_them() {
    let workload = Workload::find("shift-change").unwrap();
    let plan = Plan::new(&workload, 1);
    assert_eq!(plan.away.len(), 5_000);
    let publishes = plan.publishes();
    assert!(plan.away.iter().all(|Person(person)| !publishes[*person as usize]));
}

#[test]
fn who_is_slow_only_reads() {
    let workload = Workload::find("slow-readers").unwrap();
    let plan = Plan::new(&workload, 1);
    let publishes = plan.publishes();
    assert_eq!(plan.slow.len(), 2);
    assert!(plan.slow.iter().all(|Person(person)| !publishes[*person as usize]));
}
