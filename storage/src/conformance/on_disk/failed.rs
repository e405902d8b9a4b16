//! After a failed commit nothing is committed any more, and what was synced is there; a reclaim or
//! a checkpoint that fails does no harm.
//!
//! A child may no longer write to any file, or to none beyond a length: its limit of a file's size
//! says so. Later it may again, and an engine whose commit failed must not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::rows::EARLY;
use super::child::{Child, say};
use super::folder::{Folder, files, files_with};
use super::kill::commit_through;
use super::story::{Model, batch, number};
use super::subject::OnDisk;
use crate::engine::{Durability, Engine};

const BEFORE: u32 = 60;
/// An engine that writes files has to write one by then.
const TRIES: u32 = 2_000;
/// Less than a batch is.
const PART: u64 = 150;

pub(super) fn nothing_follows(on_disk: &OnDisk<'_>) {
    for task in ["fail", "fail halfway"] {
        let root = Folder::new();
        let folder = root.join("store");
        let said = heard(on_disk, task, &folder);
        let (synced, failed) = (last(&said, "synced "), last(&said, "failed "));
        let engine = on_disk.open(&folder);
        let found = number(engine.as_ref());
        assert!(
            (synced..=failed).contains(&found),
            "{found} batches are there: {synced} were synced, and nothing may follow {failed}, which failed"
        );
        assert_eq!(Model::through(found).is_in(engine.as_ref()), Ok(()), "after {found} batches");
        let next = engine.commit(&batch(found + 1), Durability::Synced);
        next.expect("a store that is opened again takes commits");
        assert_eq!(Model::through(found + 1).is_in(engine.as_ref()), Ok(()));
    }
}

pub(super) fn others_do_no_harm(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let folder = root.join("store");
    let said = heard(on_disk, "fail others", &folder);
    let engine = on_disk.open(&folder);
    let found = number(engine.as_ref());
    // A commit after them may have failed.
    assert!((BEFORE..=BEFORE + 1).contains(&found), "{found} batches are there, of {BEFORE}");
    let model = Model::through(found);
    assert_eq!(model.is_in(engine.as_ref()), Ok(()), "after a reclaim and a checkpoint that failed");
    engine.reclaim(EARLY).expect("it can be tried again");
    assert_eq!(model.is_in(engine.as_ref()), Ok(()), "after a reclaim");
    assert_eq!(files_with(&folder, &model.dead), Vec::<PathBuf>::new(), "bytes outlived a reclaim");
    if said.iter().any(|said| said == "copied") {
        let copied = on_disk.open(&folder.with_extension("copy"));
        assert_eq!(Model::through(BEFORE).is_in(copied.as_ref()), Ok(()), "in a copy that was made");
    }
}

/// What a child said that did a task to its end.
fn heard(on_disk: &OnDisk<'_>, task: &str, folder: &Path) -> Vec<String> {
    let said = Child::start(on_disk, task, folder).finish();
    if let Some(broken) = said.iter().find_map(|said| said.strip_prefix("broken: ")) {
        panic!("{broken}");
    }
    said
}

fn last(said: &[String], what: &str) -> u32 {
    let mut numbers = said.iter().filter_map(|said| said.strip_prefix(what)?.parse().ok());
    numbers.next_back().expect("a child says how far it came")
}

/// The child's part: nothing can be written any more.
pub(super) fn fail(on_disk: &OnDisk<'_>, folder: &Path) {
    let engine = on_disk.open(folder);
    commit_synced(engine.as_ref(), 1..=BEFORE);
    goes_on_after(engine.as_ref(), 0);
}

/// The child's part: of the next batch, a part can be written.
pub(super) fn fail_halfway(on_disk: &OnDisk<'_>, folder: &Path) {
    let engine = on_disk.open(folder);
    commit_synced(engine.as_ref(), 1..=BEFORE - 1);
    let before = lengths(folder);
    commit_synced(engine.as_ref(), BEFORE..=BEFORE);
    let grown = lengths(folder).into_iter().filter(|(file, length)| before.get(file) != Some(length));
    goes_on_after(engine.as_ref(), grown.map(|(_, length)| length + PART).max().unwrap_or(0));
}

/// The child's part: a reclaim and a checkpoint find that nothing can be written.
pub(super) fn fail_others(on_disk: &OnDisk<'_>, folder: &Path) {
    let engine = on_disk.open(folder);
    commit_through(engine.as_ref(), BEFORE);
    let before = limit_files(0);
    let reclaimed = engine.reclaim(EARLY);
    if reclaimed.is_ok() && !files_with(folder, &Model::through(BEFORE).dead).is_empty() {
        return say("broken: a reclaim succeeds that could not write, and files hold what it freed");
    }
    if engine.checkpoint(&folder.with_extension("copy")).is_ok() {
        say("copied");
    }
    setrlimit(Resource::Fsize, before).expect("a limit can be raised again");
    // It may say that it takes no more.
    let _ = engine.commit(&batch(BEFORE + 1), Durability::Synced);
}

fn commit_synced(engine: &dyn Engine, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        engine.commit(&batch(number), Durability::Synced).expect("commits");
        say(&format!("synced {number}"));
    }
}

/// Lets no file be written beyond a length, until a commit fails, and sees what the engine makes of
/// that.
fn goes_on_after(engine: &dyn Engine, bytes: u64) {
    let before = limit_files(bytes);
    let commit = |number: u32| engine.commit(&batch(number), Durability::Synced);
    let failed = (BEFORE + 1..=BEFORE + TRIES).find(|number| commit(*number).is_err());
    let Some(failed) = failed else {
        return say("broken: no commit fails, though files cannot be written");
    };
    say(&format!("failed {failed}"));
    setrlimit(Resource::Fsize, before).expect("a limit can be raised again");
    for number in failed + 1..failed + 4 {
        for durability in [Durability::Synced, Durability::Buffered] {
            if engine.commit(&batch(number), durability).is_ok() {
                return say("broken: a commit succeeds after one that failed");
            }
        }
    }
    if let Err(wrong) = reads_on(engine, failed) {
        say(&format!("broken: after a failed commit {wrong}"));
    }
}

/// Sets how long a file can become; gives what it was.
fn limit_files(bytes: u64) -> Rlimit {
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), ..before }).expect("a limit can be lowered");
    before
}

/// What was committed can be read, or reading is refused.
fn reads_on(engine: &dyn Engine, failed: u32) -> Result<(), String> {
    let before = Model::through(failed - 1).is_reported_by(engine);
    // It was in hand when it failed: nobody knows.
    before.or_else(|_| Model::through(failed).is_reported_by(engine))?;
    engine.health(EARLY);
    Ok(())
}

/// How long each file is.
fn lengths(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let length = |file: PathBuf| {
        let length = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        (file, length)
    };
    files(folder).into_iter().map(length).collect()
}
