//! The trace, its schedule, and what people are going to do: complete, in order, and the same for
//! the same seed.

use std::time::Duration;

use wardline_loadgen::replay::content::Contents;
use wardline_loadgen::replay::pace::{ReadDelay, Schedule};
use wardline_loadgen::replay::people::{Plan, plans};
use wardline_loadgen::replay::trace::{Message, Person, Trace, TraceError};

const DURATION: Duration = Duration::from_secs(90);

fn uci() -> (Trace, Schedule) {
    let trace = Trace::uci(None).expect("the trace in the repository is whole");
    let schedule = Schedule::new(&trace, DURATION);
    (trace, schedule)
}

#[test]
fn the_trace_is_whole() {
    let (trace, _) = uci();
    assert_eq!(trace.messages.len(), 59_835);
    assert_eq!(trace.people().len(), 1_899);
    assert_eq!(
        trace.messages[0],
        Message { sender: Person(1), recipient: Person(2), sent_at_s: 1_082_008_561 }
    );
    assert_eq!(trace.by_pair().values().map(Vec::len).sum::<usize>(), 59_835);
}

#[test]
fn a_wrong_line_is_named() {
    for (line, expected) in [
        ("1\t2", "no time"),
        ("1\tx\t5", "no recipient"),
        ("1\t2\t5\t1", "more than three columns"),
        ("1\t1\t5", "writes to themselves"),
        ("5000000000\t1\t5", "too large"),
        ("1\t2\t3", "earlier than the line before"),
    ] {
        let error = Trace::parse(&format!("# a comment\n1\t2\t4\n{line}\n"), None).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains(expected), "{error}");
    }
    assert!(matches!(Trace::parse("", None), Err(TraceError::Empty)));
}

#[test]
fn fewer_people_are_a_part_of_the_trace() {
    let few = Trace::uci(Some(50)).expect("some of them write to each other");
    assert!(few.people().len() <= 50);
    assert!(few.messages.iter().all(|m| m.sender.0 <= 50 && m.recipient.0 <= 50));
}

#[test]
fn the_schedule_keeps_order_and_bounds_the_rate() {
    let (trace, schedule) = uci();
    let times: Vec<Duration> = (0..trace.messages.len()).map(|index| schedule.intended(index)).collect();
    assert!(times.is_sorted());
    assert_eq!(times[0], Duration::ZERO);
    assert!(times.iter().all(|time| *time <= DURATION));
    let mean = times.len() as f64 / DURATION.as_secs_f64();
    let mut per_second = vec![0_u32; DURATION.as_secs() as usize + 1];
    for time in &times {
        per_second[time.as_secs() as usize] += 1;
    }
    let peak = f64::from(*per_second.iter().max().expect("there are seconds"));
    assert!(peak > 1.2 * mean, "bursts remain: {peak} at a mean of {mean}");
    assert!(peak < 2.1 * mean, "and stay playable: {peak} at a mean of {mean}");
}

#[test]
fn read_delays_have_the_documented_median() {
    let delays = ReadDelay::new(7, 1.0);
    let mut drawn: Vec<Duration> = (0..10_001).map(|message| delays.of(message)).collect();
    assert_eq!(drawn[5], delays.of(5), "the same whenever asked");
    drawn.sort_unstable();
    let median = drawn[5_000].as_secs_f64();
    assert!((100.0..140.0).contains(&median), "median {median} s");
}

#[test]
fn half_of_the_people_go_and_come_back_and_write_meanwhile_nothing() {
    let (trace, schedule) = uci();
    let plans = plans(&trace, &schedule, 3);
    assert_eq!(plans.len(), 1_899);
    assert_eq!(plans.iter().map(|plan| plan.sends.len()).sum::<usize>(), 59_835);
    let away: Vec<&Plan> = plans.iter().filter(|plan| !plan.absences.is_empty()).collect();
    assert_eq!(away.len(), 1_899 / 2);
    assert!(away.iter().any(|plan| plan.absences.len() > 1));
    for plan in away {
        for absence in &plan.absences {
            assert!(absence.from < absence.until && absence.until < DURATION);
            let is_within = |message: &usize| {
                let at = schedule.intended(*message);
                absence.from <= at && at < absence.until
            };
            assert!(!plan.sends.iter().any(is_within), "{:?} writes while away", plan.person);
        }
        assert!(plan.absences.windows(2).all(|pair| pair[0].until < pair[1].from));
    }
}

#[test]
fn a_seed_decides_everything() {
    let (trace, schedule) = uci();
    let of = |seed| {
        let absences: Vec<_> = plans(&trace, &schedule, seed).into_iter().map(|plan| plan.absences).collect();
        (absences, Contents::new(seed).payload(9, &trace.messages[9]), ReadDelay::new(seed, 1.0).of(9))
    };
    assert_eq!(of(1), of(1));
    let (one, two) = (of(1), of(2));
    assert!(one.0 != two.0 && one.1 != two.1 && one.2 != two.2);
}

#[test]
fn a_payload_proves_which_message_it_is() {
    let (trace, _) = uci();
    let contents = Contents::new(5);
    let mut sizes = Vec::new();
    for (index, message) in trace.messages.iter().enumerate().take(2_000) {
        let payload = contents.payload(index, message);
        assert_eq!(contents.identify(&payload, &trace), Some(index));
        sizes.push(payload.len());
    }
    assert!(sizes.iter().all(|size| (24..=300).contains(size)));
    assert!(sizes.iter().any(|size| *size > 250));
    let payload = contents.payload(1_000, &trace.messages[1_000]);
    for byte in 0..payload.len() {
        let mut damaged = payload.to_vec();
        damaged[byte] ^= 1;
        assert_eq!(contents.identify(&damaged, &trace), None, "byte {byte}");
    }
    assert_eq!(contents.identify(&payload[..payload.len() - 1], &trace), None);
    assert_eq!(Contents::new(6).identify(&payload, &trace), None, "another run's");
    assert_eq!(contents.identify(b"", &trace), None);
}

#[test]
fn names_of_people_have_one_spelling() {
    assert_eq!(Person(7).to_string(), "person-0007");
    assert_eq!(Person::parse("person-0007"), Some(Person(7)));
    for other in ["person-7", "person-00007", "person-+007", "person-", "person-x", "7", ""] {
        assert_eq!(Person::parse(other), None, "{other}");
    }
}
