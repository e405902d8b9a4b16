//! A memory engine that remembers the last batch that it was given: what a group of commands comes
//! to.
//!
//! For preparing limits, never for measuring: remembering costs.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;

/// See the module's documentation.
#[derive(Default)]
pub struct Recording {
    engine: MemoryEngine,
    last: Mutex<Vec<Mutation>>,
}

impl Recording {
    /// The last batch that was committed.
    pub fn last(&self) -> Vec<Mutation> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Engine for Recording {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        Engine::get(&self.engine, table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        Engine::scan(&self.engine, table, range, direction, now, visit)
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = batch.to_vec();
        self.engine.commit(batch, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.engine.reclaim(now)
    }

    fn folder(&self) -> Option<&std::path::Path> {
        None
    }

    fn health(&self, now: Timestamp) -> Health {
        self.engine.health(now)
    }

    fn name(&self) -> &'static str {
        "recording"
    }
}
