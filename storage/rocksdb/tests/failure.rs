//! After a failed commit nothing more is written.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
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

/// RocksDB keeps the files that a scan reads, so a reclaim waits for its end; a broker whose store
/// failed does not.
#[test]
fn a_reclaim_does_not_outlast_a_failed_commit() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let options = Options { write_buffers_bytes: 1 << 20, ..Options::default() };
    let engine = RocksEngine::open(&folder, options).expect("opens");
    engine.commit(&put(0), Durability::Synced).expect("commits");
    engine.reclaim(Timestamp(1)).expect("reclaims");
    engine.commit(&put(0), Durability::Synced).expect("replaces");
    let (reads, ends) = (Barrier::new(2), Barrier::new(2));
    let ended = thread::scope(|threads| {
        threads.spawn(|| {
            let range = KeyRange { from: &[0], to: &[255] };
            let visit = &mut |_: wardline_storage::engine::Row<'_>| {
                reads.wait();
                ends.wait();
                ControlFlow::Break(())
            };
            engine.scan(Table::Message, range, Direction::Forward, Timestamp::ZERO, visit).expect("reads");
        });
        reads.wait();
        let reclaim = threads.spawn(|| engine.reclaim(Timestamp(2)));
        thread::sleep(Duration::from_millis(500));
        let waits = !reclaim.is_finished();
        block_new_logs(&folder);
        let failed = (1..1_000).find_map(|key| engine.commit(&put(key), Durability::Synced).err());
        let ended = failed.map(|_| reclaim.join().expect("no panic"));
        ends.wait();
        assert!(waits, "it waits for the scan");
        ended
    });
    let error = ended.expect("a commit failed").expect_err("the reclaim did not finish");
    assert!(error.to_string().contains("a commit failed meanwhile"), "{error}");
}

/// Puts folders where RocksDB wants to begin its next logs.
fn block_new_logs(store: &Path) {
    let files = fs::read_dir(store).expect("lists").map(|file| file.expect("a file").file_name());
    let numbers = files.filter_map(|name| name.to_str()?.split('.').next()?.parse::<u64>().ok());
    let last = numbers.max().expect("a numbered file");
    for number in last + 1..last + 100 {
        fs::create_dir(store.join(format!("{number:06}.log"))).expect("makes a folder");
    }
}
