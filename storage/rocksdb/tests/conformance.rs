//! RocksDB passes the suite that every engine must pass.

use std::path::Path;

use wardline_rocksdb::{Options, Rocks, RocksEngine};
use wardline_storage::conformance::{self, OnDisk};

#[test]
fn rocksdb_conforms() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let mut stores = 0;
    conformance::run(&mut || {
        stores += 1;
        let folder = root.path().join(stores.to_string());
        Box::new(RocksEngine::open(folder, Options::default()).expect("opens"))
    });
}

#[test]
fn rocksdb_conforms_across_reopening() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    conformance::run_durable(&mut || {
        Box::new(RocksEngine::open(&folder, Options::default()).expect("opens"))
    });
}

#[test]
fn rocksdb_conforms_on_disk() {
    conformance::run_on_disk(&OnDisk {
        engine: &Rocks,
        test: "rocksdb_conforms_on_disk",
        variables: &[],
        make_newer: &with_another_table,
    });
}

/// What a later version adds.
fn with_another_table(store: &Path) {
    let options = rocksdb::Options::default();
    let names = rocksdb::DB::list_cf(&options, store).expect("lists");
    let mut newer = rocksdb::DB::open_cf(&options, store, names).expect("opens");
    newer.create_cf("attachment", &options).expect("makes a table");
}
