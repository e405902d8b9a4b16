//! What was acknowledged is never left out silently, whichever file of a store lost what it held.
//!
//! RocksDB takes a log or a manifest without its end for one that a crash cut short, and a folder
//! without `CURRENT` for a new one.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::open::OpenError;

fn open(folder: &Path) -> Result<RocksEngine, OpenError> {
    RocksEngine::open(folder, Options::default())
}

fn put(engine: &RocksEngine, key: u8, durability: Durability) {
    let put = Mutation::Put {
        table: Table::Message,
        key: Bytes::copy_from_slice(&[key]),
        value: Bytes::from(vec![key; 500]),
        expires: Timestamp::NEVER,
    };
    engine.commit(&[put], durability).expect("commits");
}

fn has(engine: &RocksEngine, key: u8) -> bool {
    engine.get(Table::Message, &[key], Timestamp::ZERO).expect("reads").is_some()
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("an entry").path());
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(kind))).collect()
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

fn longest_log(folder: &Path) -> PathBuf {
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    files(folder, ".log").into_iter().max_by_key(length).expect("a log file")
}

/// A store with one record in a table file and ten, synced, in the log.
fn store() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    let engine = open(&folder).expect("opens");
    put(&engine, 0, Durability::Synced);
    engine.reclaim(Timestamp(1)).expect("reclaims");
    (1..=10).for_each(|key| put(&engine, key, Durability::Synced));
    drop(engine);
    (root, folder)
}

#[track_caller]
fn refused(folder: &Path, file: &str) -> String {
    let refused = open(folder).expect_err("something that was acknowledged is gone").to_string();
    assert!(refused.contains(file), "{refused} names {file}");
    refused
}

/// RocksDB reads the properties of a table file before it looks whether they are whole, and then
/// blames the manifest.
#[test]
fn a_table_file_whose_properties_are_damaged_is_refused_by_name() {
    let (_root, folder) = store();
    {
        let engine = open(&folder).expect("opens");
        let key = Bytes::from_static(b"elsewhere");
        let put =
            Mutation::Put { table: Table::Receipt, key, value: Bytes::new(), expires: Timestamp::NEVER };
        engine.commit(&[put], Durability::Synced).expect("commits");
        engine.reclaim(Timestamp(1)).expect("reclaims");
    }
    let tables = files(&folder, ".sst");
    assert!(tables.len() > 1, "some are whole");
    for damaged in tables {
        let whole = fs::read(&damaged).expect("reads");
        let property = b"newest.key.time";
        // Its first letter now comes after those of the properties behind it.
        let at = whole.windows(property.len()).position(|bytes| bytes == property).expect("a property");
        let mut content = whole.clone();
        content[at] ^= 0x80;
        fs::write(&damaged, content).expect("writes");
        let refused = refused(&folder, &name(&damaged));
        let others = files(&folder, ".sst").into_iter().filter(|other| *other != damaged);
        others.for_each(|other| assert!(!refused.contains(&name(&other)), "{refused}"));
        fs::write(&damaged, whole).expect("writes");
    }
    assert!(files(&folder, "unreadable").is_empty(), "what it was found with is gone");
    open(&folder).expect("nothing was changed");
}

#[test]
fn a_store_without_its_current_file_is_refused_and_left_alone() {
    let (_root, folder) = store();
    let before = files(&folder, ".sst");
    fs::remove_file(folder.join("CURRENT")).expect("removes");
    refused(&folder, "CURRENT");
    assert_eq!(files(&folder, ".sst"), before, "nothing was deleted");
    assert!(!folder.join("CURRENT").exists(), "nothing was made");
}

#[test]
fn a_first_start_that_was_killed_can_be_repeated() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let folder = root.path().join("store");
    fs::create_dir(&folder).expect("makes");
    // What may be there before there is a store.
    fs::write(folder.join("SYNCED"), b"").expect("writes");
    fs::write(folder.join("MANIFEST-000001"), b"").expect("writes");
    put(&open(&folder).expect("opens"), 0, Durability::Synced);
}

#[test]
fn a_current_file_that_names_no_manifest_is_refused() {
    for content in ["", "MANIFEST-", "MANIFEST-999999\n", "MANIFESU-000004\n", "MANIFEST-000004"] {
        let (_root, folder) = store();
        fs::write(folder.join("CURRENT"), content).expect("writes");
        refused(&folder, "CURRENT");
    }
}

#[test]
fn a_log_that_is_gone_is_refused() {
    let (_root, folder) = store();
    fs::remove_file(longest_log(&folder)).expect("removes");
    refused(&folder, "a log file is gone");
}

#[test]
fn a_log_without_its_last_record_is_refused_again_and_again() {
    let (_root, folder) = store();
    let log = longest_log(&folder);
    let content = fs::read(&log).expect("reads");
    fs::write(&log, &content[..content.len() - 10]).expect("writes");
    let text = refused(&folder, &name(&log));
    assert!(text.contains("acknowledged"), "{text}");
    refused(&folder, "acknowledged");
    // What was found is still there, whatever RocksDB made of it.
    let kept = folder.join("as-found");
    assert_eq!(fs::read(kept.join(name(&log))).expect("kept"), content[..content.len() - 10]);
    assert!(!files(&kept, ".sst").is_empty() && kept.join("CURRENT").exists());
}

#[test]
fn a_length_in_the_log_that_points_beyond_its_end_is_refused() {
    let (_root, folder) = store();
    let log = longest_log(&folder);
    let mut content = fs::read(&log).expect("reads");
    // The first record's header: checksum (4 bytes), length (2, low byte first), type.
    content[5] ^= 0x40;
    fs::write(&log, content).expect("writes");
    refused(&folder, &name(&log));
}

#[test]
fn a_manifest_without_its_end_is_refused() {
    for cut in [1, 10, 50, 100, 200, 400] {
        let (_root, folder) = store();
        let manifest = files(&folder, "MANIFEST-").pop().expect("a manifest");
        let content = fs::read(&manifest).expect("reads");
        let tables: Vec<String> = files(&folder, ".sst").iter().map(|path| name(path)).collect();
        fs::write(&manifest, &content[..content.len().saturating_sub(cut)]).expect("writes");
        refused(&folder, &name(&manifest));
        assert!(
            tables.iter().all(|table| folder.join(table).exists()),
            "{cut} bytes off: a table file is gone"
        );
    }
}

#[test]
fn a_manifest_with_a_flipped_bit_is_refused() {
    let (root, folder) = store();
    let manifest = files(&folder, "MANIFEST-").pop().expect("a manifest");
    let content = fs::read(&manifest).expect("reads");
    for at in (0..content.len()).step_by(7) {
        let mut damaged = content.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&manifest, damaged).expect("writes");
        refused(&folder, &name(&manifest));
    }
    fs::write(&manifest, content).expect("writes");
    assert!((0..=10).all(|key| has(&open(&folder).expect("opens"), key)));
    drop(root);
}

#[test]
fn an_old_manifest_is_refused() {
    let (_root, folder) = store();
    let old = files(&folder, "MANIFEST-").pop().expect("a manifest");
    let (content, current) =
        (fs::read(&old).expect("reads"), fs::read(folder.join("CURRENT")).expect("reads"));
    drop(open(&folder).expect("opens"));
    assert!(!old.exists(), "a new one was made");
    fs::write(&old, content).expect("writes");
    fs::write(folder.join("CURRENT"), current).expect("writes");
    refused(&folder, &name(&old));
}

#[test]
fn what_rocksdb_appended_to_the_manifest_is_noted_before_a_kill() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let (folder, copy) = (root.path().join("store"), root.path().join("copy"));
    let engine = open(&folder).expect("opens");
    put(&engine, 0, Durability::Synced);
    engine.reclaim(Timestamp(1)).expect("reclaims");
    put(&engine, 1, Durability::Synced);
    // As a kill would leave it.
    fs::create_dir(&copy).expect("makes");
    for path in files(&folder, "") {
        fs::copy(&path, copy.join(name(&path))).expect("copies");
    }
    let manifest = files(&copy, "MANIFEST-").pop().expect("a manifest");
    let content = fs::read(&manifest).expect("reads");
    fs::write(&manifest, &content[..content.len() - 1]).expect("writes");
    refused(&copy, &name(&manifest));
    fs::write(&manifest, content).expect("writes");
    let engine = open(&copy).expect("opens");
    assert!(has(&engine, 0) && has(&engine, 1));
}

#[test]
fn a_torn_record_behind_the_last_synced_one_is_dropped() {
    let (_root, folder) = store();
    let log = longest_log(&folder);
    let content = fs::read(&log).expect("reads");
    // Half of a record, as a crash leaves it.
    let torn = [&content[..], &content[..300]].concat();
    fs::write(&log, torn).expect("writes");
    let engine = open(&folder).expect("opens");
    assert!((0..=10).all(|key| has(&engine, key)));
}

/// What a loss of power leaves of a commit that was under way: the length is noted, pages are
/// missing.
#[test]
fn a_record_that_was_being_written_when_the_power_went_is_dropped() {
    for page in 0..3 {
        let (_root, folder) = store();
        let engine = open(&folder).expect("opens");
        put(&engine, 11, Durability::Synced);
        let note = fs::read(folder.join("SYNCED")).expect("reads");
        let log = longest_log(&folder);
        let synced = fs::metadata(&log).expect("a log").len() as usize;
        let big = |key| Mutation::Put {
            table: Table::Message,
            key: Bytes::copy_from_slice(&[key]),
            value: Bytes::from(vec![key; 9_000]),
            expires: Timestamp::NEVER,
        };
        engine.commit(&[big(12)], Durability::Synced).expect("commits");
        let mut content = fs::read(&log).expect("reads");
        drop(engine);
        content[synced..][page * 3_000..][..3_000].fill(0);
        fs::write(&log, &content).expect("writes");
        fs::write(folder.join("SYNCED"), note).expect("writes");
        let engine = open(&folder).expect("nobody was told of it");
        assert!((0..=11).all(|key| has(&engine, key)) && !has(&engine, 12));
        drop(engine);
        assert!(has(&open(&folder).expect("opens again"), 11));
        assert!(!folder.join("as-found").exists(), "nothing is left behind");
    }
}

/// The manifest of a store, and what its next record may look like: longer than a sector, with a
/// checksum that is wrong.
fn manifest_and_record(folder: &Path) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let manifest = files(folder, "MANIFEST-").pop().expect("a manifest");
    let whole = fs::read(&manifest).expect("reads");
    // Checksum, length, "a record as a whole", and what it holds.
    let record = [&[1, 2, 3, 4, 88, 2, 1][..], &[7; 600]].concat();
    (manifest, whole, record)
}

/// The first to read it is the list of tables, before the store is opened.
#[test]
fn a_manifest_record_that_was_being_written_when_the_power_went_is_dropped() {
    let (_root, folder) = store();
    let (manifest, whole, record) = manifest_and_record(&folder);
    let mut torn = [&whole[..], &record].concat();
    let sector = (whole.len() / 512 + 1) * 512;
    torn[sector..].fill(0);
    fs::write(&manifest, torn).expect("writes");
    let engine = open(&folder).expect("nothing was built on it");
    assert!((0..=10).all(|key| has(&engine, key)));
    drop(engine);
    assert!(!folder.join("as-found").exists(), "nothing is left behind");
}

/// It may have been synced, and the log that it replaced be gone.
#[test]
fn a_manifest_record_that_was_written_and_then_damaged_is_refused() {
    let (_root, folder) = store();
    let (manifest, whole, record) = manifest_and_record(&folder);
    let damaged = [&whole[..], &record].concat();
    fs::write(&manifest, &damaged).expect("writes");
    refused(&folder, &name(&manifest));
    assert!(fs::read(&manifest).expect("reads") == damaged, "nothing was changed");
}

#[test]
fn a_torn_record_that_was_acknowledged_is_refused_and_kept() {
    let (_root, folder) = store();
    let log = longest_log(&folder);
    let mut content = fs::read(&log).expect("reads");
    let last = content.len() - 100;
    content[last..].fill(0);
    fs::write(&log, &content).expect("writes");
    refused(&folder, &name(&log));
    assert_eq!(fs::read(folder.join("as-found").join(name(&log))).expect("kept"), content);
}

#[test]
fn what_was_not_synced_may_be_gone() {
    let (_root, folder) = store();
    let engine = open(&folder).expect("opens");
    put(&engine, 11, Durability::Synced);
    let synced = fs::metadata(longest_log(&folder)).expect("a log").len();
    put(&engine, 12, Durability::Buffered);
    drop(engine);
    let log = fs::File::options().write(true).open(longest_log(&folder)).expect("opens");
    log.set_len(synced).expect("cuts");
    let engine = open(&folder).expect("nobody was told of it");
    assert!(has(&engine, 11) && !has(&engine, 12));
}

#[test]
fn a_store_of_before_there_was_a_note_opens() {
    let (_root, folder) = store();
    fs::remove_file(folder.join("SYNCED")).expect("removes");
    let engine = open(&folder).expect("opens");
    assert!((0..=10).all(|key| has(&engine, key)));
    drop(engine);
    assert!(folder.join("SYNCED").exists(), "it is noted from now on");
    fs::write(folder.join("SYNCED"), b"not a note").expect("writes");
    assert!(has(&open(&folder).expect("a note that cannot be read says nothing"), 10));
    assert!(!folder.join("as-found").exists(), "nothing is left behind");
}
