//! Batches by number, and what a store holds after them.
//!
//! Every process makes the same batch of a number, so whoever knows how many were committed knows
//! all that a store must hold. Batches insert, replace and delete, in several tables, and put their
//! number into the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;

use super::super::random::Random;
use super::super::rows::{EARLY, delete, insert_until, put};
use crate::engine::{Direction, Engine, KeyRange, Mutation, Row, Table};
use crate::id::Timestamp;

/// When what expires in a store does so. All is read at [`EARLY`].
const LATE: Timestamp = Timestamp(EARLY.0 + 3_600_000);
/// Under which key the number lies.
const NUMBER: &[u8] = b"number";

/// The batch with a number; the first is 1.
pub(super) fn batch(number: u32) -> Vec<Mutation> {
    let mut random = Random(u64::from(number) << 16);
    let mut batch = vec![put(Table::Meta, NUMBER, &number.to_be_bytes())];
    for i in 0..=number % 4 {
        let expires = if (number + i).is_multiple_of(2) { LATE } else { Timestamp::NEVER };
        batch.push(insert_until(Table::Message, &message(number, i), &value(&mut random, number), expires));
    }
    for (table, keys) in [(Table::Conversation, 90), (Table::Cursor, 40)] {
        batch.push(put(table, &(number % keys).to_be_bytes(), &value(&mut random, number)));
    }
    if number.is_multiple_of(3) && number > 9 {
        batch.push(delete(Table::Message, &message(number - 9, 0)));
    }
    batch
}

fn message(number: u32, i: u32) -> Bytes {
    [number.to_be_bytes(), i.to_be_bytes()].concat().into()
}

/// Bytes that occur nowhere else.
fn value(random: &mut Random, number: u32) -> Bytes {
    let most = if number.is_multiple_of(61) { 20_000 } else { 600 };
    random.bytes(32..most)
}

/// What a store must hold.
#[derive(Default)]
pub(super) struct Model {
    rows: BTreeMap<(Table, Bytes), (Bytes, Timestamp)>,
    /// Values that were replaced or deleted.
    pub(super) dead: Vec<Bytes>,
}

/// What reading a store came to that may be damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// How many reads failed, and said so.
    pub(super) refused: usize,
}

impl Model {
    /// After the batches up to a number.
    pub(super) fn through(number: u32) -> Self {
        let mut model = Self::default();
        (1..=number).for_each(|number| model.apply(number));
        model
    }

    fn apply(&mut self, number: u32) {
        for mutation in batch(number) {
            let replaced = match mutation {
                Mutation::Put { table, key, value, expires }
                | Mutation::Insert { table, key, value, expires } => {
                    self.rows.insert((table, key), (value, expires))
                }
                Mutation::Delete { table, key } => self.rows.remove(&(table, key)),
            };
            self.dead.extend(replaced.map(|(value, _)| value));
        }
    }

    /// Whether a store holds this, and nothing else.
    pub(super) fn is_in(&self, engine: &dyn Engine) -> Result<(), String> {
        let Reads { refused } = self.is_reported_by(engine)?;
        if refused == 0 { Ok(()) } else { Err(format!("{refused} reads failed")) }
    }

    /// Whether a store shows this, or says that it cannot: nothing is missing, nothing is wrong.
    pub(super) fn is_reported_by(&self, engine: &dyn Engine) -> Result<Reads, String> {
        let mut reads = Reads::default();
        for ((table, key), (value, _)) in &self.rows {
            match engine.get(*table, key, EARLY) {
                Ok(Some(found)) if found == value => {}
                Ok(Some(_)) => return Err(format!("{table:?} {key:?} reads otherwise than it was written")),
                Ok(None) => return Err(format!("{table:?} {key:?} is not there")),
                Err(_) => reads.refused += 1,
            }
        }
        for table in Table::ALL {
            for direction in [Direction::Forward, Direction::Backward] {
                reads.refused += usize::from(!self.is_scanned(engine, table, direction)?);
            }
        }
        Ok(reads)
    }

    /// Whether the whole table could be scanned.
    fn is_scanned(&self, engine: &dyn Engine, table: Table, direction: Direction) -> Result<bool, String> {
        let mut rows: Vec<_> = self.rows.iter().filter(|((in_table, _), _)| *in_table == table).collect();
        if direction == Direction::Backward {
            rows.reverse();
        }
        let (mut rows, mut wrong) = (rows.into_iter(), None);
        let mut visit = |row: Row<'_>| match rows.next() {
            Some(((_, key), (value, expires)))
                if *key == row.key && *value == row.value && *expires == row.expires =>
            {
                ControlFlow::Continue(())
            }
            expected => {
                let expected = expected.map(|((_, key), _)| key);
                wrong =
                    Some(format!("a scan of {table:?} shows {:?} where {expected:?} was written", row.key));
                ControlFlow::Break(())
            }
        };
        let done = engine.scan(table, KeyRange::ALL, direction, EARLY, &mut visit);
        match (wrong, done, rows.len()) {
            (Some(wrong), ..) => Err(wrong),
            (None, Ok(()), 0) => Ok(true),
            (None, Ok(()), missing) => Err(format!("a scan of {table:?} leaves out {missing} rows")),
            (None, Err(_), _) => Ok(false),
        }
    }
}

/// The values of a batch.
pub(super) fn values(number: u32) -> impl Iterator<Item = Bytes> {
    let value = |mutation| match mutation {
        Mutation::Put { value, .. } | Mutation::Insert { value, .. } => Some(value),
        Mutation::Delete { .. } => None,
    };
    batch(number).into_iter().filter_map(value)
}

/// The number of the last batch that a store has; 0: none.
pub(super) fn number(engine: &dyn Engine) -> u32 {
    let stored = engine.get(Table::Meta, NUMBER, EARLY).expect("reads");
    stored.map_or(0, |stored| u32::from_be_bytes(stored[..].try_into().expect("a number")))
}

/// Time for something to happen, at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
