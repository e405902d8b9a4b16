//! `kill -9` at any moment, SIGTERM, a full disk, a destroyed one: nothing acknowledged is lost,
//! nothing doubled, nothing reordered, no receipt goes back.
//!
//! The real binary, ended again and again at random moments under people who publish and read
//! without pause, and judged by the oracle: trials of `wardline-torture`, short enough for every
//! run of the tests. `WARDLINE_SEED` and `WARDLINE_CYCLES` are honoured; the seed is printed.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod comeback;
mod drain;
mod drill;
mod failure;
mod full;

use std::path::Path;

use tempfile::TempDir;
use wardline_client::{Client, ConversationId, Direction, Entry};
use wardline_torture::fault;
use wardline_torture::programme::{Context, Outcome};

const CYCLES: u64 = 20;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: a whole number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let seed = variable("WARDLINE_SEED").unwrap_or_else(rand::random);
    let cycles = variable("WARDLINE_CYCLES").unwrap_or(CYCLES);
    println!("WARDLINE_SEED={seed} WARDLINE_CYCLES={cycles}");
    let folder = TempDir::new().unwrap();
    let outcome = fault::kill::run(&context(folder.path(), seed), cycles).await.unwrap();
    assert_eq!(outcome.cycles, cycles);
    println!("{}", good(&outcome, folder.path(), seed));
}

/// What a trial with data, keys, log and journal in a folder needs to know.
fn context(folder: &Path, seed: u64) -> Context {
    Context {
        program: env!("CARGO_BIN_EXE_wardline").into(),
        engine: None,
        fail_points_program: None,
        folder: folder.to_owned(),
        journals: folder.to_owned(),
        seed,
        is_brief: true,
        deadline: None,
    }
}

/// Every promise was kept, and enough was promised; gives the figures.
fn good(outcome: &Outcome, folder: &Path, seed: u64) -> String {
    let log = std::fs::read_to_string(folder.join(format!("{}.log", outcome.name))).unwrap_or_default();
    assert!(
        outcome.is_good(),
        "WARDLINE_SEED={seed}: {} objections, the first: {:#?}\ntroubles: {:#?}\n{log}",
        outcome.objections.len(),
        &outcome.objections[..outcome.objections.len().min(5)],
        outcome.troubles,
    );
    let tally = outcome.tally;
    assert!(tally.acked > 0 && tally.deliveries > 0 && tally.receipts > 0, "{tally:?}");
    format!("{} messages, {} ends, {:.1} s", tally.acked, tally.kills, outcome.took.as_secs_f64())
}

/// All of a conversation, from the first entry on.
async fn history(client: &Client, room: ConversationId) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        let page = client.history(room, from, Direction::Forward, 200).await.unwrap();
        entries.extend(page.entries);
        next = page.next_from;
    }
    entries
}
