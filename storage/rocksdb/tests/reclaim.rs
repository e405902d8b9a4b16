//! Reclaiming as RocksDB does it: what it waits for, what it leaves alone, which clock it goes by.
//!
//! That no file holds what it freed is a rule of the conformance suite for all engines.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Direction, Durability, Engine, KeyRange, Mutation, Table};
use wardline_storage::id::Timestamp;

const START: Timestamp = Timestamp(1_700_000_000_000);
const DUE: Timestamp = Timestamp(START.0 + 60_000);
const LATE: Timestamp = Timestamp(START.0 + 3_600_000);

fn open(folder: &Path) -> RocksEngine {
    RocksEngine::open(folder, Options::default()).expect("opens")
}

/// Values that occur nowhere by chance, from a seed that can be given.
struct Markers(StdRng);

impl Markers {
    fn new() -> Self {
        let seed = std::env::var("WARDLINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
        Self(StdRng::seed_from_u64(seed))
    }

    fn next(&mut self) -> Bytes {
        let mut marker = vec![0; self.0.random_range(32..600)];
        self.0.fill_bytes(&mut marker);
        Bytes::from(marker)
    }
}

fn put(engine: &RocksEngine, table: Table, key: &[u8], value: &Bytes, expires: Timestamp) {
    let put = Mutation::Put { table, key: Bytes::copy_from_slice(key), value: value.clone(), expires };
    engine.commit(&[put], Durability::Synced).expect("commits");
}

fn delete(engine: &RocksEngine, table: Table, key: &[u8]) {
    let delete = Mutation::Delete { table, key: Bytes::copy_from_slice(key) };
    engine.commit(&[delete], Durability::Synced).expect("commits");
}

/// The files that hold any of these, each found by its first 24 bytes: a file may split a value.
fn files_with(folder: &Path, markers: &[Bytes]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for file in fs::read_dir(folder).expect("the folder is there") {
        let path = file.expect("an entry").path();
        let content = fs::read(&path).expect("a file of the store");
        let hits = markers.iter().filter(|marker| holds(&content, &marker[..24])).count();
        if hits > 0 {
            found.insert(path.file_name().expect("a name").to_string_lossy().into_owned(), hits);
        }
    }
    found
}

fn holds(content: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = (needle[0], &needle[1..]);
    let mut from = 0;
    while let Some(at) = content[from..].iter().position(|byte| *byte == first) {
        from += at + 1;
        if content[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

#[test]
fn a_reclaim_waits_for_a_scan_that_holds_old_files() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let marker = Markers::new().next();
    put(&engine, Table::Message, b"due", &marker, DUE);
    engine.reclaim(START).expect("reclaims");
    let (began, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let reclaim = scope.spawn(|| {
            poll(|| began.load(Ordering::SeqCst));
            engine.reclaim(DUE).expect("reclaims");
            assert!(ended.load(Ordering::SeqCst), "it returned while a scan held the old files");
            assert_eq!(files_with(&folder, std::slice::from_ref(&marker)), BTreeMap::new());
        });
        let mut visit = |_: wardline_storage::engine::Row<'_>| {
            began.store(true, Ordering::SeqCst);
            // Long enough for a reclaim that would not wait.
            let patience = Instant::now() + Duration::from_millis(700);
            poll(|| reclaim.is_finished() || Instant::now() > patience);
            ended.store(!reclaim.is_finished(), Ordering::SeqCst);
            ControlFlow::Continue(())
        };
        engine.scan(Table::Message, KeyRange::ALL, Direction::Forward, START, &mut visit).expect("scans");
        assert!(reclaim.join().is_ok());
    });
}

fn poll(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_expired_while_the_store_was_closed_is_reclaimed() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let mut markers = Markers::new();
    let [due, replaced, live] = [markers.next(), markers.next(), markers.next()];
    {
        let engine = open(&folder);
        put(&engine, Table::Message, b"due", &due, DUE);
        put(&engine, Table::Message, b"live", &replaced, LATE);
        engine.reclaim(START).expect("reclaims");
        put(&engine, Table::Message, b"live", &live, LATE);
    }
    let engine = open(&folder);
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO, "nothing is known of their age");
    assert_eq!(engine.health(LATE).oldest_unreclaimed, LATE.since(DUE), "but they have been waiting since");
    engine.reclaim(DUE).expect("reclaims");
    assert_eq!(files_with(&folder, &[due, replaced]), BTreeMap::new());
    assert_eq!(engine.get(Table::Message, b"live", DUE).expect("reads"), Some(live));
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO);
    assert_eq!(engine.health(LATE.after(Duration::from_secs(1))).oldest_unreclaimed, Duration::from_secs(1));
}

#[test]
fn the_filter_keeps_the_time_of_the_last_reclaim() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let value = Markers::new().next();
    put(&engine, Table::Message, b"due", &value, DUE);
    // A reader from the future, and the machine's own clock, are no reason to drop anything.
    assert_eq!(engine.get(Table::Message, b"due", LATE).expect("reads"), None);
    engine.health(LATE);
    delete(&engine, Table::Message, b"other");
    engine.reclaim(START).expect("reclaims");
    assert_eq!(engine.get(Table::Message, b"due", START).expect("reads"), Some(value.clone()));
    // A clock that was set back does not bring the filter's back, nor drop more.
    put(&engine, Table::Message, b"late", &value, LATE);
    engine.reclaim(DUE).expect("reclaims");
    delete(&engine, Table::Message, b"other");
    engine.reclaim(START).expect("reclaims");
    assert_eq!(engine.get(Table::Message, b"late", START).expect("reads"), Some(value));
}

#[test]
fn a_quiet_store_is_not_rewritten() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let value = Markers::new().next();
    for i in 0..100_u8 {
        put(&engine, Table::Message, &[i], &value, LATE);
    }
    engine.reclaim(START).expect("reclaims");
    let table_files = || -> Vec<String> {
        let names = fs::read_dir(&folder).expect("the folder is there");
        let names = names.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".sst")).collect();
        names.sort();
        names
    };
    let before = table_files();
    assert!(!before.is_empty());
    engine.reclaim(DUE).expect("reclaims");
    assert_eq!(table_files(), before, "nothing was due, so nothing was rewritten");
    engine.reclaim(LATE).expect("reclaims");
    assert!(table_files().is_empty(), "all was due, so nothing is left");
}

#[test]
fn commits_and_scans_go_on_during_reclaims() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    // Small buffers, so that RocksDB flushes and compacts by itself all the while.
    let options = Options { write_buffers_bytes: 1 << 20, wal_bytes_max: 4 << 20, ..Options::default() };
    let engine = RocksEngine::open(&folder, options).expect("opens");
    let value = Bytes::from(vec![7; 2_000]);
    let (stop, time) = (AtomicBool::new(false), AtomicU32::new(0));
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0_u32;
            while !stop.load(Ordering::SeqCst) {
                let now = START.0 + u64::from(time.load(Ordering::SeqCst));
                let batch: Vec<Mutation> = (0..20_u32)
                    .map(|i| Mutation::Put {
                        table: Table::Message,
                        key: Bytes::copy_from_slice(&(written * 20 + i).to_be_bytes()),
                        value: value.clone(),
                        // Every other record lives; the rest is due at once or soon.
                        expires: if i % 2 == 0 { LATE } else { Timestamp(now + u64::from(i % 4)) },
                    })
                    .collect();
                engine.commit(&batch, Durability::Buffered).expect("commits");
                written += 1;
            }
            written
        });
        for round in 0..12 {
            time.store(round * 10, Ordering::SeqCst);
            let now = START.after(Duration::from_millis(u64::from(round) * 10));
            engine.reclaim(now).expect("reclaims beside commits");
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().expect("the writer wrote")
    });
    let count = |engine: &RocksEngine, now| {
        let mut count = 0;
        let mut visit = |_: wardline_storage::engine::Row<'_>| {
            count += 1;
            ControlFlow::Continue(())
        };
        engine.scan(Table::Message, KeyRange::ALL, Direction::Forward, now, &mut visit).expect("scans");
        count
    };
    assert_eq!(count(&engine, DUE), written * 10, "no live record was dropped");
    engine.reclaim(DUE).expect("reclaims");
    assert_eq!(count(&engine, START), written * 10, "and no expired one is left");
    drop(engine);
    assert_eq!(count(&open(&folder), DUE), written * 10);
}
