//! A checkpoint is a store of its own: all that was committed before it, batches whole.
//!
//! The copy and the store go apart from then on: each takes commits, and neither needs the other.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::super::rows::EARLY;
use super::folder::Folder;
use super::kill::commit_through;
use super::story::{Model, batch, number};
use super::subject::OnDisk;
use crate::engine::{Durability, Engine};

const BATCHES: u32 = 120;

pub(super) fn is_a_store(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let store = root.join("store");
    let engine = on_disk.open(&store);
    commit_through(engine.as_ref(), BATCHES);
    engine.commit(&batch(BATCHES + 1), Durability::Buffered).expect("commits");
    // Within the store's folder, as the broker makes it: the store must not mind.
    let copy = store.join("copy");
    engine.checkpoint(&copy).expect("a checkpoint");
    assert!(on_disk.engine.is_store(&copy).expect("looks"), "it is known as a store");
    let is_flat = fs::read_dir(&copy).expect("reads").all(|entry| entry.expect("an entry").path().is_file());
    assert!(is_flat, "a backup is made of a folder without folders");
    engine.commit(&batch(BATCHES + 2), Durability::Synced).expect("commits");
    engine.checkpoint(&copy).expect_err("the folder is there already");
    engine.checkpoint(&root.join("missing").join("copy")).expect_err("its parent is missing");
    holds(engine.as_ref(), BATCHES + 2);

    let copied = on_disk.open(&copy);
    holds(copied.as_ref(), BATCHES + 1);
    copied.commit(&batch(BATCHES + 2), Durability::Synced).expect("the copy takes commits");
    copied.commit(&batch(BATCHES + 3), Durability::Synced).expect("the copy takes commits");
    copied.reclaim(EARLY).expect("reclaims");
    holds(copied.as_ref(), BATCHES + 3);
    drop(copied);

    // The original goes on, and the copy does not need it.
    engine.reclaim(EARLY).expect("reclaims beside the copy");
    holds(engine.as_ref(), BATCHES + 2);
    drop(engine);
    holds(on_disk.open(&store).as_ref(), BATCHES + 2);
    let moved = root.join("moved");
    fs::rename(&copy, &moved).expect("moves");
    fs::remove_dir_all(&store).expect("removes");
    holds(on_disk.open(&moved).as_ref(), BATCHES + 3);
}

#[track_caller]
fn holds(engine: &dyn Engine, last: u32) {
    assert_eq!(number(engine), last, "batches");
    assert_eq!(Model::through(last).is_in(engine), Ok(()), "after {last} batches");
}

pub(super) fn beside_commits(on_disk: &OnDisk<'_>) {
    const COPIES: u32 = 6;
    let root = Folder::new();
    let engine = on_disk.open(&root.join("store"));
    let (done, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let durability = if number % 5 == 0 { Durability::Synced } else { Durability::Buffered };
                engine.commit(&batch(number), durability).expect("commits beside a checkpoint");
                done.store(number, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                engine.reclaim(EARLY).expect("reclaims beside a checkpoint");
                thread::sleep(Duration::from_millis(30));
            }
        });
        let all =
            (0..COPIES).map(|copy| copy_of(on_disk, engine.as_ref(), &root.join(&copy.to_string()), &done));
        let wrong: Option<String> = all.filter_map(Result::err).next();
        stop.store(true, Ordering::SeqCst);
        if let Some(wrong) = wrong {
            panic!("{wrong}");
        }
    });
}

/// Makes a copy, and looks whether it has all that was committed before.
fn copy_of(on_disk: &OnDisk<'_>, engine: &dyn Engine, copy: &Path, done: &AtomicU32) -> Result<(), String> {
    thread::sleep(Duration::from_millis(60));
    let before = done.load(Ordering::SeqCst);
    engine.checkpoint(copy).map_err(|error| error.to_string())?;
    let copied = on_disk.try_open(copy).map_err(|error| error.to_string())?;
    let found = number(copied.as_ref());
    if found < before {
        return Err(format!("a checkpoint has {found} batches, and {before} were committed before it"));
    }
    Model::through(found)
        .is_in(copied.as_ref())
        .map_err(|wrong| format!("in a checkpoint of {found} batches {wrong}"))
}
