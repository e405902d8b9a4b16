//! What the committer read or wrote lately, so that a busy conversation costs no look-up in the engine.
//!
//! A state between the overlay and the engine, for one reader that is also the only writer: what it holds is what the
//! engine holds, because every committed batch goes through [`Recent::committed`]. It keeps records of tables that
//! do not expire, since presence then depends on nobody's clock. Bounded in bytes by two generations: when the young
//! one is full it becomes the old one, and what is not used again goes with that.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Direction, Engine, EngineError, KeyRange, Mutation, Table, Visit};
use crate::id::Timestamp;
use crate::machine::State;

/// What a record costs beside its key and value, roughly.
const RECORD_BYTES: usize = 128;

/// An engine, and what was read from it or written to it lately.
pub(crate) struct Recent {
    engine: Arc<dyn Engine>,
    tables: RefCell<[Generations; KEPT.len()]>,
    bytes_max: usize,
}

/// Read for nearly every command, and small.
const KEPT: [Table; 3] = [Table::Conversation, Table::Member, Table::Cursor];

#[derive(Default)]
struct Generations {
    young: HashMap<Bytes, Bytes>,
    old: HashMap<Bytes, Bytes>,
    young_bytes: usize,
}

impl Recent {
    /// Over an engine, with nothing kept yet. Holds about `bytes_max` bytes at most, in each of its tables.
    pub(crate) fn new(engine: Arc<dyn Engine>, bytes_max: usize) -> Self {
        Self { engine, tables: RefCell::default(), bytes_max }
    }

    /// The engine below.
    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Takes note of a batch that was committed.
    pub(crate) fn committed(&mut self, batch: Vec<Mutation>) {
        let tables = self.tables.get_mut();
        for mutation in batch {
            match mutation {
                Mutation::Put { table, key, value, .. } | Mutation::Insert { table, key, value, .. } => {
                    if let Some(place) = place(table) {
                        tables[place].put(key, value, self.bytes_max);
                    }
                }
                Mutation::Delete { table, key } => {
                    if let Some(place) = place(table) {
                        tables[place].forget(&key);
                    }
                }
            }
        }
    }
}

impl State for Recent {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        let Some(place) = place(table) else { return self.engine.get(table, key, now) };
        if let Some(value) = self.tables.borrow_mut()[place].find(key, self.bytes_max) {
            return Ok(Some(value));
        }
        let found = self.engine.get(table, key, now)?;
        if let Some(value) = &found {
            let key = Bytes::copy_from_slice(key);
            self.tables.borrow_mut()[place].put(key, value.clone(), self.bytes_max);
        }
        Ok(found)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.engine.scan(table, range, direction, now, visit)
    }
}

impl Generations {
    fn find(&mut self, key: &[u8], bytes_max: usize) -> Option<Bytes> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone(), bytes_max);
        Some(value)
    }

    fn put(&mut self, key: Bytes, value: Bytes, bytes_max: usize) {
        self.forget(&key);
        let bytes = cost(&key, &value);
        if self.young_bytes + bytes > bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young.insert(key, value);
        self.young_bytes += bytes;
    }

    fn forget(&mut self, key: &[u8]) {
        self.old.remove(key);
        if let Some((key, value)) = self.young.remove_entry(key) {
            self.young_bytes -= cost(&key, &value);
        }
    }
}

fn cost(key: &Bytes, value: &Bytes) -> usize {
    key.len() + value.len() + RECORD_BYTES
}

fn place(table: Table) -> Option<usize> {
    KEPT.iter().position(|kept| *kept == table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Durability;
    use crate::memory::MemoryEngine;

    const NOW: Timestamp = Timestamp(1);

    fn mutation() -> impl Strategy<Value = Mutation> {
        let table = prop::sample::select(vec![Table::Conversation, Table::Member, Table::Device]);
        (table, 0_u8..12, prop::option::of(0_usize..60)).prop_map(|(table, key, length)| {
            let key = Bytes::copy_from_slice(&[key]);
            match length {
                Some(length) => {
                    Mutation::Put { table, key, value: vec![7; length].into(), expires: Timestamp::NEVER }
                }
                None => Mutation::Delete { table, key },
            }
        })
    }

    proptest! {
        /// Whatever was committed or read before, and however little is kept.
        #[test]
        fn holds_what_the_engine_holds(
            steps in prop::collection::vec((prop::collection::vec(mutation(), 0..5), 0_u8..12), 1..60),
            bytes_max in 0_usize..2_000,
        ) {
            let engine = Arc::new(MemoryEngine::default());
            let mut recent = Recent::new(engine.clone(), bytes_max);
            for (batch, key) in steps {
                engine.commit(&batch, Durability::Synced).expect("memory does not fail");
                recent.committed(batch);
                for table in [Table::Conversation, Table::Member, Table::Device] {
                    let expected = Engine::get(&*engine, table, &[key], NOW).expect("memory does not fail");
                    prop_assert_eq!(recent.get(table, &[key], NOW).expect("memory does not fail"), expected);
                }
                for kept in recent.tables.borrow().iter() {
                    let counted: usize = kept.young.iter().map(|(key, value)| cost(key, value)).sum();
                    prop_assert_eq!(counted, kept.young_bytes);
                    prop_assert!(kept.young.len() <= 1 || kept.young_bytes <= bytes_max / 2);
                }
            }
        }
    }
}
