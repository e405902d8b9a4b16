//! A folder that cannot be used is refused with a reason that says what to do.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::open::OpenError;

fn open(folder: &Path) -> Result<RocksEngine, OpenError> {
    RocksEngine::open(folder, Options::default())
}

fn put(engine: &RocksEngine, key: &'static [u8], value: Bytes) {
    let put = Mutation::Put {
        table: Table::Message,
        key: Bytes::from_static(key),
        value,
        expires: Timestamp::NEVER,
    };
    engine.commit(&[put], Durability::Synced).expect("commits");
}

fn files(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn a_folder_in_use_is_refused() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let first = open(&folder).expect("opens");
    put(&first, b"key", Bytes::from_static(b"value"));
    let refused = open(&folder).expect_err("it is in use");
    assert!(matches!(&refused, OpenError::InUse { path } if *path == folder), "{refused}");
    assert!(refused.to_string().contains("in use"), "{refused}");
    put(&first, b"other", Bytes::from_static(b"value"));
    drop(first);
    let again = open(&folder).expect("it is free again");
    assert!(again.get(Table::Message, b"other", Timestamp::ZERO).expect("reads").is_some());
}

#[test]
fn a_table_of_a_newer_version_is_refused_by_name() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    drop(open(&folder).expect("opens"));
    {
        let options = rocksdb::Options::default();
        let names = rocksdb::DB::list_cf(&options, &folder).expect("lists");
        let mut newer = rocksdb::DB::open_cf(&options, &folder, names).expect("opens");
        newer.create_cf("attachment", &options).expect("makes a table");
    }
    let refused = open(&folder).expect_err("it is newer");
    assert!(
        matches!(&refused, OpenError::Newer { what, .. } if what.contains("\"attachment\"")),
        "{refused}"
    );
    assert!(refused.to_string().contains("newer version"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_new_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    drop(open(&folder).expect("opens"));
    let mode = fs::metadata(&folder).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
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
fn damage_in_the_middle_of_the_log_is_refused_not_skipped() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    {
        let engine = open(&folder).expect("opens");
        for _ in 0..200 {
            put(&engine, b"key", Bytes::from(vec![1; 1_000]));
        }
    }
    let log = longest_log(&folder);
    let mut content = fs::read(&log).expect("reads");
    let middle = content.len() / 2;
    content[middle] ^= 0xff;
    fs::write(&log, content).expect("writes");
    let refused = open(&folder).expect_err("acknowledged records are damaged");
    assert!(matches!(&refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("damaged"), "{refused}");
}

#[test]
fn a_missing_table_file_is_refused_by_name() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    {
        let engine = open(&folder).expect("opens");
        put(&engine, b"key", Bytes::from_static(b"value"));
        engine.reclaim(Timestamp(1)).expect("reclaims");
    }
    let table_file = files(&folder, "sst").pop().expect("a table file");
    fs::remove_file(&table_file).expect("removes");
    let refused = open(&folder).expect_err("a file is missing");
    let name = table_file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(matches!(&refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains(&name), "{refused} names {name}");
}

fn longest_log(folder: &Path) -> std::path::PathBuf {
    let length = |path: &std::path::PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    files(folder, "log").into_iter().max_by_key(length).expect("a log file")
}
