//! The memory engine: the reference that the others are measured against, and what tests run on.
//!
//! Ordered maps behind one lock. A scan holds the lock for reading from its first record to its
//! last, which is what makes it consistent; a visitor may read the engine, but must not write to
//! it. Replaced and deleted bytes go at once, expired ones with [`Engine::reclaim`]. Nothing here
//! survives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::engine::{
    Direction, Durability, Engine, EngineError, Figure, Health, KeyRange, Mutation, Reclaimed, Row, Table,
    Value, Visit,
};
use crate::id::Timestamp;
use crate::open::{OpenError, Opener, Options};

const NAME: &str = "memory";

/// Keeps everything in ordered maps. Durable only as long as the process lives.
#[derive(Default)]
pub struct MemoryEngine {
    state: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    tables: [BTreeMap<Bytes, Stored>; Table::ALL.len()],
    /// Every record that expires, soonest first.
    expiries: BTreeSet<(Timestamp, Table, Bytes)>,
}

struct Stored {
    value: Bytes,
    expires: Timestamp,
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine").finish_non_exhaustive()
    }
}

impl Tables {
    fn table(&self, table: Table) -> &BTreeMap<Bytes, Stored> {
        &self.tables[table as usize]
    }

    fn put(&mut self, table: Table, key: Bytes, value: Bytes, expires: Timestamp) {
        if expires != Timestamp::NEVER {
            self.expiries.insert((expires, table, key.clone()));
        }
        let replaced = self.tables[table as usize].insert(key.clone(), Stored { value, expires });
        if let Some(replaced) = replaced.filter(|replaced| replaced.expires != expires) {
            self.expiries.remove(&(replaced.expires, table, key));
        }
    }

    /// # Panics
    /// If it replaces a record with the same expiry, which is then no new one: a defect of the
    /// caller, and this is the reference that finds it.
    fn insert(&mut self, table: Table, key: Bytes, value: Bytes, expires: Timestamp) {
        let known = self.tables[table as usize].get(&key).is_some_and(|known| known.expires >= expires);
        assert!(!known, "a record was written as a new one, but the {} table has its key", table.name());
        self.put(table, key, value, expires);
    }

    fn delete(&mut self, table: Table, key: Bytes) -> Option<Stored> {
        let stored = self.tables[table as usize].remove(&key)?;
        self.expiries.remove(&(stored.expires, table, key));
        Some(stored)
    }
}

impl Engine for MemoryEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        // Recursive: a visitor of a scan reads too, and must not queue behind a writer that waits
        // for the scan.
        let state = self.state.read_recursive();
        let stored = state.table(table).get(key).filter(|stored| stored.expires > now);
        Ok(stored.map(|stored| stored.value.clone()))
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        if range.from >= range.to {
            return Ok(());
        }
        let state = self.state.read_recursive();
        let bounds = (Bound::Included(range.from), Bound::Excluded(range.to));
        let mut live = state.table(table).range::<[u8], _>(bounds).filter(|(_, stored)| stored.expires > now);
        loop {
            let next = match direction {
                Direction::Forward => live.next(),
                Direction::Backward => live.next_back(),
            };
            let Some((key, stored)) = next else { return Ok(()) };
            let row = Row { key, value: &stored.value, expires: stored.expires };
            if let ControlFlow::Break(()) = visit(row) {
                return Ok(());
            }
        }
    }

    fn commit(&self, batch: &[Mutation], _durability: Durability) -> Result<(), EngineError> {
        let mut state = self.state.write();
        for mutation in batch {
            match mutation.clone() {
                Mutation::Put { table, key, value, expires } => state.put(table, key, value, expires),
                Mutation::Insert { table, key, value, expires } => state.insert(table, key, value, expires),
                Mutation::Delete { table, key } => drop(state.delete(table, key)),
            }
        }
        Ok(())
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        let mut state = self.state.write();
        let mut reclaimed = Reclaimed::default();
        while state.expiries.first().is_some_and(|(expires, ..)| *expires <= now) {
            let Some((_, table, key)) = state.expiries.pop_first() else { break };
            if let Some(stored) = state.tables[table as usize].remove(&key) {
                reclaimed.records += 1;
                reclaimed.bytes += (key.len() + stored.value.len()) as u64;
            }
        }
        Ok(reclaimed)
    }

    fn folder(&self) -> Option<&Path> {
        None
    }

    fn health(&self, now: Timestamp) -> Health {
        let state = self.state.read_recursive();
        let oldest = state.expiries.first().map_or(Duration::ZERO, |(expires, ..)| now.since(*expires));
        let records: usize = state.tables.iter().map(BTreeMap::len).sum();
        let records = Figure {
            name: "records",
            meaning: "Records, expired ones that are not reclaimed included.",
            label: None,
            value: Value::Gauge(records as f64),
        };
        Health { oldest_unreclaimed: oldest, figures: vec![records] }
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// The memory engine before it is open.
#[derive(Clone, Copy, Debug)]
pub struct Memory;

impl Opener for Memory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_files(&self) -> bool {
        false
    }

    fn is_store(&self, _folder: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn open(&self, _folder: &Path, _options: Options) -> Result<Arc<dyn Engine>, OpenError> {
        Ok(Arc::new(MemoryEngine::default()))
    }
}
