//! After a failed commit nothing more is written.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Direction, Durability, Engine, EngineError, KeyRange, Mutation, Table};
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

/// RocksDB keeps the files that a scan reads, so a reclaim waits for its end; a broker whose store failed does not.
#[test]
fn a_reclaim_does_not_outlast_a_failed_commit() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let options = Options { write_buffers_bytes: 1 << 20, ..Options::default() };
    let engine = RocksEngine::open(&folder, options).expect("opens");
    for key in 0..2 {
        engine.commit(&put(key), Durability::Synced).expect("commits");
        engine.reclaim(Timestamp(1)).expect("reclaims");
    }
    let (began, reading) = (Barrier::new(2), Barrier::new(2));
    let (began_twice, engine) = (&began, &engine);
    thread::scope(|threads| {
        threads.spawn(|| {
            let range = KeyRange { from: &[0], to: &[255] };
            let mut is_first = true;
            let scanned =
                engine.scan(Table::Message, range, Direction::Forward, Timestamp::ZERO, &mut |_, _| {
                    if std::mem::take(&mut is_first) {
                        began_twice.wait();
                        reading.wait();
                    }
                    ControlFlow::Continue(())
                });
            // Its files are in a folder that moved.
            drop(scanned);
        });
        began.wait();
        let reclaim = threads.spawn(|| engine.reclaim(Timestamp(2)));
        thread::sleep(Duration::from_millis(300));
        assert!(!reclaim.is_finished(), "it waits for the scan");
        fs::rename(&folder, root.path().join("aside")).expect("moves");
        let failed = (2..1_000).find_map(|key| engine.commit(&put(key), Durability::Synced).err());
        assert!(failed.is_some());
        let ended = reclaim.join().expect("no panic");
        reading.wait();
        assert!(ended.expect_err("it did not finish").to_string().contains("a commit failed meanwhile"));
    });
}
