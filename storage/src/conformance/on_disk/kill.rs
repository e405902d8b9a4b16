//! A kill takes nothing that was synced, no part of a batch, and of what was not synced only the
//! end.
//!
//! A child commits the batches of the [`story`](super::story) one after the other, some synced, and
//! reclaims beside that. It says which were synced, and is killed at a moment that chance chooses,
//! while it opens the store too.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::super::random::Random;
use super::super::rows::EARLY;
use super::child::{Child, say};
use super::folder::{Folder, files_with};
use super::story::{Model, batch, number, values};
use super::subject::OnDisk;
use crate::engine::{Durability, Engine};

const KILLS: u32 = 14;
/// Longest life of a child.
const LIFE_MS: u64 = 350;
/// Batches of a store that is left as a kill leaves it.
pub(super) const KILLED_BATCHES: u32 = 200;

pub(super) fn takes_the_end_at_most(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let folder = root.join("store");
    let mut random = Random::new();
    let seed = random.seed();
    let mut last = 0;
    for kill in 0..KILLS {
        let mut child = Child::start(on_disk, "commit", &folder);
        if kill % 4 > 0 {
            child.wait_for("open");
        }
        thread::sleep(Duration::from_millis(random.below(LIFE_MS)));
        let said = child.kill();
        let synced = said.iter().filter_map(|said| said.strip_prefix("synced ")?.parse::<u32>().ok()).max();
        last = last.max(synced.unwrap_or(0));
        let at = format!("kill {kill}, {seed}");
        let engine = on_disk.open(&folder);
        let found = number(engine.as_ref());
        assert!(found >= last, "{} batches are there, and {last} were synced; {at}", found);
        if let Err(wrong) = Model::through(found).is_in(engine.as_ref()) {
            panic!("after {found} batches {wrong}; {at}");
        }
        // What is there now was seen, so it is not to go any more.
        engine.commit(&batch(found + 1), Durability::Synced).expect("commits");
        last = found + 1;
    }
    let engine = on_disk.open(&folder);
    engine.reclaim(EARLY).expect("reclaims");
    let model = Model::through(last);
    assert_eq!(model.is_in(engine.as_ref()), Ok(()), "after the last reclaim; {seed}");
    // What a kill cut short is not to be found either.
    let never: Vec<_> = (last + 1..last + 100).flat_map(values).collect();
    let held = files_with(&folder, model.dead.iter().chain(&never));
    assert_eq!(held, Vec::<std::path::PathBuf>::new(), "bytes outlived their time; {seed}");
}

/// The child's part.
pub(super) fn commit_for_ever(on_disk: &OnDisk<'_>, folder: &Path) {
    let engine = on_disk.open(folder);
    say("open");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // At once, or after some batches.
                thread::sleep(Duration::from_millis(u64::from(number(engine.as_ref())) * 7 % 40));
                engine.reclaim(EARLY).expect("reclaims beside commits");
            }
        });
        for number in number(engine.as_ref()) + 1.. {
            // A few buffered ones, then a synced one.
            let is_synced = number.is_multiple_of(1 + number / 7 % 5);
            let durability = if is_synced { Durability::Synced } else { Durability::Buffered };
            engine.commit(&batch(number), durability).expect("commits");
            if is_synced {
                say(&format!("synced {number}"));
            }
        }
    });
}

/// Leaves a store in a folder as a kill leaves it, with [`KILLED_BATCHES`] synced batches.
pub(super) fn leave_killed(on_disk: &OnDisk<'_>, folder: &Path) {
    let mut child = Child::start(on_disk, "commit and wait", folder);
    child.wait_for("done");
    child.kill();
}

/// The child's part.
pub(super) fn commit_and_wait(on_disk: &OnDisk<'_>, folder: &Path) {
    let engine = on_disk.open(folder);
    commit_through(engine.as_ref(), KILLED_BATCHES);
    say("done");
    loop {
        thread::park();
    }
}

/// Commits the batches up to a number, all synced in the end, with a reclaim in the middle.
pub(super) fn commit_through(engine: &dyn Engine, last: u32) {
    for number in number(engine) + 1..=last {
        let durability = if number % 4 == 1 { Durability::Buffered } else { Durability::Synced };
        let durability = if number == last { Durability::Synced } else { durability };
        engine.commit(&batch(number), durability).expect("commits");
        if number == last / 2 {
            engine.reclaim(EARLY).expect("reclaims");
        }
    }
}
