//! After a failed commit nothing more is written.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use wardline_redb::RedbEngine;
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, KeyRange, Mutation, Reclaimed, Row, Table,
};
use wardline_storage::id::Timestamp;
use wardline_storage::open::Options;

const OPTIONS: Options = Options::with_memory(8 << 20);
const FOLDER: &str = "WARDLINE_TEST_FOLDER";

fn open(folder: &Path) -> RedbEngine {
    RedbEngine::open(folder, OPTIONS).expect("opens")
}

fn put(key: u64) -> [Mutation; 1] {
    [Mutation::Put {
        table: Table::Message,
        key: Bytes::copy_from_slice(&key.to_be_bytes()),
        value: Bytes::from(vec![1; 50_000]),
        expires: Timestamp::NEVER,
    }]
}

fn has(engine: &RedbEngine, key: u64) -> bool {
    engine.get(Table::Message, &key.to_be_bytes(), Timestamp::ZERO).expect("reads").is_some()
}

/// In a process of its own, since the limit on the size of files is the process's; under a shell
/// that ignores the signal, so that a write beyond the limit is an error.
#[test]
fn a_commit_is_never_tried_again_after_a_failure() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let mut child = Command::new("sh");
    child.args(["-c", r#"trap "" XFSZ; ulimit -f 16384; exec "$0" "$@""#]);
    child.arg(std::env::current_exe().expect("this program"));
    child.args(["--exact", "in_a_process_whose_files_cannot_grow", "--nocapture"]);
    let output = child.env(FOLDER, root.path()).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // Nothing that was acknowledged is lost, and it is a store again.
    let engine = open(&root.path().join("store"));
    let acknowledged: u64 =
        fs::read_to_string(root.path().join("acknowledged")).expect("reads").parse().expect("a number");
    assert!(acknowledged > 2 && (0..acknowledged).all(|key| has(&engine, key)));
    engine.commit(&put(acknowledged), Durability::Synced).expect("commits");
}

/// Does nothing unless the test above runs it.
#[test]
fn in_a_process_whose_files_cannot_grow() {
    let Some(root) = std::env::var_os(FOLDER) else { return };
    let root = Path::new(&root);
    let store = root.join("store");
    let engine = open(&store);
    (0..2).for_each(|_| engine.commit(&put(0), Durability::Synced).expect("commits"));
    let mut failed = None;
    let reclaim = beside_a_scan(&engine, || {
        let failing = |key| engine.commit(&put(key), Durability::Synced).err().map(|error| (key, error));
        failed = (0..10_000).find_map(failing);
    });
    // It waited for the scan, and did not wait on when all was over.
    let error = reclaim.expect_err("the reclaim did not finish");
    assert!(error.to_string().contains("a commit failed meanwhile"), "{error}");
    let (acknowledged, error) = failed.expect("the file cannot grow");
    assert!(matches!(error, EngineError::Io { .. }), "{error}");
    fs::write(root.join("acknowledged"), acknowledged.to_string()).expect("writes");
    let before = fs::read(store.join("store.redb")).expect("reads");
    for _ in 0..3 {
        let refused = engine.commit(&put(1), Durability::Synced).expect_err("it stays closed");
        assert!(refused.to_string().contains("an earlier commit failed"), "{refused}");
    }
    let refused = engine.checkpoint(&root.join("copy")).expect_err("a copy of what nobody knows");
    assert!(refused.to_string().contains("an earlier commit failed"), "{refused}");
    engine.reclaim(Timestamp(1)).expect_err("the same");
    drop(engine);
    assert!(fs::read(store.join("store.redb")).expect("reads") == before, "closing writes nothing");
}

/// Reclaims while a scan holds the old file; what the reclaim gives, after `meanwhile`, which
/// begins when the new file is the store.
fn beside_a_scan(engine: &RedbEngine, meanwhile: impl FnOnce()) -> Result<Reclaimed, EngineError> {
    let file = engine.folder().expect("it keeps files").join("store.redb");
    let inode = || fs::metadata(&file).expect("it is there").ino();
    let (before, reads, ends) = (inode(), Barrier::new(2), Barrier::new(2));
    thread::scope(|threads| {
        threads.spawn(|| {
            let visit = &mut |_: Row<'_>| {
                reads.wait();
                ends.wait();
                ControlFlow::Break(())
            };
            let forward = Direction::Forward;
            engine.scan(Table::Message, KeyRange::ALL, forward, Timestamp::ZERO, visit).expect("reads");
        });
        reads.wait();
        let reclaim = threads.spawn(|| engine.reclaim(Timestamp(1)));
        while inode() == before {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(100));
        assert!(!reclaim.is_finished(), "it waits for the scan");
        meanwhile();
        let reclaimed = reclaim.join().expect("no panic");
        ends.wait();
        reclaimed
    })
}
