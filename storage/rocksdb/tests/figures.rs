//! The figures that the engine tells of itself follow what it does.

use std::time::Instant;

use bytes::Bytes;
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Durability, Engine, Mutation, Table, Value};
use wardline_storage::id::Timestamp;

const COMMITS: u64 = 20;

fn counter(engine: &RocksEngine, name: &str) -> u64 {
    let figures = engine.health(Timestamp(0)).figures;
    match figures.iter().find(|figure| figure.name == name).map(|figure| figure.value) {
        Some(Value::Counter(count)) => count,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn commits_show_in_the_figures_of_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = RocksEngine::open(folder.path().join("store"), Options::default()).expect("opens");
    let names = ["wal_syncs_total", "wal_written_bytes_total", "wal_microseconds_total"];
    let before = names.map(|name| counter(&engine, name));
    let began = Instant::now();
    for number in 0..COMMITS {
        let put = Mutation::Put {
            table: Table::Meta,
            key: Bytes::copy_from_slice(&number.to_be_bytes()),
            value: Bytes::from_static(&[7; 4096]),
            expires: Timestamp::NEVER,
        };
        engine.commit(&[put], Durability::Synced).expect("commits");
    }
    let took = began.elapsed().as_micros();
    let after = names.map(|name| counter(&engine, name));
    let [syncs, bytes, microseconds] = [0, 1, 2].map(|figure| after[figure] - before[figure]);
    assert_eq!(syncs, COMMITS);
    assert!(bytes >= COMMITS * 4096, "{bytes} bytes");
    assert!(microseconds > 0 && u128::from(microseconds) <= took, "{microseconds} of {took} µs");
}
