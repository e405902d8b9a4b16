//! An engine whose commits wait to be let through, one by one, on a disk that forgets what was not synced.
//!
//! The committer is a thread; with this it moves only when the scheduler says so, and a seed gives one schedule.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use wardline_storage::id::Timestamp;

use crate::lossy::LossyEngine;

/// Longer than a step takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// See the module's documentation.
pub(crate) struct Gate {
    pub(crate) disk: LossyEngine,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    entered: u64,
    let_through: u64,
}

impl Gate {
    pub(crate) fn new(disk: LossyEngine) -> Self {
        Self { disk, state: Mutex::default(), moved: Condvar::new() }
    }

    /// How many commits have begun.
    pub(crate) fn entered(&self) -> u64 {
        self.state.lock().entered
    }

    /// Waits until so many commits have begun.
    pub(crate) fn await_entered(&self, entered: u64) {
        let mut state = self.state.lock();
        while state.entered < entered {
            assert!(!self.moved.wait_for(&mut state, PATIENCE).timed_out(), "the committer does not commit");
        }
    }

    /// Lets the commit that waits go on.
    pub(crate) fn let_one_through(&self) {
        self.state.lock().let_through += 1;
        self.moved.notify_all();
    }
}

impl Engine for Gate {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        self.disk.get(table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.disk.scan(table, range, direction, now, visit)
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        let mut state = self.state.lock();
        state.entered += 1;
        let mine = state.entered;
        self.moved.notify_all();
        while state.let_through < mine {
            self.moved.wait(&mut state);
        }
        drop(state);
        self.disk.commit(batch, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.disk.reclaim(now)
    }

    fn health(&self, now: Timestamp) -> Health {
        self.disk.health(now)
    }

    fn name(&self) -> &'static str {
        "gated"
    }
}
