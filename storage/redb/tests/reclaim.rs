//! After a reclaim no file of the store holds what is expired, replaced or deleted, and all else is
//! there.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use wardline_redb::RedbEngine;
use wardline_storage::engine::{Direction, Durability, Engine, KeyRange, Mutation, Row, Table, Value};
use wardline_storage::id::Timestamp;
use wardline_storage::open::Options;

const OPTIONS: Options = Options::with_memory(8 << 20);
const START: Timestamp = Timestamp(1_700_000_000_000);
const DUE: Timestamp = Timestamp(START.0 + 60_000);
const LATE: Timestamp = Timestamp(START.0 + 3_600_000);

fn open(folder: &Path) -> RedbEngine {
    RedbEngine::open(folder, OPTIONS).expect("opens")
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

fn put(engine: &RedbEngine, table: Table, key: &[u8], value: &Bytes, expires: Timestamp) {
    let put = Mutation::Put { table, key: Bytes::copy_from_slice(key), value: value.clone(), expires };
    engine.commit(&[put], Durability::Synced).expect("commits");
}

fn delete(engine: &RedbEngine, table: Table, key: &[u8]) {
    let delete = Mutation::Delete { table, key: Bytes::copy_from_slice(key) };
    engine.commit(&[delete], Durability::Synced).expect("commits");
}

/// How many of these any file holds.
fn found(folder: &Path, markers: &[Bytes]) -> usize {
    let files = fs::read_dir(folder).expect("the folder is there");
    let contents: Vec<Vec<u8>> =
        files.map(|file| fs::read(file.expect("an entry").path()).expect("a file of the store")).collect();
    let is_there = |marker: &&Bytes| contents.iter().any(|content| holds(content, &marker[..24]));
    markers.iter().filter(is_there).count()
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

fn file(folder: &Path) -> u64 {
    fs::metadata(folder.join("store.redb")).expect("it is there").ino()
}

#[test]
fn no_file_holds_expired_replaced_or_deleted_bytes() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    // It hears what time it is.
    engine.health(START);
    let mut markers = Markers::new();
    let (mut gone, mut live) = (Vec::new(), BTreeMap::new());
    for i in 0..40_u8 {
        for table in [Table::Message, Table::Receipt, Table::Dedupe] {
            let [due, late] = [markers.next(), markers.next()];
            put(&engine, table, &[i, 1], &due, DUE);
            put(&engine, table, &[i, 2], &late, LATE);
            gone.push(due);
            live.insert((table, [i, 2]), late);
        }
        for table in [Table::Message, Table::Conversation] {
            let expires = if table.expires() { LATE } else { Timestamp::NEVER };
            let [replaced, replacing, deleted] = [markers.next(), markers.next(), markers.next()];
            put(&engine, table, &[i, 3], &replaced, expires);
            put(&engine, table, &[i, 4], &deleted, expires);
            put(&engine, table, &[i, 3], &replacing, expires);
            delete(&engine, table, &[i, 4]);
            live.insert((table, [i, 3]), replacing);
            gone.extend([replaced, deleted]);
        }
    }
    assert!(found(&folder, &gone) >= 3 * 40, "the search finds what is there");
    assert!(engine.health(DUE).oldest_unreclaimed > Duration::ZERO);

    let reclaimed = engine.reclaim(DUE).expect("reclaims");

    assert_eq!(found(&folder, &gone), 0, "bytes outlived their time; WARDLINE_SEED={}", markers.seed);
    assert_eq!(reclaimed.records, 3 * 40, "each expired row is counted once");
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO);
    drop(engine);
    assert_eq!(found(&folder, &gone), 0, "closing brings nothing back");
    let engine = open(&folder);
    for ((table, key), value) in &live {
        assert_eq!(engine.get(*table, key, DUE).expect("reads").as_ref(), Some(value), "{table:?} {key:?}");
    }
    assert_eq!(engine.get(Table::Message, &[0, 1], START).expect("reads"), None);
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
        assert_eq!(found(&folder, &[first.clone(), second.clone()]), 2, "they lie in the file");
        assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO, "nothing waits");

        put(&engine, table, b"replaced", &third, Timestamp::NEVER);
        assert_eq!(engine.health(LATE).oldest_unreclaimed, LATE.since(DUE), "{table:?}: replaced bytes wait");
        engine.reclaim(DUE).expect("reclaims");
        assert_eq!(found(&folder, std::slice::from_ref(&first)), 0, "{table:?}: replaced");

        delete(&engine, table, b"deleted");
        engine.reclaim(DUE).expect("reclaims");
        assert_eq!(found(&folder, &[first, second]), 0, "{table:?}: deleted");
        assert_eq!(engine.get(table, b"replaced", START).expect("reads"), Some(third));
    }
}

#[test]
fn a_reclaim_waits_for_a_scan_that_holds_the_old_file() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let marker = Markers::new().next();
    put(&engine, Table::Message, b"due", &marker, DUE);
    let old = fs::File::open(folder.join("store.redb")).expect("opens");
    let (began, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let reclaim = scope.spawn(|| {
            poll(|| began.load(Ordering::SeqCst));
            engine.reclaim(DUE).expect("reclaims");
            assert!(ended.load(Ordering::SeqCst), "it returned while a scan held the old file");
        });
        let mut visit = |row: Row<'_>| {
            began.store(true, Ordering::SeqCst);
            // Long enough for a reclaim that would not wait.
            let patience = Instant::now() + Duration::from_millis(700);
            poll(|| reclaim.is_finished() || Instant::now() > patience);
            ended.store(!reclaim.is_finished(), Ordering::SeqCst);
            assert_eq!(row.value, marker, "a scan goes on with what it began with");
            ControlFlow::Continue(())
        };
        engine.scan(Table::Message, KeyRange::ALL, Direction::Forward, START, &mut visit).expect("scans");
        assert!(reclaim.join().is_ok());
    });
    assert_eq!(old.metadata().expect("it is open here").nlink(), 0, "no name leads to it");
    assert_eq!(open_files(&old), 1, "only here, not in the engine");
}

/// How often this process has a file open.
fn open_files(file: &fs::File) -> usize {
    let wanted = file.metadata().expect("it is open").ino();
    let open = fs::read_dir("/proc/self/fd").expect("lists").flatten();
    open.filter(|open| fs::metadata(open.path()).is_ok_and(|metadata| metadata.ino() == wanted)).count()
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
        put(&engine, Table::Message, b"live", &live, LATE);
    }
    let engine = open(&folder);
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO, "nothing is known of their age");
    assert_eq!(engine.health(LATE).oldest_unreclaimed, LATE.since(DUE), "but they have been waiting since");
    engine.reclaim(DUE).expect("reclaims");
    assert_eq!(found(&folder, &[due, replaced]), 0);
    assert_eq!(engine.get(Table::Message, b"live", DUE).expect("reads"), Some(live));
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO);
    assert_eq!(engine.health(LATE.after(Duration::from_secs(1))).oldest_unreclaimed, Duration::from_secs(1));
}

#[test]
fn a_quiet_store_is_not_copied() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let value = Markers::new().next();
    for i in 0..100_u8 {
        put(&engine, Table::Message, &[i], &value, LATE);
    }
    engine.reclaim(START).expect("reclaims");
    let before = file(&folder);
    assert_eq!(engine.reclaim(DUE).expect("reclaims").records, 0);
    assert_eq!(file(&folder), before, "nothing was due, so nothing was copied");
    assert_eq!(engine.reclaim(LATE).expect("reclaims").records, 100);
    assert_ne!(file(&folder), before);
}

#[test]
fn a_reclaim_that_fails_leaves_the_store_and_what_is_known_of_its_garbage() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let marker = Markers::new().next();
    put(&engine, Table::Message, b"due", &marker, DUE);
    put(&engine, Table::Message, b"live", &marker, LATE);
    let before = file(&folder);
    // Where the copy is to be made there is a folder.
    let blocked = folder.join("store.redb.new");
    fs::create_dir(&blocked).expect("makes");
    engine.reclaim(DUE).expect_err("it cannot be made");
    assert_eq!(file(&folder), before);
    assert_eq!(engine.health(LATE).oldest_unreclaimed, LATE.since(DUE), "it still waits");
    put(&engine, Table::Message, b"later", &marker, LATE);
    fs::remove_dir(&blocked).expect("removes");
    assert_eq!(engine.reclaim(DUE).expect("reclaims").records, 1);
    assert!(engine.get(Table::Message, b"later", DUE).expect("reads").is_some());
}

/// Against a model: puts, replacements and deletes all over the tables, beside many reclaims.
#[test]
fn what_is_committed_beside_reclaims_is_what_is_there() {
    let mut markers = Markers::new();
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let tables = [Table::Conversation, Table::Message, Table::Receipt, Table::Meta];
    let mut model: BTreeMap<(Table, [u8; 2]), (Bytes, Timestamp)> = BTreeMap::new();
    let stop = AtomicBool::new(false);
    let reclaims = thread::scope(|scope| {
        let reclaiming = scope.spawn(|| {
            let mut reclaims = 0;
            while !stop.load(Ordering::SeqCst) {
                engine.reclaim(DUE).expect("reclaims beside commits");
                reclaims += 1;
            }
            reclaims
        });
        for _ in 0..900 {
            let batch: Vec<Mutation> = (0..markers.random.random_range(1..60))
                .map(|_| {
                    let table = tables[markers.random.random_range(0..tables.len())];
                    let key = [markers.random.random(), markers.random.random_range(0..8)];
                    let bytes = Bytes::copy_from_slice(&key);
                    if markers.random.random_range(0..4) == 0 {
                        model.remove(&(table, key));
                        return Mutation::Delete { table, key: bytes };
                    }
                    let is_due = table.expires() && markers.random.random_range(0..3) == 0;
                    let expires = if is_due { DUE } else { Timestamp::NEVER };
                    let value = markers.next();
                    model.insert((table, key), (value.clone(), expires));
                    Mutation::Put { table, key: bytes, value, expires }
                })
                .collect();
            engine.commit(&batch, Durability::Buffered).expect("commits");
        }
        stop.store(true, Ordering::SeqCst);
        reclaiming.join().expect("it reclaimed")
    });
    assert!(reclaims > 3, "{reclaims} reclaims");
    model.retain(|_, (_, expires)| *expires > DUE);
    let check = |engine: &RedbEngine, now| {
        for table in tables {
            let mut rows = BTreeMap::new();
            let visit = &mut |row: Row<'_>| {
                rows.insert(
                    (table, [row.key[0], row.key[1]]),
                    (Bytes::copy_from_slice(row.value), row.expires),
                );
                ControlFlow::Continue(())
            };
            engine.scan(table, KeyRange::ALL, Direction::Forward, now, visit).expect("scans");
            let expected = model.iter().filter(|((of, _), _)| *of == table);
            let expected: BTreeMap<_, _> = expected.map(|(key, value)| (*key, value.clone())).collect();
            assert!(rows == expected, "{table:?} differs; WARDLINE_SEED={}", markers.seed);
        }
    };
    check(&engine, DUE);
    engine.reclaim(DUE).expect("reclaims");
    // And nothing that is expired is left.
    check(&engine, START);
    drop(engine);
    check(&open(&folder), START);
}

#[test]
fn scans_are_of_one_moment_beside_reclaims() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder);
    let batch = |number: u64| -> Vec<Mutation> {
        let value = Bytes::from([&number.to_be_bytes()[..], &[1; 100]].concat());
        let key = |key: u16| Bytes::copy_from_slice(&key.to_be_bytes());
        (0..2_000)
            .map(|i| Mutation::Put {
                table: Table::Message,
                key: key(i),
                value: value.clone(),
                expires: Timestamp::NEVER,
            })
            .collect()
    };
    engine.commit(&batch(0), Durability::Synced).expect("commits");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (1..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                engine.commit(&batch(number), Durability::Buffered).expect("commits");
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                engine.reclaim(DUE).expect("reclaims");
            }
        });
        let mut last = 0;
        for round in 0..40 {
            let mut numbers = Vec::new();
            let visit = &mut |row: Row<'_>| {
                numbers.push(u64::from_be_bytes(row.value[..8].try_into().expect("eight bytes")));
                ControlFlow::Continue(())
            };
            engine.scan(Table::Message, KeyRange::ALL, Direction::Forward, DUE, visit).expect("scans");
            assert_eq!(numbers.len(), 2_000);
            assert!(numbers.iter().all(|number| *number == numbers[0]), "round {round} is torn");
            assert!(numbers[0] >= last, "round {round} went back");
            last = numbers[0];
        }
        stop.store(true, Ordering::SeqCst);
    });
}

/// They wait for the last round alone, however large the store is.
#[test]
fn commits_go_on_while_the_store_is_copied() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let engine = open(&root.path().join("store"));
    let value = Bytes::from(vec![3; 2_000]);
    for from in (0..12_000_u32).step_by(1_000) {
        let row = |key: u32| Mutation::Put {
            table: Table::Message,
            key: Bytes::copy_from_slice(&key.to_be_bytes()),
            value: value.clone(),
            expires: if key.is_multiple_of(2) { DUE } else { LATE },
        };
        let batch: Vec<Mutation> = (from..from + 1_000).map(row).collect();
        engine.commit(&batch, Durability::Synced).expect("commits");
    }
    let is_done = AtomicBool::new(false);
    let (took, commits) = thread::scope(|scope| {
        let reclaim = scope.spawn(|| {
            let began = Instant::now();
            engine.reclaim(DUE).expect("reclaims");
            is_done.store(true, Ordering::SeqCst);
            began.elapsed()
        });
        let mut commits = 0;
        while !is_done.load(Ordering::SeqCst) {
            put(&engine, Table::Meta, b"beside", &value, Timestamp::NEVER);
            commits += 1;
        }
        (reclaim.join().expect("it reclaimed"), commits)
    });
    let figures = engine.health(DUE).figures;
    let stall =
        figures.iter().find(|figure| figure.name == "stall_microseconds_total").map(|figure| figure.value);
    let Some(Value::Counter(stall)) = stall else { panic!("{stall:?}") };
    let stall = Duration::from_micros(stall);
    assert!(stall > Duration::ZERO && stall < took / 2, "commits waited {stall:?} of {took:?}");
    assert!(commits > 5, "{commits} commits in {took:?}");
}
