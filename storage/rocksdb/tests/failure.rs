//! After a failed commit nothing more is written.

use std::fs;

use bytes::Bytes;
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Durability, Engine, EngineError, Mutation, Table};
use wardline_storage::id::Timestamp;

fn put(key: u64) -> [Mutation; 1] {
    [Mutation::Put {
        table: Table::Message,
        key: Bytes::copy_from_slice(&key.to_be_bytes()),
        value: Bytes::from(vec![1; 50_000]),
        expires: Timestamp::NEVER,
    }]
}

#[test]
fn a_commit_is_never_tried_again_after_a_failure() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let options = Options { write_buffers_bytes: 1 << 20, ..Options::default() };
    let engine = RocksEngine::open(&folder, options).expect("opens");
    engine.commit(&put(0), Durability::Synced).expect("commits");
    // The folder goes: RocksDB notices when it needs a new file.
    let aside = root.path().join("aside");
    fs::rename(&folder, &aside).expect("moves");
    let failed = (1..1_000).find_map(|key| engine.commit(&put(key), Durability::Synced).err());
    assert!(matches!(failed, Some(EngineError::Io { .. })), "{failed:?}");
    // The folder comes back, but nobody knows what was written.
    fs::rename(&aside, &folder).expect("moves back");
    for _ in 0..3 {
        let refused = engine.commit(&put(1), Durability::Synced).expect_err("it stays closed");
        assert!(refused.to_string().contains("an earlier commit failed"), "{refused}");
    }
    assert!(engine.get(Table::Message, &0_u64.to_be_bytes(), Timestamp::ZERO).expect("reads").is_some());
    drop(engine);
    let engine = RocksEngine::open(&folder, options).expect("opens again");
    let stored = engine.get(Table::Message, &0_u64.to_be_bytes(), Timestamp::ZERO).expect("reads");
    assert!(stored.is_some(), "what was synced is there");
}
