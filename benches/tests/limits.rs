//! `wardline-limits` as a program: one line of JSON, nothing left behind, and a refusal of what
//! makes no sense.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Runs it with a folder of its own for whatever it writes.
fn limits(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wardline-limits"))
        .args(arguments)
        .current_dir(folder)
        .env("TMPDIR", folder)
        .output()
        .unwrap()
}

/// Runs it; what it reported. It must leave nothing behind.
fn report(arguments: &[&str]) -> Value {
    let folder = TempDir::new().unwrap();
    let output = limits(folder.path(), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(report: &Value, field: &str) -> f64 {
    report[field].as_f64().unwrap_or_else(|| panic!("{report} has no number {field}"))
}

#[test]
fn rocksdb_counts_whole_groups() {
    let report = report(&["rocksdb", "--group", "7", "--seconds", "1"]);
    let (messages, seconds) = (number(&report, "messages"), number(&report, "seconds"));
    assert!(messages > 0.0 && messages % 7.0 == 0.0 && seconds >= 1.0, "{report}");
    assert_eq!(number(&report, "messages_per_second"), messages / seconds);
}

#[test]
fn rocksdb_writes_as_the_broker_does() {
    let report = report(&["rocksdb", "--as-broker", "--group", "7", "--seconds", "1"]);
    assert_eq!(report["as_broker"], true);
    assert!(number(&report, "messages") > 0.0 && number(&report, "messages") % 7.0 == 0.0, "{report}");
}

#[test]
fn fdatasync_orders_its_quantiles() {
    let report = report(&["fdatasync", "--seconds", "1"]);
    let quantiles = ["p50_us", "p99_us", "max_us"].map(|field| number(&report, field));
    assert!(number(&report, "syncs") > 0.0 && quantiles[0] > 0.0 && quantiles.is_sorted(), "{report}");
}

#[test]
fn quinn_delivers_from_one_process_to_the_other() {
    let report = report(&["quinn", "--readers", "3", "--seconds", "1"]);
    assert!(number(&report, "deliveries") > 0.0, "{report}");
    assert_eq!((number(&report, "readers"), number(&report, "payload_bytes")), (3.0, 256.0));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = TempDir::new().unwrap();
    let cases: [&[&str]; 5] = [
        &["rocksdb", "--group", "0"],
        &["rocksdb", "--folder", "not-there"],
        &["fdatasync", "--seconds", "0"],
        &["quinn", "--readers", "0"],
        &["quinn-reader", "--address", "127.0.0.1:1", "--authority", "not-there"],
    ];
    for arguments in cases {
        let output = limits(folder.path(), arguments);
        assert!(!output.status.success() && !output.stderr.is_empty(), "{arguments:?} was taken");
        assert!(output.stdout.is_empty(), "{arguments:?} gave a figure");
    }
}
