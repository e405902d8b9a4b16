//! What was acknowledged is never left out silently, whatever byte of a store is another one.
//!
//! Left to itself redb goes back to the commit before when the last one is not whole, checks no
//! page after opening, and makes a new database of an empty file.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wardline_redb::RedbEngine;
use wardline_storage::engine::{Durability, Engine, EngineError, Mutation, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::open::{OpenError, Options};

const OPTIONS: Options = Options::with_memory(8 << 20);
const PAGE: usize = 4096;
/// Header and two commit slots.
const HEADER: usize = 320;
const GOD_BYTE: usize = 9;
const ROWS: u8 = 60;

fn open(folder: &Path) -> Result<RedbEngine, OpenError> {
    RedbEngine::open(folder, OPTIONS)
}

fn value(key: u8) -> Bytes {
    Bytes::from(vec![key ^ 0x5a; 500 + usize::from(key)])
}

fn put(engine: &RedbEngine, key: u8, durability: Durability) {
    let (table, key, value) = (Table::Message, Bytes::copy_from_slice(&[key]), value(key));
    let put = Mutation::Put { table, key, value, expires: Timestamp::NEVER };
    engine.commit(&[put], durability).expect("commits");
}

fn get(engine: &RedbEngine, key: u8) -> Result<Option<Bytes>, EngineError> {
    engine.get(Table::Message, &[key], Timestamp::ZERO)
}

#[track_caller]
fn assert_whole(engine: &RedbEngine, what: &str) {
    for key in 0..ROWS {
        assert_eq!(get(engine, key).expect("reads"), Some(value(key)), "{what}: row {key}");
    }
}

struct Store {
    _root: tempfile::TempDir,
    folder: PathBuf,
    file: PathBuf,
    note: PathBuf,
    /// The file, and the note.
    whole: (Vec<u8>, Vec<u8>),
}

impl Store {
    /// Closed in order.
    fn closed() -> Self {
        Self::new(|engine, _| drop(engine))
    }

    /// As a kill leaves it: copied while it was open.
    fn killed() -> Self {
        Self::new(|engine, folder| {
            let (whole, _) = read(folder);
            drop(engine);
            fs::write(folder.join("store.redb"), whole).expect("writes");
        })
    }

    fn new(end: impl FnOnce(RedbEngine, &Path)) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("store");
        let engine = open(&folder).expect("opens");
        (0..ROWS).for_each(|key| put(&engine, key, Durability::Synced));
        end(engine, &folder);
        let (file, note) = (folder.join("store.redb"), folder.join("store.redb.noted"));
        let whole = read(&folder);
        Self { _root: root, folder, file, note, whole }
    }

    /// Puts another file in the place of the store's.
    fn put(&self, content: &[u8]) {
        fs::write(&self.file, content).expect("writes");
        fs::write(&self.note, &self.whole.1).expect("writes");
    }

    /// It must be refused, or be whole; gives whether it was refused. If so, nothing was changed.
    #[track_caller]
    fn is_refused(&self, content: &[u8], what: &str) -> bool {
        self.put(content);
        match open(&self.folder) {
            Ok(engine) => {
                assert_whole(&engine, what);
                false
            }
            Err(refused) => {
                self.check_refusal(&refused, what);
                assert!(read(&self.folder).0 == content, "{what}: the file was changed");
                true
            }
        }
    }

    #[track_caller]
    fn check_refusal(&self, refused: &OpenError, what: &str) {
        assert!(matches!(refused, OpenError::Damaged { kept: None, .. }), "{what}: {refused}");
        assert!(refused.to_string().contains("store.redb"), "{what}: {refused}");
        assert!(!self.folder.join("store.redb.new").exists(), "{what}");
    }

    #[track_caller]
    fn refused(&self, what: &str) -> String {
        let refused = open(&self.folder).err().unwrap_or_else(|| panic!("{what}: it opens"));
        self.check_refusal(&refused, what);
        refused.to_string()
    }
}

fn read(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| fs::read(folder.join(name)).expect("reads");
    (read("store.redb"), read("store.redb.noted"))
}

#[test]
fn every_byte_of_the_header_may_be_another_one() {
    for (how, store) in [("closed", Store::closed()), ("killed", Store::killed())] {
        let mut refused = 0;
        for at in 0..HEADER {
            let bits = if at == GOD_BYTE { 0..8 } else { at % 8..at % 8 + 1 };
            for bit in bits {
                let mut damaged = store.whole.0.clone();
                damaged[at] ^= 1 << bit;
                refused += usize::from(store.is_refused(&damaged, &format!("{how}, byte {at}, bit {bit}")));
            }
        }
        assert!(refused > 50, "{how}: only {refused} were refused");
    }
}

/// If the slot of the last commit is not whole, redb takes the one before.
#[test]
fn a_lost_last_commit_is_refused_by_the_count() {
    let store = Store::killed();
    let mut damaged = store.whole.0.clone();
    let last = usize::from(damaged[GOD_BYTE] & 1);
    damaged[64 + 128 * last + 8] ^= 1;
    store.put(&damaged);
    let refused = store.refused("a damaged slot");
    assert!(refused.contains("ends at commit 59, and everything up to 60 was acknowledged"), "{refused}");
    // Without the note nobody would know.
    fs::remove_file(&store.note).expect("removes");
    let engine = open(&store.folder).expect("opens");
    assert_eq!(get(&engine, ROWS - 1).expect("reads"), None);
}

#[test]
fn every_page_may_have_another_byte() {
    for (how, store) in [("closed", Store::closed()), ("killed", Store::killed())] {
        let (mut refused, mut state) = (0, 88_172_645_463_325_252_u64);
        let pages = store.whole.0.len() / PAGE;
        for page in 1..pages {
            // Pages that were never written are not looked at.
            if store.whole.0[page * PAGE..][..PAGE].iter().all(|byte| *byte == 0) {
                continue;
            }
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = page * PAGE + (state % PAGE as u64) as usize;
                let mut damaged = store.whole.0.clone();
                damaged[at] ^= 1 << (state >> 60 & 7);
                refused += usize::from(store.is_refused(&damaged, &format!("{how}, byte {at}")));
            }
        }
        assert!(refused > 10, "{how}: only {refused} were refused");
    }
}

#[test]
fn a_file_that_was_cut_is_refused() {
    for (how, store) in [("closed", Store::closed()), ("killed", Store::killed())] {
        let bytes = store.whole.0.len();
        let last = (0..bytes).rev().find(|at| store.whole.0[*at] != 0).expect("something was written");
        for cut in (0..last).step_by(PAGE).chain([1, 9, 300, PAGE + 1, last, bytes - PAGE - 1]) {
            let what = format!("{how}, {cut} of {bytes} bytes");
            if !store.is_refused(&store.whole.0[..cut], &what) {
                assert!(cut > last, "{what}: it opens");
            }
        }
    }
}

#[test]
fn a_store_file_that_is_gone_is_refused_and_none_is_made() {
    let store = Store::closed();
    fs::remove_file(&store.file).expect("removes");
    for _ in 0..2 {
        let refused = store.refused("it is gone");
        assert!(refused.contains("missing") && refused.contains("60 commits"), "{refused}");
        assert!(!store.file.exists());
    }
    fs::write(&store.file, b"").expect("writes");
    assert!(store.refused("an empty one").contains("empty"));
    assert_eq!(fs::metadata(&store.file).expect("it is there").len(), 0);
}

#[test]
fn an_older_file_is_refused() {
    let store = Store::closed();
    let engine = open(&store.folder).expect("opens");
    put(&engine, ROWS, Durability::Synced);
    drop(engine);
    fs::write(&store.file, &store.whole.0).expect("writes");
    let refused = store.refused("an older file");
    assert!(refused.contains("ends at commit 60") && refused.contains("up to 61"), "{refused}");
}

#[test]
fn a_note_that_is_older_missing_or_damaged_says_less_and_the_store_opens() {
    let store = Store::closed();
    let engine = open(&store.folder).expect("opens");
    put(&engine, ROWS, Durability::Synced);
    drop(engine);
    let newest = read(&store.folder);
    assert_ne!(newest.1, store.whole.1);
    // A loss of power leaves an older one.
    fs::write(&store.note, &store.whole.1).expect("writes");
    assert_whole(&open(&store.folder).expect("opens"), "an older note");
    assert_eq!(read(&store.folder).1, newest.1, "it is noted again");
    fs::remove_file(&store.note).expect("removes");
    assert_whole(&open(&store.folder).expect("opens"), "no note");
    assert_eq!(read(&store.folder).1, newest.1, "it is noted again");
    fs::write(&store.note, b"not a note").expect("writes");
    assert_whole(&open(&store.folder).expect("opens"), "a damaged note");
}

#[test]
fn what_was_not_synced_may_be_gone() {
    let store = Store::closed();
    let engine = open(&store.folder).expect("opens");
    put(&engine, ROWS, Durability::Synced);
    put(&engine, ROWS + 1, Durability::Buffered);
    assert!(get(&engine, ROWS + 1).expect("reads").is_some(), "it is read at once");
    let (killed, _) = read(&store.folder);
    drop(engine);
    fs::write(&store.file, killed).expect("writes");
    let engine = open(&store.folder).expect("nobody was told of it");
    assert!(get(&engine, ROWS).expect("reads").is_some());
    assert_eq!(get(&engine, ROWS + 1).expect("reads"), None);
}

#[test]
fn a_synced_commit_makes_those_before_it_durable() {
    let store = Store::closed();
    let engine = open(&store.folder).expect("opens");
    put(&engine, ROWS, Durability::Buffered);
    put(&engine, ROWS + 1, Durability::Synced);
    let (killed, _) = read(&store.folder);
    drop(engine);
    fs::write(&store.file, killed).expect("writes");
    let engine = open(&store.folder).expect("opens");
    assert!((ROWS..ROWS + 2).all(|key| get(&engine, key).expect("reads").is_some()));
}

/// What a loss of power leaves of a commit that was under way: of each page the old one or the new
/// one, of the file the old length or the new one.
#[test]
fn a_commit_that_was_being_written_when_the_power_went_is_whole_or_gone() {
    let store = Store::closed();
    let engine = open(&store.folder).expect("opens");
    let (before, note) = read(&store.folder);
    let batch: Vec<Mutation> = (0..40_u8)
        .map(|key| Mutation::Put {
            table: Table::Receipt,
            key: Bytes::copy_from_slice(&[key]),
            value: Bytes::from(vec![key; 900]),
            expires: Timestamp::NEVER,
        })
        .collect();
    engine.commit(&batch, Durability::Synced).expect("commits");
    let (after, _) = read(&store.folder);
    drop(engine);
    let pages: Vec<usize> = (0..after.len().div_ceil(PAGE))
        .filter(|page| {
            before.get(page * PAGE..(page + 1) * PAGE) != after.get(page * PAGE..(page + 1) * PAGE)
        })
        .collect();
    assert!(pages.len() > 10, "{} pages differ", pages.len());
    let (mut state, mut gone) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    for round in 0..60 {
        let mut torn = after.clone();
        for (number, page) in pages.iter().enumerate() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // The first rounds leave out one page each.
            let is_old = if round < pages.len() { round == number } else { state.is_multiple_of(3) };
            if is_old && let Some(old) = before.get(page * PAGE..(page + 1) * PAGE) {
                torn[page * PAGE..(page + 1) * PAGE].copy_from_slice(old);
            }
        }
        fs::write(&store.file, &torn).expect("writes");
        fs::write(&store.note, &note).expect("writes");
        let engine = open(&store.folder).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_whole(&engine, "what was acknowledged");
        let there = (0..40)
            .filter(|key| engine.get(Table::Receipt, &[*key], Timestamp::ZERO).expect("reads").is_some());
        let there = there.count();
        assert!(there == 0 || there == 40, "round {round}: {there} of a batch of 40");
        gone += usize::from(there == 0);
    }
    assert!(gone > 10, "it was torn {gone} times");
}

/// redb would serve it, or find a row missing that is there.
#[test]
fn a_page_that_changes_under_an_open_store_is_never_served() {
    let store = Store::closed();
    let mut reported = 0;
    let pages = store.whole.0.len() / PAGE;
    for page in 1..pages {
        store.put(&store.whole.0);
        // So little memory that pages are read again.
        let engine = RedbEngine::open(&store.folder, Options::with_memory(0)).expect("opens");
        let (now, _) = read(&store.folder);
        let file = fs::File::options().write(true).open(&store.file).expect("opens");
        for at in (page * PAGE..(page + 1) * PAGE).step_by(41) {
            file.write_all_at(&[now[at] ^ 0x10], at as u64).expect("writes");
        }
        for key in 0..ROWS {
            match get(&engine, key) {
                Ok(found) => assert_eq!(found, Some(value(key)), "page {page}, row {key}"),
                Err(EngineError::Corrupt { detail, .. }) => {
                    assert!(detail.contains("store file") || detail.contains("table"), "{detail}");
                    reported += 1;
                }
                Err(other) => panic!("page {page}: {other}"),
            }
        }
        if reported > 0 && get(&engine, 0).is_err() {
            let put = Mutation::Delete { table: Table::Message, key: Bytes::from_static(&[0]) };
            assert!(engine.commit(&[put], Durability::Synced).is_err(), "nothing is built on it");
        }
    }
    assert!(reported > 0, "no page was read again");
}
