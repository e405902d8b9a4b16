//! An engine whose commits rest on ballast: room is made before a batch is written, never after a
//! write has failed.
//!
//! Costs one look at the file system a commit, and more only where the disk is nearly full.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::Ballast;
use crate::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use crate::id::Timestamp;

/// What a batch of few rows takes beside them: heads of records, a log's next blocks, the notes
/// beside the store; of a tree that is written anew the pages from there to the root, in every
/// table. Not much: what is given and not needed others on the disk may take.
const ASIDE_BYTES: u64 = 192 << 10;

/// See the module's documentation.
pub struct BallastedEngine {
    below: Arc<dyn Engine>,
    ballast: Arc<Ballast>,
}

impl BallastedEngine {
    /// Puts ballast under an engine.
    pub fn new(below: Arc<dyn Engine>, ballast: Arc<Ballast>) -> Self {
        Self { below, ballast }
    }

    fn ensure_room_for(&self, bytes: impl FnOnce() -> u64) {
        self.ballast.ensure(|| self.below.room_wanted() + bytes() + ASIDE_BYTES);
    }
}

impl Engine for BallastedEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        self.below.get(table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.below.scan(table, range, direction, now, visit)
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        let _writing = self.ballast.hold();
        self.ensure_room_for(|| batch.iter().map(weight).sum::<u64>() * 2);
        self.below.commit(batch, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.below.reclaim(now)
    }

    fn checkpoint(&self, into: &Path) -> Result<(), EngineError> {
        self.below.checkpoint(into)
    }

    fn room_wanted(&self) -> u64 {
        self.below.room_wanted()
    }

    fn spare_disk(&self, sparing: bool) -> Result<(), EngineError> {
        if sparing && self.below.room_to_spare() > 0 {
            self.ensure_room_for(|| self.below.room_to_spare());
        }
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

impl Drop for BallastedEngine {
    /// Closing writes a little, too.
    fn drop(&mut self) {
        self.ensure_room_for(|| 0);
    }
}

impl std::fmt::Debug for BallastedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BallastedEngine").field("ballast", &self.ballast).finish_non_exhaustive()
    }
}

fn weight(mutation: &Mutation) -> u64 {
    let value = match mutation {
        Mutation::Put { value, .. } | Mutation::Insert { value, .. } => value.len(),
        Mutation::Delete { .. } => 0,
    };
    (mutation.key().len() + value) as u64
}
