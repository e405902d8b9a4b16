//! After a failed commit nothing is committed any more, and what was synced is there.
//!
//! A child may no longer write to any file: its limit of a file's size is nothing. Later it may
//! again, and its engine must not.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::EARLY;
use super::OnDisk;
use super::child::{Child, say};
use super::folder::Folder;
use super::story::{Model, batch, number};
use crate::engine::{Durability, Engine};

const BEFORE: u32 = 60;
/// An engine that writes files has to write one by then.
const TRIES: u32 = 2_000;

pub(super) fn nothing_follows(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let folder = root.join("store");
    let said = Child::start(on_disk, "fail", &folder).finish();
    if let Some(broken) = said.iter().find_map(|said| said.strip_prefix("broken: ")) {
        panic!("{broken}");
    }
    let heard = |what: &str| said.iter().find_map(|said| said.strip_prefix(what)?.parse::<u32>().ok());
    let (synced, failed) =
        (heard("synced ").expect("some were synced"), heard("failed ").expect("one failed"));
    let engine = on_disk.open(&folder);
    let found = number(engine.as_ref());
    assert!(
        (synced..=failed).contains(&found),
        "{found} batches are there: {synced} were synced, and nothing may follow {failed}, which failed"
    );
    assert_eq!(Model::through(found).is_in(engine.as_ref()), Ok(()), "after {found} batches");
    engine.commit(&batch(found + 1), Durability::Synced).expect("a store that is opened again takes commits");
    assert_eq!(Model::through(found + 1).is_in(engine.as_ref()), Ok(()));
}

/// The child's part.
pub(super) fn fail(on_disk: &OnDisk<'_>, folder: &Path) {
    let engine = on_disk.open(folder);
    for number in 1..=BEFORE {
        engine.commit(&batch(number), Durability::Synced).expect("commits");
    }
    say(&format!("synced {BEFORE}"));
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), ..before }).expect("a limit can be lowered");
    let commit = |number: u32| engine.commit(&batch(number), Durability::Synced);
    let failed = (BEFORE + 1..=BEFORE + TRIES).find(|number| commit(*number).is_err());
    let Some(failed) = failed else {
        return say("broken: no commit fails, though no file can be written");
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
    if let Err(wrong) = reads_on(engine.as_ref(), failed) {
        say(&format!("broken: after a failed commit {wrong}"));
    }
}

/// What was committed can be read, or reading is refused.
fn reads_on(engine: &dyn Engine, failed: u32) -> Result<(), String> {
    let before = Model::through(failed - 1).is_reported_by(engine);
    // It was in hand when it failed: nobody knows.
    before.or_else(|_| Model::through(failed).is_reported_by(engine))?;
    engine.health(EARLY);
    Ok(())
}
