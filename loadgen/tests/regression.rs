//! `compare` on made-up results: two runs of one build pass, a planted delay does not, and what
//! says nothing is refused.

mod synthetic;

use synthetic::{Shape, run};
use wardline_loadgen::compare::{CompareError, Comparison, THRESHOLD, compare};
use wardline_loadgen::result::{Latency, RunResult, Trial};

/// A run whose repetitions differ by a few percent, with every latency stretched by `factor`.
fn stretched(factor: f64) -> RunResult {
    let mut result = run(&Shape::default());
    for (repeat, noise) in result.repeats.iter_mut().zip([0.96, 1.0, 1.05]) {
        repeat.search.clear();
        for latency in repeat.latencies.values_mut() {
            stretch(latency, factor * noise);
        }
    }
    result
}

fn stretch(latency: &mut Latency, factor: f64) {
    for us in [&mut latency.p50_us, &mut latency.p99_us] {
        *us = (*us as f64 * factor) as u64;
    }
}

fn compared(a: &RunResult, b: &RunResult) -> Comparison {
    compare(&[(a, b)], THRESHOLD).expect("the two can be compared")
}

fn regressions(comparison: &Comparison) -> Vec<&str> {
    comparison.rows.iter().filter(|row| row.is_regression).map(|row| row.figure).collect()
}

#[test]
fn the_same_build_has_no_regression() {
    for factor in [0.8, 0.95, 1.0, 1.05] {
        let comparison = compared(&stretched(1.0), &stretched(factor));
        assert!(!comparison.has_regression(), "{factor}: {:?}", regressions(&comparison));
    }
}

#[test]
fn a_delay_of_a_fifth_is_a_regression() {
    let comparison = compared(&stretched(1.0), &stretched(1.2));
    assert!(regressions(&comparison).contains(&"delivery p50, µs"), "{:?}", comparison.rows);
}

/// As on a machine that takes so many times as long for everything; latencies go with this power of
/// it.
fn on_a_machine(mut run: RunResult, slower: f64, power: f64) -> RunResult {
    for repeat in &mut run.repeats {
        repeat.generator.cpu_s *= slower;
        if let Some(broker) = &mut repeat.broker {
            broker.cpu_s *= slower;
        }
        repeat.latencies.values_mut().for_each(|latency| stretch(latency, slower.powf(power)));
    }
    run
}

#[test]
fn the_machines_speed_is_taken_out() {
    let first = stretched(1.0);
    for (slower, power) in
        [(0.7, 1.3), (0.8, 0.5), (0.9, 0.0), (1.2, 1.5), (1.3, 0.0), (1.4, 1.3), (1.4, 0.5)]
    {
        let same = compared(&first, &on_a_machine(stretched(1.0), slower, power));
        assert!(!same.has_regression(), "{slower} {power}: {:?}", same.rows);
        let mut costly = on_a_machine(stretched(1.0), slower, power);
        costly.repeats.iter_mut().for_each(|repeat| repeat.broker.as_mut().unwrap().cpu_s *= 1.2);
        assert_eq!(
            regressions(&compared(&first, &costly)),
            ["broker CPU per delivery, µs"],
            "{slower} {power}"
        );
    }
    for (slower, power) in [(0.7, 1.3), (0.8, 1.0), (1.2, 1.0), (1.4, 1.3)] {
        let worse = compared(&first, &on_a_machine(stretched(1.5), slower, power));
        assert!(regressions(&worse).contains(&"delivery p50, µs"), "{slower} {power}: {:?}", worse.rows);
    }
}

#[test]
fn rates_stay_as_they_are() {
    let mut b = on_a_machine(stretched(1.0), 1.4, 1.0);
    b.repeats.iter_mut().for_each(|repeat| repeat.rates.delivered_per_s *= 0.8);
    assert_eq!(regressions(&compared(&stretched(1.0), &b)), ["delivered/s"]);
}

#[test]
fn a_machine_that_changed_too_much_says_nothing() {
    for slower in [0.6, 1.6] {
        let b = on_a_machine(stretched(1.0), slower, 1.0);
        let refused = compare(&[(&stretched(1.0), &b)], THRESHOLD).unwrap_err();
        assert!(matches!(refused, CompareError::Speed { .. }), "{refused}");
    }
}

/// A change to a run.
type Change = fn(&mut RunResult);

#[test]
fn the_machines_speed_is_known_of_one_generator_in_one_place_under_a_given_load() {
    let closed: Change = |run| run.repeats.iter_mut().for_each(|repeat| repeat.offered_per_s = None);
    let searched: Change =
        |run| run.repeats.iter_mut().for_each(|repeat| repeat.search = vec![Trial::default()]);
    let unknown: Change = |run| run.environment.generator_sha256.clear();
    let changes: [(Change, Change); 6] = [
        (closed, closed),
        (searched, searched),
        (unknown, unknown),
        (|_| {}, |run| run.environment.generator_sha256 = "another".into()),
        (|_| {}, |run| run.environment.kernel = "another".into()),
        (|_| {}, |run| run.environment.generator_cores = vec![0]),
    ];
    for (number, (change_a, change_b)) in changes.into_iter().enumerate() {
        let (mut a, mut b) = (stretched(1.0), on_a_machine(stretched(1.0), 1.4, 1.0));
        let known = compared(&a, &b);
        assert!(!known.has_regression() && known.speeds.len() == 1);
        change_a(&mut a);
        change_b(&mut b);
        let unknown = compared(&a, &b);
        assert!(unknown.has_regression() && unknown.speeds.is_empty(), "{number}: {:?}", unknown.rows);
        // Of several pairs all, or none is corrected.
        let quick = stretched(1.0);
        let pairs = [(&a, &b), (&quick, &quick), (&a, &b)];
        if let Ok(of_pairs) = compare(&pairs, THRESHOLD) {
            assert!(of_pairs.has_regression() && of_pairs.speeds.is_empty(), "{number}: {:?}", of_pairs.rows);
        }
    }
}

#[test]
fn one_bad_repetition_is_noise() {
    let mut b = stretched(1.0);
    b.repeats[0].latencies.values_mut().for_each(|latency| stretch(latency, 3.0));
    assert!(!compared(&stretched(1.0), &b).has_regression());
}

#[test]
fn fewer_deliveries_are_a_regression() {
    let (a, mut b) = (stretched(1.0), stretched(1.0));
    b.repeats.iter_mut().for_each(|repeat| repeat.rates.delivered_per_s *= 0.8);
    assert_eq!(regressions(&compared(&a, &b)), ["delivered/s"]);
    assert!(!compared(&b, &a).has_regression(), "more deliveries are none");
}

/// Each pair of runs at another speed of the machine, the second of each stretched by `factor`.
fn in_turns(factor: f64) -> Comparison {
    let speeds = [1.0, 1.6, 0.9, 1.3, 1.15];
    let runs = speeds.map(|speed| (stretched(speed), stretched(speed * factor)));
    let pairs: Vec<_> = runs.iter().map(|(a, b)| (a, b)).collect();
    compare(&pairs, THRESHOLD).expect("they can be compared")
}

#[test]
fn runs_in_turns_are_compared_pair_by_pair() {
    let worse = in_turns(1.2);
    assert!(regressions(&worse).contains(&"delivery p50, µs"), "{:?}", worse.rows);
    for factor in [0.9, 1.0, 1.05] {
        let comparison = in_turns(factor);
        assert!(!comparison.has_regression(), "{factor}: {:?}", regressions(&comparison));
    }
}

#[test]
fn most_pairs_decide() {
    let (a, bad, better) = (stretched(1.0), stretched(1.5), stretched(0.5));
    let has_regression = |pairs: &[(&RunResult, &RunResult)]| {
        compare(pairs, THRESHOLD).expect("they can be compared").has_regression()
    };
    assert!(!has_regression(&[(&a, &a), (&a, &bad), (&a, &a)]), "one bad pair is noise");
    assert!(!has_regression(&[(&a, &a), (&a, &bad)]), "half of them are not most");
    assert!(has_regression(&[(&a, &bad), (&a, &better), (&a, &bad)]), "so is one good one");
}

#[test]
fn every_run_of_several_pairs_is_looked_at() {
    let a = stretched(1.0);
    let other_workload = RunResult { workload: "ward-chat".into(), ..a.clone() };
    let refused = compare(&[(&a, &a), (&other_workload, &other_workload)], THRESHOLD).unwrap_err();
    assert!(matches!(refused, CompareError::Workload { .. }), "{refused}");
}

#[test]
fn what_says_nothing_is_refused() {
    let a = stretched(1.0);
    let other_workload = RunResult { workload: "ward-chat".into(), ..a.clone() };
    let refused = compare(&[(&a, &other_workload)], THRESHOLD).unwrap_err();
    assert!(matches!(refused, CompareError::Workload { .. }), "{refused}");
    let mut invalid = a.clone();
    invalid.verdict.valid = false;
    invalid.verdict.reasons.push("the generator was too slow".into());
    let refused = compare(&[(&a, &invalid)], THRESHOLD).unwrap_err();
    assert_eq!(refused.to_string(), "the second run says nothing: the generator was too slow");
    let mut faster = a.clone();
    faster.repeats.iter_mut().for_each(|repeat| repeat.offered_per_s = Some(400.0));
    let refused = compare(&[(&a, &faster)], THRESHOLD).unwrap_err();
    assert!(matches!(refused, CompareError::Load { .. }), "{refused}");
}

#[test]
fn runs_that_were_measured_differently_are_refused() {
    let a = stretched(1.0);
    let changes: [(Change, &str); 5] = [
        (|run| run.duration_s = Some(30.0), "how long they measured (60 s, and 30 s)"),
        (|run| run.duration_s = None, "how long they measured (60 s, and not known)"),
        (|run| run.warmup_s = Some(0.0), "how long they warmed up (5 s, and 0 s)"),
        (|run| run.repetitions = Some(2), "how often they measured (3, and 2)"),
        (|run| run.seed = 8, "their seed (7, and 8)"),
    ];
    for (change, says) in changes {
        let mut b = a.clone();
        change(&mut b);
        let refused = compare(&[(&a, &b)], THRESHOLD).unwrap_err();
        assert!(matches!(refused, CompareError::Plan { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
    // Pairs may differ in their seeds, but not the two of one pair; in all else nobody may.
    let (mut other, mut longer) = (a.clone(), a.clone());
    other.seed = 8;
    longer.duration_s = Some(90.0);
    assert!(compare(&[(&a, &a), (&other, &other)], THRESHOLD).is_ok());
    assert!(compare(&[(&a, &a), (&longer, &longer)], THRESHOLD).is_err());
}

#[test]
fn single_repetitions_say_nothing_unless_there_are_several_pairs() {
    let mut a = stretched(1.0);
    a.repeats.truncate(1);
    a.repetitions = Some(1);
    for pairs in [vec![(&a, &a)], vec![(&a, &a), (&a, &a)]] {
        let refused = compare(&pairs, THRESHOLD).unwrap_err();
        assert!(matches!(refused, CompareError::Single), "{refused}");
    }
    let comparison = compare(&[(&a, &a), (&a, &a), (&a, &a)], THRESHOLD).unwrap();
    assert!(comparison.differences.iter().any(|it| it.starts_with("one repetition")), "{comparison:?}");
}

#[test]
fn too_few_samples_say_nothing_whatever_the_run_says_of_itself() {
    let a = stretched(1.0);
    let mut few = a.clone();
    few.repeats[1].latencies.get_mut("deliver").unwrap().count = 20;
    let refused = compare(&[(&a, &few)], THRESHOLD).unwrap_err().to_string();
    assert!(refused.starts_with("the second run says nothing: only 20 times of deliver"), "{refused}");
    let mut nothing = a.clone();
    nothing.repeats.iter_mut().for_each(|repeat| repeat.counts.acked = 0);
    let refused = compare(&[(&nothing, &nothing)], THRESHOLD).unwrap_err().to_string();
    assert!(refused.contains("nothing was acknowledged"), "{refused}");
}

#[test]
fn a_figure_that_only_one_run_has_is_told() {
    let (a, mut b) = (stretched(1.0), stretched(1.0));
    b.repeats.iter_mut().for_each(|repeat| drop(repeat.latencies.remove("urgent_deliver")));
    let differences = compared(&a, &b).differences;
    assert!(
        differences.contains(&"urgent delivery p99, µs: only one of two runs has it".to_owned()),
        "{differences:?}"
    );
}

#[test]
fn another_machine_is_told() {
    let mut b = stretched(1.0);
    b.environment.kernel = "another".into();
    let differences = compared(&stretched(1.0), &b).differences;
    assert!(differences.iter().any(|difference| difference.starts_with("kernel:")), "{differences:?}");
}

#[test]
fn a_result_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let result = stretched(1.0);
    let write = |json: &serde_json::Value| {
        std::fs::write(folder.path().join("result.json"), json.to_string()).unwrap();
        wardline_loadgen::report::read(folder.path()).unwrap().result
    };
    let mut json = serde_json::to_value(&result).unwrap();
    let read = write(&json);
    assert_eq!((read.schema, &read.workload_toml), (result.schema, &result.workload_toml));
    for (read, repeat) in read.repeats.iter().zip(&result.repeats) {
        assert_eq!(read.integrity, repeat.integrity);
        assert_eq!(read.latencies["deliver"].p99_us, repeat.latencies["deliver"].p99_us);
        assert_eq!(read.series.len(), repeat.series.len());
    }
    assert!(!compared(&result, &read).has_regression());
    // One of before the program was named.
    json["environment"].as_object_mut().unwrap().remove("generator_sha256").unwrap();
    assert_eq!(write(&json).environment.generator_sha256, "");
}
