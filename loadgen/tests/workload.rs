//! Workload files: those that are shipped are good, and what is wrong in one is told with its place
//! and a remedy.

use wardline_loadgen::workload::{Rate, SHIPPED, Workload, WorkloadError};

const GOOD: &str = r#"about = "a"
source = "b"
people = 10
rate = 50
warmup = "1s"
duration = "5s"

[[audience]]
name = "pairs"
kind = "direct"
conversations = 4
members = [2, 2]

[[traffic]]
name = "chat"
to = { pairs = 1.0 }
share = 1.0
payload_bytes = 256
"#;

/// The error that a change to a good workload brings.
fn error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the good workload");
    Workload::parse("changed", &GOOD.replacen(from, to, 1)).expect_err("the change is wrong").to_string()
}

#[test]
fn all_shipped_workloads_are_good() {
    for shipped in SHIPPED {
        let workload = Workload::find(shipped.name).unwrap();
        assert_eq!(workload.name, shipped.name);
        assert!(!workload.source.is_empty(), "{} says where its numbers come from", shipped.name);
        assert!(workload.about.len() <= 110, "{} is told on one line", shipped.name);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    assert_eq!(error("warmup", "warm_up"), "changed, line 5: unknown key `warm_up`; did you mean `warmup`?");
    assert_eq!(
        error("payload_bytes", "payload_byte"),
        "changed, line 18: unknown key `payload_byte`; did you mean `payload_bytes`?"
    );
}

#[test]
fn bounds_are_checked() {
    assert!(error("rate = 50", "rate = 0").contains("a rate of 0 cannot be offered"));
    assert!(error("rate = 50", "rate = \"fast\"").contains("`max` or `window`, not `fast`"));
    assert!(error("rate = 50", "rate = \"window\"").contains("needs a [window]"));
    assert!(error("duration = \"5s\"", "duration = \"0s\"").contains("longer than 0s"));
    assert!(error("= 256", "= 47").contains("payload_bytes must be between 48 and"));
    assert!(error("[2, 2]", "[2, 3]").contains("a direct conversation has `members = [2, 2]`"));
    assert!(error("conversations = 4", "conversations = 40").contains("too few pairs"));
    assert!(error("{ pairs = 1.0 }", "{ teams = 1.0 }").contains("there is no audience `teams`"));
    assert!(error("share = 1.0", "share = 1.5").contains("at most 1"));
    assert!(
        error("rate = 50", "rate = 50\nalone = \"5s\"")
            .contains("`alone` needs traffic with a rate of its own")
    );
    assert!(error("share = 1.0", "").contains("needs either a `share`"));
    assert!(error("kind = \"direct\"", "kind = \"pair\"").contains("line 10"));
}

#[test]
fn an_unknown_workload_names_the_nearest() {
    let error = Workload::find("fanout-100").unwrap_err();
    assert!(matches!(error, WorkloadError::Unknown { nearest: "fan-out-100", .. }), "{error}");
}

#[test]
fn rates_are_numbers_or_words() {
    assert_eq!("250".parse::<Rate>(), Ok(Rate::PerSecond(250.0)));
    assert_eq!("max".parse::<Rate>(), Ok(Rate::Max));
    assert_eq!("80%".parse::<Rate>(), Ok(Rate::Part(0.8)));
    for nonsense in ["0%", "101%", "-5%", "%", "NaN%"] {
        assert!(nonsense.parse::<Rate>().is_err_and(|error| error.contains("no part of the highest rate")));
    }
    for wrong in ["0", "-1", "NaN", "inf", "1e300", "soon"] {
        assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
    }
}
