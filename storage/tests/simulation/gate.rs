//! An engine whose commits wait to be let through, one by one, on a disk that forgets what was not
//! synced.
//!
//! The committer is a thread; with this it moves only when the scheduler says so, and a seed gives
//! one schedule. A group that changes nothing has no commit: so the gate hears what the log's
//! observer hears, too, and says when the committer stands still.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use wardline_storage::command::Event;
use wardline_storage::engine::{Durability, Engine, EngineError, Mutation};
use wardline_storage::hooked::{HookedEngine, Hooks};
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
pub(crate) type GatedDisk = HookedEngine<Gate, LossyEngine>;

/// What commits wait at.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<Count>,
    moved: Condvar,
}

#[derive(Default)]
struct Count {
    entered: u64,
    let_through: u64,
    /// Commands of this life of the log.
    answered: u64,
    is_failed: bool,
}

impl Gate {
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
pub(crate) struct Ear(Arc<GatedDisk>);

impl Ear {
    /// A log begins on this engine.
    pub(crate) fn begin(engine: &Arc<GatedDisk>) -> Self {
        let mut state = engine.hooks.state.lock();
        (state.answered, state.is_failed) = (0, false);
        drop(state);
        Self(Arc::clone(engine))
    }
}

impl Observer for Ear {
    fn committed(&mut self, group: GroupStats, _events: Vec<Event>) {
        let gate = &self.0.hooks;
        gate.state.lock().answered += group.commands as u64;
        gate.moved.notify_all();
    }

    fn failed(&mut self, _error: &EngineError) {
        let gate = &self.0.hooks;
        gate.state.lock().is_failed = true;
        gate.moved.notify_all();
    }
}

impl Hooks for Gate {
    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        let mut state = self.state.lock();
        state.entered += 1;
        let mine = state.entered;
        self.moved.notify_all();
        self.moved.wait_while(&mut state, |state| state.let_through < mine);
        drop(state);
        below.commit(batch, durability)
    }
}
