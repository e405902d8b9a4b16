//! A process that is killed loses nothing that it acknowledged, whatever it was doing.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wardline_redb::RedbEngine;
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::open::Options;

const OPTIONS: Options = Options::with_memory(4 << 20);
const FOLDER: &str = "WARDLINE_TEST_FOLDER";
/// In each batch, over three tables.
const ROWS: u64 = 12;
const TABLES: [Table; 3] = [Table::Conversation, Table::Message, Table::Receipt];

fn batch(number: u64) -> Vec<Mutation> {
    (0..ROWS)
        .map(|row| {
            let table = TABLES[(row % 3) as usize];
            let key = [number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(), row.to_be_bytes()].concat();
            let value = Bytes::from(vec![number as u8; 100 + (number * 37 % 700) as usize]);
            // Some of them are for the reclaims, which the store's life is full of.
            let expires = if table.expires() && number % 4 == 3 { Timestamp(5) } else { Timestamp::NEVER };
            Mutation::Put { table, key: Bytes::from(key), value, expires }
        })
        .collect()
}

/// How many rows of a batch are there; those that have expired count.
fn rows(engine: &RedbEngine, number: u64) -> u64 {
    let there = |mutation: &Mutation| {
        let Mutation::Put { table, key, value, expires } = mutation else { return false };
        match engine.get(*table, key, Timestamp::ZERO).expect("reads") {
            Some(found) => {
                assert_eq!(found, *value);
                true
            }
            None => *expires != Timestamp::NEVER,
        }
    };
    batch(number).iter().filter(|mutation| there(mutation)).count() as u64
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let seed = std::env::var("WARDLINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = StdRng::seed_from_u64(seed);
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let mut acknowledged = 0;
    for round in 0..25 {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", "in_a_process_that_is_killed", "--nocapture"]);
        child.env(FOLDER, root.path()).env("WARDLINE_TEST_FROM", acknowledged.to_string());
        let mut child = child.stdout(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut numbers =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("at ")?.parse::<u64>().ok());
        // It is at work.
        acknowledged = numbers.next().expect("it commits");
        thread::sleep(Duration::from_micros(random.random_range(0..150_000)));
        child.kill().expect("kills");
        // What it said before it died counts.
        acknowledged = numbers.last().unwrap_or(acknowledged);
        child.wait().expect("ends");
        let engine = RedbEngine::open(&folder, OPTIONS)
            .unwrap_or_else(|error| panic!("round {round}, WARDLINE_SEED={seed}: {error}"));
        for number in (1..=acknowledged).rev().take(40).chain((1..acknowledged).step_by(23)) {
            assert_eq!(rows(&engine, number), ROWS, "round {round}, batch {number}, WARDLINE_SEED={seed}");
        }
        // The one that it died in is whole or gone.
        let last = rows(&engine, acknowledged + 1);
        let is_expiring = (acknowledged + 1) % 4 == 3;
        assert!(is_expiring || last == 0 || last == ROWS, "round {round}: {last} rows, WARDLINE_SEED={seed}");
        assert!(!folder.join("store.redb.new").exists());
    }
    assert!(acknowledged > 100, "it was hardly at work: {acknowledged}");
}

/// Does nothing unless the test above runs it.
#[test]
fn in_a_process_that_is_killed() {
    let Some(root) = std::env::var_os(FOLDER) else { return };
    let from: u64 = std::env::var("WARDLINE_TEST_FROM").expect("a number").parse().expect("a number");
    let engine = RedbEngine::open(Path::new(&root).join("store"), OPTIONS).expect("opens");
    let is_going = AtomicBool::new(true);
    thread::scope(|threads| {
        threads.spawn(|| {
            while is_going.load(Ordering::SeqCst) {
                engine.reclaim(Timestamp(5)).expect("reclaims");
            }
        });
        for number in from + 1.. {
            engine.commit(&batch(number), Durability::Synced).expect("commits");
            let mut out = std::io::stdout().lock();
            writeln!(out, "at {number}").and_then(|()| out.flush()).expect("says so");
        }
    });
}
