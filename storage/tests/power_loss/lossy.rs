//! An engine whose power can be cut: it then forgets what was not synced, as a disk's cache does.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
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

/// The memory engine with a volatile cache in front of its disk.
pub(crate) struct LossyEngine {
    disk: Disk,
    state: Mutex<State>,
}

struct State {
    /// What reads see.
    seen: Arc<MemoryEngine>,
    /// What would be there after a cut.
    stable: MemoryEngine,
    /// Written and not synced, oldest first.
    cached: Vec<Vec<Mutation>>,
    /// Commits until the power goes; `None`: it does not.
    commits_left: Option<u32>,
    is_off: bool,
    random: StdRng,
}

impl LossyEngine {
    pub(crate) fn new(disk: Disk, seed: u64) -> Self {
        let state = State {
            seen: Arc::default(),
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
        let mut state = self.state.lock();
        for batch in std::mem::take(&mut state.cached) {
            state.write_down(&batch);
        }
    }

    /// Brings the power back: of what was not synced a random part from the beginning is there, the
    /// rest is not.
    pub(crate) fn power_on(&self) {
        let mut state = self.state.lock();
        let cached = state.cached.len();
        let survivors = state.random.random_range(0..=cached);
        let cached = std::mem::take(&mut state.cached);
        for batch in &cached[..survivors] {
            state.write_down(batch);
        }
        // What reads see must be exactly what is stable: copy it.
        let copy = MemoryEngine::default();
        for table in Table::ALL {
            let all = KeyRange { from: &[], to: &[0xff; 129] };
            let mut rows = Vec::new();
            let visit = &mut |row: wardline_storage::engine::Row<'_>| {
                let (key, value) = (row.key, row.value);
                let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                rows.push(Mutation::Put { table, key, value, expires: Timestamp::NEVER });
                std::ops::ControlFlow::Continue(())
            };
            let start = Timestamp::default();
            state.stable.scan(table, all, Direction::Forward, start, visit).expect("memory does not fail");
            copy.commit(&rows, Durability::Synced).expect("memory does not fail");
        }
        state.seen = Arc::new(copy);
        state.is_off = false;
        state.commits_left = None;
    }

    fn seen(&self) -> Arc<MemoryEngine> {
        Arc::clone(&self.state.lock().seen)
    }
}

impl State {
    fn write_down(&mut self, batch: &[Mutation]) {
        self.stable.commit(batch, Durability::Synced).expect("memory does not fail");
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

impl Engine for LossyEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        self.seen().get(table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.seen().scan(table, range, direction, now, visit)
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        let gone = || EngineError::Io { doing: "committing", detail: "the power is gone".into() };
        let mut state = self.state.lock();
        if state.is_off {
            return Err(gone());
        }
        let synced = durability == Durability::Synced && self.disk == Disk::Honest;
        if state.is_cut() {
            state.is_off = true;
            // It went before or after this batch had reached the disk: its caller cannot know.
            state.cached.push(batch.to_vec());
            return Err(gone());
        }
        state.seen.commit(batch, durability)?;
        state.cached.push(batch.to_vec());
        if synced {
            for batch in std::mem::take(&mut state.cached) {
                state.write_down(&batch);
            }
        }
        Ok(())
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.seen().reclaim(now)
    }

    fn folder(&self) -> Option<&std::path::Path> {
        None
    }

    fn health(&self, now: Timestamp) -> Health {
        self.seen().health(now)
    }

    fn name(&self) -> &'static str {
        "lossy"
    }
}
