//! An engine whose power can be cut: it then forgets what was not synced, as a disk's cache does.

use std::ops::ControlFlow;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wardline_storage::engine::{Direction, Durability, Engine, EngineError, KeyRange, Mutation, Row, Table};
use wardline_storage::hooked::{HookedEngine, Hooks};
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;

/// What the disk does with a request to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// Writes everything down before it answers.
    Honest,
    /// Answers at once: what a missing sync looks like.
    Ignoring,
}

/// The memory engine, whose content reads see, with a volatile cache in front of its disk.
pub(crate) type LossyEngine = HookedEngine<Cache>;

/// The cache and the disk.
pub(crate) struct Cache {
    disk: Disk,
    state: Mutex<Contents>,
}

struct Contents {
    /// What would be there after a cut.
    stable: MemoryEngine,
    /// Written and not synced, oldest first.
    cached: Vec<Vec<Mutation>>,
    /// Commits until the power goes; `None`: it does not.
    commits_left: Option<u32>,
    is_off: bool,
    random: StdRng,
}

impl Cache {
    pub(crate) fn new(disk: Disk, seed: u64) -> Self {
        let state = Contents {
            stable: MemoryEngine::default(),
            cached: Vec::new(),
            commits_left: None,
            is_off: false,
            random: StdRng::seed_from_u64(seed),
        };
        Self { disk, state: Mutex::new(state) }
    }

    /// Lets the power go during the commit after `commits` more.
    pub(crate) fn cut_after(&self, commits: u32) {
        self.state.lock().commits_left = Some(commits);
    }

    /// Lets what was written reach the disk by itself, as it does with time.
    pub(crate) fn settle(&self) {
        self.state.lock().write_down(usize::MAX);
    }
}

/// Brings the power back: of what was not synced a random part from the beginning is there, the
/// rest is not.
pub(crate) fn power_on(engine: &LossyEngine) {
    let mut state = engine.hooks.state.lock();
    let cached = state.cached.len();
    let survivors = state.random.random_range(0..=cached);
    state.write_down(survivors);
    state.cached.clear();
    // What reads see must be exactly what is stable.
    let gone = rows(&engine.below).into_iter().map(|put| {
        let (table, key) = (put.table(), put.key().clone());
        Mutation::Delete { table, key }
    });
    let batch: Vec<Mutation> = gone.chain(rows(&state.stable)).collect();
    engine.below.commit(&batch, Durability::Synced).expect("memory does not fail");
    state.is_off = false;
    state.commits_left = None;
}

/// Everything in it, as it would be written.
fn rows(engine: &MemoryEngine) -> Vec<Mutation> {
    let mut rows = Vec::new();
    for table in Table::ALL {
        let visit = &mut |row: Row<'_>| {
            let (key, value) = (Bytes::copy_from_slice(row.key), Bytes::copy_from_slice(row.value));
            rows.push(Mutation::Put { table, key, value, expires: row.expires });
            ControlFlow::Continue(())
        };
        let start = Timestamp::default();
        engine.scan(table, KeyRange::ALL, Direction::Forward, start, visit).expect("memory does not fail");
    }
    rows
}

impl Contents {
    /// The oldest of what is cached, so many batches, reach the disk.
    fn write_down(&mut self, batches_max: usize) {
        let batches = batches_max.min(self.cached.len());
        for batch in self.cached.drain(..batches) {
            self.stable.commit(&batch, Durability::Synced).expect("memory does not fail");
        }
    }

    /// Counts a commit; whether the power goes during it.
    fn is_cut(&mut self) -> bool {
        match &mut self.commits_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

impl Hooks for Cache {
    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        let gone = || EngineError::Io { doing: "committing", detail: "the power is gone".into() };
        let mut state = self.state.lock();
        if state.is_off {
            return Err(gone());
        }
        if state.is_cut() {
            state.is_off = true;
            // It went before or after this batch had reached the disk: its caller cannot know.
            state.cached.push(batch.to_vec());
            return Err(gone());
        }
        below.commit(batch, durability)?;
        state.cached.push(batch.to_vec());
        if durability == Durability::Synced && self.disk == Disk::Honest {
            state.write_down(usize::MAX);
        }
        Ok(())
    }
}
