//! The figures that the engine tells of itself follow what it does.

use bytes::Bytes;
use wardline_redb::RedbEngine;
use wardline_storage::engine::{Durability, Engine, Mutation, Table, Value};
use wardline_storage::id::Timestamp;
use wardline_storage::open::Options;

const OPTIONS: Options = Options::with_memory(8 << 20);
const COMMITS: u64 = 20;

fn figure(engine: &RedbEngine, name: &str) -> u64 {
    let figures = engine.health(Timestamp(0)).figures;
    match figures.iter().find(|figure| figure.name == name).map(|figure| figure.value) {
        Some(Value::Counter(count)) => count,
        Some(Value::Gauge(value)) => value as u64,
        None => panic!("there is no figure {name}"),
    }
}

fn put(key: u64, bytes: usize, expires: Timestamp) -> Mutation {
    let (key, value) = (Bytes::copy_from_slice(&key.to_be_bytes()), Bytes::from(vec![7; bytes]));
    Mutation::Put { table: Table::Message, key, value, expires }
}

#[test]
fn commits_show_in_the_figures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = RedbEngine::open(folder.path().join("store"), OPTIONS).expect("opens");
    let names = ["commits_total", "syncs_total", "written_bytes_total"];
    let before = names.map(|name| figure(&engine, name));
    for key in 0..COMMITS {
        engine.commit(&[put(key, 4_096, Timestamp::NEVER)], Durability::Synced).expect("commits");
    }
    let after = names.map(|name| figure(&engine, name));
    let [commits, syncs, bytes] = [0, 1, 2].map(|figure| after[figure] - before[figure]);
    assert_eq!(commits, COMMITS);
    assert!((COMMITS..2 * COMMITS).contains(&syncs), "{syncs} syncs");
    assert!(bytes >= COMMITS * 4_096, "{bytes} bytes");
}

#[test]
fn rows_and_their_bytes_are_counted_through_all_that_changes_them() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let rows = |engine: &RedbEngine| (figure(engine, "rows"), figure(engine, "row_bytes"));
    let engine = RedbEngine::open(&folder, OPTIONS).expect("opens");
    assert_eq!(rows(&engine), (0, 0));
    let batch: Vec<Mutation> = (0..10).map(|key| put(key, 100, Timestamp(50 + key))).collect();
    engine.commit(&batch, Durability::Synced).expect("commits");
    assert_eq!(rows(&engine), (10, 10 * 108));
    let gone = Mutation::Delete { table: Table::Message, key: Bytes::copy_from_slice(&3_u64.to_be_bytes()) };
    let batch = [gone.clone(), gone, put(4, 10, Timestamp::NEVER)];
    engine.commit(&batch, Durability::Synced).expect("commits");
    assert_eq!(rows(&engine), (9, 8 * 108 + 18));
    drop(engine);
    let engine = RedbEngine::open(&folder, OPTIONS).expect("opens again");
    assert_eq!(rows(&engine), (9, 8 * 108 + 18));
    let reclaimed = engine.reclaim(Timestamp(52)).expect("reclaims");
    assert_eq!((reclaimed.records, reclaimed.bytes), (3, 3 * 108));
    assert_eq!(rows(&engine), (6, 5 * 108 + 18));
    assert!(figure(&engine, "file_bytes") > 0);
}
