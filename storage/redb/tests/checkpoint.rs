//! A checkpoint is a store of its own: it has all that was committed before it, and nothing that
//! came after.

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use wardline_redb::RedbEngine;
use wardline_storage::engine::{Direction, Durability, Engine, KeyRange, Mutation, Row, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::open::Options;

const OPTIONS: Options = Options::with_memory(8 << 20);

fn put(engine: &RedbEngine, table: Table, key: &'static [u8]) {
    let put = Mutation::Put {
        table,
        key: Bytes::from_static(key),
        value: Bytes::from_static(b"value"),
        expires: if table.expires() { Timestamp(1_000) } else { Timestamp::NEVER },
    };
    engine.commit(&[put], Durability::Synced).expect("commits");
}

fn has(engine: &RedbEngine, table: Table, key: &[u8], now: u64) -> bool {
    engine.get(table, key, Timestamp(now)).expect("reads").is_some()
}

#[test]
fn it_has_what_was_committed_before_it_and_nothing_later() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let store = root.path().join("store");
    let engine = RedbEngine::open(&store, OPTIONS).expect("opens");
    Table::ALL.into_iter().for_each(|table| put(&engine, table, b"early"));
    engine.reclaim(Timestamp(1)).expect("reclaims");
    Table::ALL.into_iter().for_each(|table| put(&engine, table, b"before"));
    // Within the store's folder, as the broker makes it: the store must not mind.
    let copy = store.join("copy");
    engine.checkpoint(&copy).expect("a checkpoint");
    Table::ALL.into_iter().for_each(|table| put(&engine, table, b"later"));
    assert!(engine.checkpoint(&copy).is_err(), "the folder is there already");

    let names = fs::read_dir(&copy).expect("lists").map(|file| file.expect("a file").file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["store.redb", "store.redb.noted"]);
    let copied = RedbEngine::open(&copy, OPTIONS).expect("the copy opens");
    for table in Table::ALL {
        assert!(has(&copied, table, b"early", 999) && has(&copied, table, b"before", 999), "{table:?}");
        assert!(!has(&copied, table, b"later", 999), "{table:?}");
        assert_eq!(has(&copied, table, b"early", 1_000), !table.expires(), "expired there too: {table:?}");
    }
    put(&copied, Table::Meta, b"own");
    assert!(!has(&engine, Table::Meta, b"own", 0), "they are two stores from then on");
    drop(copied);

    // The original goes on, and the copy does not need it.
    engine.reclaim(Timestamp(2_000)).expect("reclaims beside the copy");
    drop(engine);
    let moved = root.path().join("moved");
    fs::rename(&copy, &moved).expect("moves");
    fs::remove_dir_all(&store).expect("removes");
    let copied = RedbEngine::open(&moved, OPTIONS).expect("the copy opens alone");
    assert!(has(&copied, Table::Conversation, b"before", 0));
    drop(copied);
    // It has a note of its own.
    fs::remove_file(moved.join("store.redb")).expect("removes");
    RedbEngine::open(&moved, OPTIONS).expect_err("it knows that it was a store");
}

/// Each batch writes one number under keys all over the tables.
#[test]
fn of_what_is_committed_meanwhile_each_batch_is_whole_or_missing() {
    const KEYS: u32 = 400;
    let root = tempfile::tempdir().expect("a temporary folder");
    let engine = RedbEngine::open(root.path().join("store"), OPTIONS).expect("opens");
    let batch = |number: u32| -> Vec<Mutation> {
        let tables = [Table::Conversation, Table::Message, Table::Meta];
        let keys = (0..KEYS).map(|key| Bytes::copy_from_slice(&key.wrapping_mul(0x9e37_79b9).to_be_bytes()));
        keys.flat_map(|key| tables.map(|table| (table, key.clone())))
            .map(|(table, key)| Mutation::Put {
                table,
                key,
                value: Bytes::from([&number.to_be_bytes()[..], &[7; 900]].concat()),
                expires: Timestamp::NEVER,
            })
            .collect()
    };
    engine.commit(&batch(0), Durability::Synced).expect("commits");
    let (stop, copies) = (AtomicBool::new(false), root.path().join("copies"));
    fs::create_dir(&copies).expect("makes");
    thread::scope(|threads| {
        threads.spawn(|| {
            for number in 1.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                engine.commit(&batch(number), Durability::Buffered).expect("commits");
            }
        });
        for copy in 0..4 {
            engine.checkpoint(&copies.join(copy.to_string())).expect("a checkpoint");
        }
        stop.store(true, Ordering::SeqCst);
    });
    let mut seen = Vec::new();
    for copy in 0..4 {
        let copied = RedbEngine::open(copies.join(copy.to_string()), OPTIONS).expect("opens");
        let mut numbers = Vec::new();
        for table in [Table::Conversation, Table::Message, Table::Meta] {
            let visit = &mut |row: Row<'_>| {
                numbers.push(u32::from_be_bytes(row.value[..4].try_into().expect("four bytes")));
                ControlFlow::Continue(())
            };
            copied.scan(table, KeyRange::ALL, Direction::Forward, Timestamp::ZERO, visit).expect("scans");
        }
        assert_eq!(numbers.len(), 3 * KEYS as usize);
        assert!(numbers.iter().all(|number| *number == numbers[0]), "copy {copy} has parts of batches");
        seen.push(numbers[0]);
    }
    assert!(seen.is_sorted() && seen[3] > seen[0], "{seen:?}: nothing was committed meanwhile");
}
