//! redb passes the suite that every engine must pass.

use std::path::Path;

use redb::TableDefinition;
use wardline_redb::{Redb, RedbEngine};
use wardline_storage::conformance::{self, OnDisk};
use wardline_storage::open::Options;

const OPTIONS: Options = Options::with_memory(16 << 20);

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

#[test]
fn redb_conforms_on_disk() {
    conformance::run_on_disk(&OnDisk {
        engine: &Redb,
        test: "redb_conforms_on_disk",
        variables: &[],
        make_newer: &with_another_table,
    });
}

/// What a later version adds.
fn with_another_table(store: &Path) {
    let newer = redb::Database::open(store.join("store.redb")).expect("opens");
    let writing = newer.begin_write().expect("begins");
    writing.open_table(TableDefinition::<&[u8], &[u8]>::new("attachment")).expect("makes a table");
    writing.commit().expect("commits");
}
