//! A folder that cannot be used is refused with a reason that says what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use redb::TableDefinition;
use wardline_redb::{Redb, RedbEngine};
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::open::{OpenError, Opener, Options};

const OPTIONS: Options = Options::with_memory(8 << 20);

fn open(folder: &Path) -> Result<RedbEngine, OpenError> {
    RedbEngine::open(folder, OPTIONS)
}

fn put(engine: &RedbEngine, key: &'static [u8]) {
    let (key, value) = (Bytes::from_static(key), Bytes::from_static(b"value"));
    let put = Mutation::Put { table: Table::Message, key, value, expires: Timestamp::NEVER };
    engine.commit(&[put], Durability::Synced).expect("commits");
}

fn has(engine: &RedbEngine, key: &[u8]) -> bool {
    engine.get(Table::Message, key, Timestamp::ZERO).expect("reads").is_some()
}

#[test]
fn a_folder_in_use_is_refused() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let first = open(&folder).expect("opens");
    put(&first, b"key");
    for round in ["as it was opened", "after a reclaim put another file there"] {
        let refused = open(&folder).expect_err("it is in use");
        assert!(matches!(&refused, OpenError::InUse { path } if *path == folder), "{round}: {refused}");
        first.reclaim(Timestamp(1)).expect("reclaims");
    }
    put(&first, b"other");
    drop(first);
    assert!(has(&open(&folder).expect("it is free again"), b"other"));
}

/// By something that knows redb's lock and not ours.
#[test]
fn a_store_file_in_use_is_refused() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    drop(open(&folder).expect("opens"));
    let other = redb::Database::open(folder.join("store.redb")).expect("opens");
    assert!(matches!(open(&folder), Err(OpenError::InUse { .. })));
    drop(other);
    drop(open(&folder).expect("it is free again"));
}

#[test]
fn a_table_of_a_newer_version_is_refused_by_name() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    drop(open(&folder).expect("opens"));
    {
        let newer = redb::Database::open(folder.join("store.redb")).expect("opens");
        let writing = newer.begin_write().expect("begins");
        writing.open_table(TableDefinition::<&[u8], &[u8]>::new("attachment")).expect("makes a table");
        writing.commit().expect("commits");
    }
    let before = fs::read(folder.join("store.redb")).expect("reads");
    let refused = open(&folder).expect_err("it is newer");
    assert!(
        matches!(&refused, OpenError::Newer { what, .. } if what.contains("\"attachment\"")),
        "{refused}"
    );
    assert!(refused.to_string().contains("newer version"), "{refused}");
    assert!(fs::read(folder.join("store.redb")).expect("reads") == before, "nothing was changed");
}

#[test]
fn a_table_that_an_older_version_did_not_have_is_made() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    put(&open(&folder).expect("opens"), b"key");
    {
        let older = redb::Database::open(folder.join("store.redb")).expect("opens");
        let writing = older.begin_write().expect("begins");
        let device = TableDefinition::<&[u8], &[u8]>::new("device");
        assert!(writing.delete_table(device).expect("deletes"));
        writing.commit().expect("commits");
    }
    let engine = open(&folder).expect("opens");
    assert_eq!(engine.get(Table::Device, b"any", Timestamp::ZERO).expect("reads"), None);
    assert!(has(&engine, b"key"));
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let file = root.path().join("store.redb");
    {
        let foreign = redb::Database::create(&file).expect("creates");
        let writing = foreign.begin_write().expect("begins");
        writing.open_table(TableDefinition::<u64, u64>::new("message")).expect("makes a table");
        writing.commit().expect("commits");
    }
    let before = fs::read(&file).expect("reads");
    open(root.path()).expect_err("it is not ours");
    assert!(fs::read(&file).expect("reads") == before, "nothing was changed");
}

#[test]
fn a_new_folder_and_its_files_are_their_owners_alone() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder).expect("opens");
    put(&engine, b"key");
    let check = || {
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for file in ["store.redb", "store.redb.noted"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
    };
    check();
    engine.reclaim(Timestamp(1)).expect("reclaims");
    check();
}

#[test]
fn a_folder_out_of_reach_is_refused() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let nowhere = root.path().join("missing").join("store");
    let refused = open(&nowhere).expect_err("its parent is missing");
    assert!(
        matches!(&refused, OpenError::Folder { source, .. } if source.kind() == std::io::ErrorKind::NotFound),
        "{refused}"
    );
    assert!(!nowhere.exists() && refused.to_string().contains("parent"), "{refused}");
    let file = root.path().join("file");
    fs::write(&file, b"not a folder").expect("writes");
    let refused = open(&file).expect_err("it is a file");
    assert!(matches!(&refused, OpenError::Folder { .. }), "{refused}");
    assert_eq!(fs::read(&file).expect("reads"), b"not a folder");
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    fs::create_dir(&folder).expect("makes");
    let unfinished = folder.join("store.redb.new");
    // Of the first start, and of a reclaim.
    for round in 0..2 {
        fs::write(&unfinished, b"half of a store").expect("writes");
        let engine = open(&folder).expect("opens");
        assert!(!unfinished.exists(), "round {round}");
        assert_eq!(has(&engine, b"key"), round > 0);
        put(&engine, b"key");
    }
}

#[test]
fn a_folder_says_whether_it_holds_a_store() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let is_store = || Redb.is_store(&folder).expect("looks");
    assert!(!is_store(), "it is not there");
    fs::create_dir(&folder).expect("makes");
    fs::write(folder.join("store.redb.new"), b"").expect("writes");
    assert!(!is_store(), "nothing was ever finished");
    put(&open(&folder).expect("opens"), b"key");
    assert!(is_store());
    fs::remove_file(folder.join("store.redb")).expect("removes");
    assert!(is_store(), "there was one");
    fs::remove_file(folder.join("store.redb.noted")).expect("removes");
    assert!(!is_store());
}
