//! An engine whose commits wait to be let through, one by one, on a disk that forgets what was not
//! synced.
//!
//! The committer is a thread; with this it moves only when the scheduler says so, and a seed gives
//! one schedule. A group that changes nothing has no commit: so the gate hears what the log's
//! observer hears, too, and says when the committer stands still.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use wardline_storage::command::Event;
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use wardline_storage::id::Timestamp;
use wardline_storage::log::{GroupStats, Observer};

use crate::lossy::LossyEngine;

/// Longer than a step takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the committer stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// In a commit, until it is let through.
    Committing,
    /// Everything that was submitted is answered.
    Idle,
    /// It ended: the engine failed.
    Failed,
}

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
    /// Commands of this life of the log.
    answered: u64,
    is_failed: bool,
}

impl Gate {
    pub(crate) fn new(disk: LossyEngine) -> Self {
        Self { disk, state: Mutex::default(), moved: Condvar::new() }
    }

    /// A log begins on this engine; gives its observer.
    pub(crate) fn begin(self: &Arc<Self>) -> Ear {
        let mut state = self.state.lock();
        (state.answered, state.is_failed) = (0, false);
        Ear(Arc::clone(self))
    }

    /// Waits until the committer stands still, of a log to which so many commands were submitted.
    pub(crate) fn rest(&self, submitted: u64) -> Rest {
        let mut state = self.state.lock();
        loop {
            if state.is_failed {
                return Rest::Failed;
            }
            if state.entered > state.let_through {
                return Rest::Committing;
            }
            if state.answered == submitted {
                return Rest::Idle;
            }
            assert!(!self.moved.wait_for(&mut state, PATIENCE).timed_out(), "the committer is stuck");
        }
    }

    /// Lets the commit that waits go on.
    pub(crate) fn let_one_through(&self) {
        self.state.lock().let_through += 1;
        self.moved.notify_all();
    }
}

/// The log's observer.
pub(crate) struct Ear(Arc<Gate>);

impl Observer for Ear {
    fn committed(&mut self, group: GroupStats, _events: Vec<Event>) {
        self.0.state.lock().answered += group.commands as u64;
        self.0.moved.notify_all();
    }

    fn failed(&mut self, _error: &EngineError) {
        self.0.state.lock().is_failed = true;
        self.0.moved.notify_all();
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

    fn folder(&self) -> Option<&std::path::Path> {
        None
    }

    fn health(&self, now: Timestamp) -> Health {
        self.disk.health(now)
    }

    fn name(&self) -> &'static str {
        "gated"
    }
}
