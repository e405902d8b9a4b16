//! Engines with a defect or a brake, around the memory engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;

/// An engine whose commits can be made to wait, or to fail.
#[derive(Default)]
pub(crate) struct ControlledEngine {
    inner: MemoryEngine,
    fails: AtomicBool,
    is_held: Mutex<bool>,
    changed: Condvar,
}

impl ControlledEngine {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes every commit fail and change nothing, or work again.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// From now on every commit waits.
    pub(crate) fn hold(&self) {
        *self.is_held.lock() = true;
    }

    /// Lets commits go on.
    pub(crate) fn release(&self) {
        *self.is_held.lock() = false;
        self.changed.notify_all();
    }
}

impl Engine for ControlledEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        self.inner.get(table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.inner.scan(table, range, direction, now, visit)
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        let mut is_held = self.is_held.lock();
        while *is_held {
            self.changed.wait(&mut is_held);
        }
        drop(is_held);
        if self.fails.load(Ordering::SeqCst) {
            return Err(EngineError::Io { doing: "committing", detail: "planted failure".into() });
        }
        self.inner.commit(batch, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.inner.reclaim(now)
    }

    fn folder(&self) -> Option<&std::path::Path> {
        None
    }

    fn health(&self, now: Timestamp) -> Health {
        self.inner.health(now)
    }

    fn name(&self) -> &'static str {
        "controlled"
    }
}
