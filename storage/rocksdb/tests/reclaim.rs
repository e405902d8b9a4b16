//! After a reclaim no file of the store holds what is expired, replaced or deleted, and all else is
//! there.

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
struct Markers {
    random: StdRng,
    seed: u64,
}

impl Markers {
    fn new() -> Self {
        let seed = std::env::var("WARDLINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
        Self { random: StdRng::seed_from_u64(seed), seed }
    }

    fn next(&mut self) -> Bytes {
        let mut marker = vec![0; self.random.random_range(32..600)];
        self.random.fill_bytes(&mut marker);
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
fn no_file_holds_expired_replaced_or_deleted_bytes() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let mut markers = Markers::new();
    let (mut gone, mut live) = (Vec::new(), BTreeMap::new());
    // Three layers, the older ones in table files by now, the last in the write-ahead log.
    for layer in 0..3_u8 {
        for i in 0..40_u8 {
            for table in [Table::Message, Table::Receipt, Table::Dedupe] {
                let marker = markers.next();
                put(&engine, table, &[layer, i, 1], &marker, DUE);
                gone.push(marker);
                let marker = markers.next();
                put(&engine, table, &[layer, i, 2], &marker, LATE);
                live.insert((table, [layer, i, 2]), marker);
            }
            for (table, key) in [(Table::Message, [layer, i, 3]), (Table::Conversation, [layer, i, 3])] {
                let expires = if table.expires() { LATE } else { Timestamp::NEVER };
                let [replaced, replacing, deleted] = [markers.next(), markers.next(), markers.next()];
                put(&engine, table, &key, &replaced, expires);
                put(&engine, table, &[layer, i, 4], &deleted, expires);
                if layer > 0 {
                    // What an earlier layer wrote, too.
                    put(&engine, table, &[layer - 1, i, 3], &replacing, expires);
                    gone.extend(live.insert((table, [layer - 1, i, 3]), replacing));
                    delete(&engine, table, &[layer - 1, i, 4]);
                }
                live.insert((table, key), replaced);
                gone.push(deleted);
            }
        }
        if layer < 2 {
            engine.reclaim(START).expect("reclaims");
        }
    }
    for table in [Table::Message, Table::Conversation] {
        for i in 0..40_u8 {
            delete(&engine, table, &[2, i, 4]);
        }
    }
    assert!(!files_with(&folder, &gone).is_empty(), "the search finds what is there");
    assert!(engine.health(DUE).oldest_unreclaimed > Duration::ZERO);

    let reclaimed = engine.reclaim(DUE).expect("reclaims");

    assert_eq!(
        files_with(&folder, &gone),
        BTreeMap::new(),
        "bytes outlived their time; WARDLINE_SEED={}",
        markers.seed
    );
    assert_eq!(reclaimed.records, 3 * 3 * 40, "each expired record is counted once");
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO);
    drop(engine);
    assert_eq!(files_with(&folder, &gone), BTreeMap::new(), "closing brings nothing back");
    let engine = open(&folder);
    for ((table, key), value) in &live {
        assert_eq!(engine.get(*table, key, DUE).expect("reads").as_ref(), Some(value), "{table:?} {key:?}");
    }
    assert_eq!(engine.get(Table::Message, &[0, 0, 1], START).expect("reads"), None);
}

#[test]
fn replaced_and_deleted_bytes_go_even_if_nothing_expires() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let mut markers = Markers::new();
    for table in Table::ALL {
        let folder = root.path().join(table.name());
        let engine = open(&folder);
        let [first, second, third] = [markers.next(), markers.next(), markers.next()];
        put(&engine, table, b"replaced", &first, Timestamp::NEVER);
        put(&engine, table, b"deleted", &second, Timestamp::NEVER);
        engine.reclaim(START).expect("reclaims");
        assert_eq!(
            files_with(&folder, &[first.clone(), second.clone()]).len(),
            1,
            "they lie in a table file"
        );
        assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO, "nothing waits");

        put(&engine, table, b"replaced", &third, Timestamp::NEVER);
        assert_eq!(engine.health(LATE).oldest_unreclaimed, LATE.since(DUE), "{table:?}: replaced bytes wait");
        engine.reclaim(DUE).expect("reclaims");
        assert_eq!(files_with(&folder, std::slice::from_ref(&first)), BTreeMap::new(), "{table:?}: replaced");

        delete(&engine, table, b"deleted");
        engine.reclaim(DUE).expect("reclaims");
        assert_eq!(files_with(&folder, &[first, second]), BTreeMap::new(), "{table:?}: deleted");
        assert_eq!(engine.get(table, b"replaced", START).expect("reads"), Some(third));
    }
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
