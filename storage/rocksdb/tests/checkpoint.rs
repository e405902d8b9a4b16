//! A checkpoint is a store of its own: it has all that was committed before it, and nothing that
//! came after.

use std::fs;

use bytes::Bytes;
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::Timestamp;

fn put(engine: &RocksEngine, table: Table, key: &'static [u8]) {
    let put = Mutation::Put {
        table,
        key: Bytes::from_static(key),
        value: Bytes::from_static(b"value"),
        expires: if table.expires() { Timestamp(1_000) } else { Timestamp::NEVER },
    };
    engine.commit(&[put], Durability::Synced).expect("commits");
}

fn has(engine: &RocksEngine, table: Table, key: &[u8], now: u64) -> bool {
    engine.get(table, key, Timestamp(now)).expect("reads").is_some()
}

#[test]
fn it_has_what_was_committed_before_it_and_nothing_later() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let store = root.path().join("store");
    let engine = RocksEngine::open(&store, Options::default()).expect("opens");
    for table in Table::ALL {
        put(&engine, table, b"flushed");
    }
    engine.reclaim(Timestamp(1)).expect("reclaims");
    for table in Table::ALL {
        put(&engine, table, b"buffered");
    }
    // Within the store's folder, as the broker makes it: the store must not mind.
    let copy = store.join("copy");
    engine.checkpoint(&copy).expect("a checkpoint");
    for table in Table::ALL {
        put(&engine, table, b"later");
    }
    assert!(engine.checkpoint(&copy).is_err(), "the folder is there already");

    let copied = RocksEngine::open(&copy, Options::default()).expect("the copy opens");
    for table in Table::ALL {
        assert!(has(&copied, table, b"flushed", 999) && has(&copied, table, b"buffered", 999), "{table:?}");
        assert!(!has(&copied, table, b"later", 999), "{table:?}");
        assert_eq!(has(&copied, table, b"flushed", 1_000), !table.expires(), "expired there too: {table:?}");
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
    let copied = RocksEngine::open(&moved, Options::default()).expect("the copy opens alone");
    assert!(has(&copied, Table::Conversation, b"buffered", 0));
}
