//! A hash of the state, table by table: stores that have applied the same log have the same, on
//! whichever engine.
//!
//! It covers each record that lives at the log's time: its key, its expiry, its value. How far the
//! store has come is not in it, but beside it. It scans everything, each table as of its own
//! moment, so it tells something of a store that nobody writes to: a stopped one, or a copy.

use std::fmt;
use std::ops::ControlFlow;

use aws_lc_rs::digest::{Context, SHA256};

use crate::engine::{Direction, Engine, EngineError, KeyRange, Table};
use crate::key;
use crate::model::Applied;
use crate::state::applied;

/// A SHA-256, shown in lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a store holds, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHash {
    /// How far it has come.
    pub applied: Applied,
    /// Each table: how many records live in it, and their hash.
    pub tables: [(Table, u64, Hash); Table::ALL.len()],
}

/// Hashes a store.
///
/// # Errors
/// [`EngineError`] if it could not be read.
pub fn of(engine: &dyn Engine) -> Result<StateHash, EngineError> {
    let applied = applied(engine)?;
    let mut tables = Table::ALL.map(|table| (table, 0, Hash([0; 32])));
    for (table, records, hash) in &mut tables {
        (*records, *hash) = table_at(engine, *table, applied)?;
    }
    Ok(StateHash { applied, tables })
}

fn table_at(engine: &dyn Engine, table: Table, applied: Applied) -> Result<(u64, Hash), EngineError> {
    let (mut records, mut context) = (0, Context::new(&SHA256));
    engine.scan(table, KeyRange::ALL, Direction::Forward, applied.time, &mut |row| {
        if table != Table::Meta || row.key != key::APPLIED {
            records += 1;
            // Lengths before what they are of, so that no two states are the same bytes.
            for part in [row.key, &row.expires.0.to_be_bytes(), row.value] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        ControlFlow::Continue(())
    })?;
    let digest = context.finish();
    let hash = digest.as_ref().try_into().expect("a SHA-256 has 32 bytes");
    Ok((records, Hash(hash)))
}
