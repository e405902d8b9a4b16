//! The engine as [`wardline_storage`] asks for it: one table of redb for each table.
//!
//! Reads leave expired rows out by the reader's `now`, and believe no row whose checksum is wrong.

use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Row, Table, Visit,
};
use wardline_storage::id::Timestamp;
use wardline_storage::open::{OpenError, Opener, Options};

use crate::engine::RedbEngine;
use crate::figures;
use crate::open;
use crate::row;

const NAME: &str = "redb";

impl Engine for RedbEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        const DOING: &str = "reading a row";
        self.garbage.hear(now);
        let file = self.file();
        let moment = file.read(DOING)?;
        let rows = file.table(DOING, &moment, table)?;
        let stored = rows.get(key).map_err(|error| file.failure(DOING, error.into()))?;
        let Some(stored) = stored else { return Ok(None) };
        let (expires, value) = row::split(DOING, table, key, stored.value())?;
        Ok((expires > now).then(|| Bytes::copy_from_slice(value)))
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        const DOING: &str = "scanning";
        if range.from >= range.to {
            return Ok(());
        }
        self.garbage.hear(now);
        let file = self.file();
        let moment = file.read(DOING)?;
        let rows = file.table(DOING, &moment, table)?;
        let bounds = (Bound::Included(range.from), Bound::Excluded(range.to));
        let mut rows = rows.range::<&[u8]>(bounds).map_err(|error| file.failure(DOING, error.into()))?;
        loop {
            let next = match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.next_back(),
            };
            let Some(found) = next else { return Ok(()) };
            let (key, stored) = found.map_err(|error| file.failure(DOING, error.into()))?;
            let key = key.value();
            let (expires, value) = row::split(DOING, table, key, stored.value())?;
            if expires > now
                && let ControlFlow::Break(()) = visit(Row { key, value, expires })
            {
                return Ok(());
            }
        }
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        self.commit_batch(batch, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.reclaim_store(now)
    }

    fn checkpoint(&self, into: &Path) -> Result<(), EngineError> {
        self.copy_store(into)
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn health(&self, now: Timestamp) -> Health {
        self.garbage.hear(now);
        Health { oldest_unreclaimed: self.garbage.oldest(now), figures: figures::read(self) }
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// The redb engine before it is open.
#[derive(Clone, Copy, Debug)]
pub struct Redb;

impl Opener for Redb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_files(&self) -> bool {
        true
    }

    fn is_store(&self, folder: &Path) -> io::Result<bool> {
        open::is_store(folder)
    }

    fn room_to_open(&self, folder: &Path, _options: Options) -> io::Result<u64> {
        open::room(folder)
    }

    /// Half of the memory is for the store's pages, half for those of a copy beside it.
    fn open(&self, folder: &Path, options: Options) -> Result<Arc<dyn Engine>, OpenError> {
        Ok(Arc::new(RedbEngine::open(folder, options)?))
    }
}
