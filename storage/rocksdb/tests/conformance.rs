//! RocksDB passes the suite that every engine must pass.

use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::conformance;

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
