//! An engine with hooks around its calls: the one double that all tests use that hold, break, count
//! or falsify what an engine does.
//!
//! A test says in [`Hooks`] what is to happen at a call, and is given the engine below to go on
//! with, before, after, otherwise or not at all. What it does not mention passes.
//! [`CommitGate`] has what several tests need: commits that wait or fail.

use std::path::Path;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use crate::id::Timestamp;
use crate::memory::MemoryEngine;

/// What happens at each call of an engine, given the engine below. By default: its own call.
// What the arguments mean and what may fail is said once, by `Engine`.
#[expect(clippy::missing_errors_doc)]
pub trait Hooks: Send + Sync + 'static {
    /// At [`Engine::get`].
    fn get(
        &self,
        below: &dyn Engine,
        table: Table,
        key: &[u8],
        now: Timestamp,
    ) -> Result<Option<Bytes>, EngineError> {
        below.get(table, key, now)
    }

    /// At [`Engine::scan`].
    fn scan(
        &self,
        below: &dyn Engine,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        below.scan(table, range, direction, now, visit)
    }

    /// At [`Engine::commit`].
    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        below.commit(batch, durability)
    }

    /// At [`Engine::reclaim`].
    fn reclaim(&self, below: &dyn Engine, now: Timestamp) -> Result<Reclaimed, EngineError> {
        below.reclaim(now)
    }

    /// At [`Engine::checkpoint`].
    fn checkpoint(&self, below: &dyn Engine, into: &Path) -> Result<(), EngineError> {
        below.checkpoint(into)
    }
}

/// Hooks that change nothing.
impl Hooks for () {}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct HookedEngine<H, E = MemoryEngine> {
    /// What happens at each call.
    pub hooks: H,
    /// What the hooks are put around.
    pub below: E,
}

impl<H: Hooks> HookedEngine<H> {
    /// Hooks around an empty memory engine.
    pub fn new(hooks: H) -> Self {
        Self { hooks, below: MemoryEngine::default() }
    }
}

impl<H: Hooks, E: Engine> Engine for HookedEngine<H, E> {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        self.hooks.get(&self.below, table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.hooks.scan(&self.below, table, range, direction, now, visit)
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        self.hooks.commit(&self.below, batch, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.hooks.reclaim(&self.below, now)
    }

    fn checkpoint(&self, into: &Path) -> Result<(), EngineError> {
        self.hooks.checkpoint(&self.below, into)
    }

    fn room_wanted(&self) -> u64 {
        self.below.room_wanted()
    }

    fn spare_disk(&self, sparing: bool) -> Result<(), EngineError> {
        self.below.spare_disk(sparing)
    }

    fn room_to_spare(&self) -> u64 {
        self.below.room_to_spare()
    }

    fn folder(&self) -> Option<&Path> {
        self.below.folder()
    }

    fn health(&self, now: Timestamp) -> Health {
        self.below.health(now)
    }

    fn name(&self) -> &'static str {
        self.below.name()
    }
}

/// What the next commits do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commits {
    /// Go on.
    #[default]
    Pass,
    /// Wait inside, until it is something else.
    Hold,
    /// Change nothing, and fail.
    Fail,
    /// Panic.
    Panic,
}

/// Hooks that count the commits, and let a test hold and break them.
#[derive(Debug, Default)]
pub struct CommitGate {
    state: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    commits: Commits,
    entered: usize,
    returned: Vec<(usize, Durability)>,
}

impl CommitGate {
    /// Says what commits do from now on, those that wait inside included.
    pub fn set(&self, commits: Commits) {
        self.state.lock().commits = commits;
        self.moved.notify_all();
    }

    /// Commits begun.
    pub fn entered(&self) -> usize {
        self.state.lock().entered
    }

    /// Of the commits that were let through: how many changes, and how durable they were to be.
    pub fn returned(&self) -> Vec<(usize, Durability)> {
        self.state.lock().returned.clone()
    }
}

impl Hooks for CommitGate {
    /// # Panics
    /// If it is told to.
    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        let mut gate = self.state.lock();
        gate.entered += 1;
        self.moved.wait_while(&mut gate, |gate| gate.commits == Commits::Hold);
        assert!(gate.commits != Commits::Panic, "planted");
        if gate.commits == Commits::Fail {
            return Err(EngineError::Io { doing: "committing", detail: "planted failure".to_owned() });
        }
        gate.returned.push((batch.len(), durability));
        below.commit(batch, durability)
    }
}
