//! The memory engine: the reference that the others are measured against, and what tests run on.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use crate::id::Timestamp;

/// Keeps everything in ordered maps. Durable only as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryEngine {}

impl Engine for MemoryEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        todo!()
    }
    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let _ = ControlFlow::<()>::Break(());
        todo!()
    }
    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        todo!()
    }
    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        todo!()
    }
    fn health(&self, now: Timestamp) -> Health {
        todo!()
    }
    fn name(&self) -> &'static str {
        "memory"
    }
}
