//! redb passes the suite that every engine must pass.

use wardline_redb::RedbEngine;
use wardline_storage::conformance;
use wardline_storage::open::Options;

const OPTIONS: Options = Options { memory_bytes: 16 << 20 };

#[test]
fn redb_conforms() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let mut stores = 0;
    conformance::run(&mut || {
        stores += 1;
        let folder = root.path().join(stores.to_string());
        Box::new(RedbEngine::open(folder, OPTIONS).expect("opens"))
    });
}

#[test]
fn redb_conforms_across_reopening() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    conformance::run_durable(&mut || Box::new(RedbEngine::open(&folder, OPTIONS).expect("opens")));
}
