//! Random operations against a model, from a seed that can be given.
//!
//! The model is a map with no more wit than the rules themselves. Keys are few and alike, so that
//! operations meet. A failure names the operation and the seed.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::rows::{Rule, collect, commit, delete, put_until};
use crate::engine::{Direction, Engine, Mutation, Table};
use crate::id::Timestamp;

pub(super) const RULES: &[Rule] = &[random_operations_agree_with_a_model];

const OPERATIONS: u32 = 4_000;
const TABLES: [Table; 3] = [Table::Message, Table::Receipt, Table::Member];

/// What the engine should hold: the value and its expiry.
#[derive(Default)]
struct Model {
    records: BTreeMap<(Table, Bytes), (Bytes, Timestamp)>,
}

impl Model {
    fn apply(&mut self, mutation: &Mutation) {
        match mutation.clone() {
            Mutation::Put { table, key, value, expires }
            | Mutation::Insert { table, key, value, expires } => {
                self.records.insert((table, key), (value, expires));
            }
            Mutation::Delete { table, key } => {
                self.records.remove(&(table, key));
            }
        }
    }

    fn get(&self, table: Table, key: &Bytes, now: Timestamp) -> Option<Bytes> {
        let (value, expires) = self.records.get(&(table, key.clone()))?;
        (*expires > now).then(|| value.clone())
    }

    fn range(&self, table: Table, from: &Bytes, to: &Bytes, now: Timestamp) -> Vec<(Bytes, Bytes)> {
        let live = self.records.iter().filter(|((in_table, key), (_, expires))| {
            *in_table == table && from <= key && key < to && *expires > now
        });
        live.map(|((_, key), (value, _))| (key.clone(), value.clone())).collect()
    }
}

fn random_operations_agree_with_a_model(engine: &dyn Engine) {
    let mut random = Random::new();
    let seed = random.seed();
    let mut model = Model::default();
    let mut now = Timestamp(1_000);
    for step in 0..OPERATIONS {
        // The place of a failure, and how to come back to it.
        let at = format!("operation {step}, {seed}");
        match random.below(100) {
            0..50 => {
                let batch: Vec<Mutation> = (0..=random.below(8)).map(|_| random.mutation(now)).collect();
                batch.iter().for_each(|mutation| model.apply(mutation));
                commit(engine, &batch);
            }
            50..75 => {
                let (table, key) = (random.table(), random.key());
                let found = engine.get(table, &key, now).expect("reads");
                assert_eq!(found, model.get(table, &key, now), "{at}");
            }
            75..94 => {
                let (table, from, to) = (random.table(), random.key(), random.key());
                let mut expected = model.range(table, &from, &to, now);
                assert_eq!(collect(engine, table, (&from, &to), Direction::Forward, now), expected, "{at}");
                expected.reverse();
                assert_eq!(collect(engine, table, (&from, &to), Direction::Backward, now), expected, "{at}");
            }
            94..99 => now = Timestamp(now.0 + random.below(40)),
            // Rare: an engine may have to rewrite its files.
            _ if random.below(2) == 0 => {
                engine.reclaim(now).expect("reclaims");
                model.records.retain(|_, (_, expires)| *expires > now);
            }
            _ => {}
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a few lines, so that the suite needs no further
/// crate.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// From a seed that can be given.
    pub(super) fn new() -> Self {
        let given = std::env::var("WARDLINE_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(given.unwrap_or(0x5eed_0001))
    }

    /// Before anything was drawn: how to come back to it.
    pub(super) fn seed(&self) -> String {
        format!("WARDLINE_SEED={}", self.0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly enough for small bounds.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// The same, for places in memory.
    pub(super) fn below_usize(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("below a bound of that type")
    }

    /// So many bytes that occur nowhere else.
    pub(super) fn bytes(&mut self, lengths: Range<usize>) -> Bytes {
        let length = lengths.start + self.below_usize(lengths.end - lengths.start);
        let words = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(length).collect()
    }

    fn table(&mut self) -> Table {
        let tables = TABLES.len() as u64;
        TABLES[usize::try_from(self.below(tables)).expect("below a small bound")]
    }

    /// One of a few hundred keys of one to three bytes, among them neighbours and prefixes.
    fn key(&mut self) -> Bytes {
        const LETTERS: [u8; 6] = [0, 1, b'a', b'b', 0xfe, 0xff];
        (0..=self.below(3))
            .map(|_| LETTERS[usize::try_from(self.below(6)).expect("below a small bound")])
            .collect()
    }

    fn mutation(&mut self, now: Timestamp) -> Mutation {
        let (table, key) = (self.table(), self.key());
        if self.below(4) == 0 {
            return delete(table, &key);
        }
        let value = self.next().to_le_bytes()[..usize::try_from(self.below(9)).expect("below 9")].to_vec();
        let expires = if table.expires() && self.below(3) > 0 {
            Timestamp(now.0 + self.below(100))
        } else {
            Timestamp::NEVER
        };
        put_until(table, &key, &value, expires)
    }
}
