//! The engine's memory follows from its options, not from the size of the store.
//!
//! Alone in its program, whose memory it watches.

use std::fs;

use bytes::Bytes;
use wardline_redb::RedbEngine;
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::open::Options;

const OPTIONS: Options = Options::with_memory(4 << 20);
const ROWS: u32 = 12_000;
const VALUE_BYTES: usize = 5_000;
/// The caches twice over, a step of a copy, and what the allocator does not give back.
const MEMORY_MAX_MIB: u64 = 24;

/// The most that this program had in memory.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("reads");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

fn rows(numbers: impl Iterator<Item = u32>) -> Vec<Mutation> {
    let row = |number: u32| Mutation::Put {
        table: Table::Message,
        key: Bytes::copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes()),
        value: Bytes::from(vec![number as u8; VALUE_BYTES]),
        expires: Timestamp::NEVER,
    };
    numbers.map(row).collect()
}

#[test]
fn a_store_of_60_mb_is_filled_copied_and_opened_in_24() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = RedbEngine::open(&folder, OPTIONS).expect("opens");
    for from in (0..ROWS).step_by(200) {
        // What was not synced is held in memory, too.
        let durability = if from % 1_000 == 0 { Durability::Synced } else { Durability::Buffered };
        engine.commit(&rows(from..from + 200), durability).expect("commits");
    }
    for round in 0..2 {
        engine.commit(&rows(round..round + 1), Durability::Synced).expect("commits");
        engine.reclaim(Timestamp(1)).expect("reclaims");
    }
    engine.checkpoint(&root.path().join("copy")).expect("a checkpoint");
    drop(engine);
    RedbEngine::open(&folder, OPTIONS).expect("opens again");
    assert!(fs::metadata(folder.join("store.redb")).expect("it is there").len() > 60_000_000);
    assert!(peak_mib() <= MEMORY_MAX_MIB, "{} MiB", peak_mib());
}
