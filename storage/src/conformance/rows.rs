//! What the rules do to an engine, in few words: rows to write, and what is there.
//!
//! Whatever fails here fails the rule.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::engine::{Direction, Durability, Engine, KeyRange, Mutation, Row, Table};
use crate::id::Timestamp;

/// Before everything that a check lets expire.
pub(super) const EARLY: Timestamp = Timestamp(1_000);

/// A check of one rule, on an empty engine.
pub(super) type Rule = fn(&dyn Engine);

pub(super) fn key(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn put(table: Table, key: &[u8], value: &[u8]) -> Mutation {
    put_until(table, key, value, Timestamp::NEVER)
}

pub(super) fn put_until(table: Table, key: &[u8], value: &[u8], expires: Timestamp) -> Mutation {
    Mutation::Put { table, key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value), expires }
}

pub(super) fn insert_until(table: Table, key: &[u8], value: &[u8], expires: Timestamp) -> Mutation {
    Mutation::Insert {
        table,
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        expires,
    }
}

pub(super) fn delete(table: Table, key: &[u8]) -> Mutation {
    Mutation::Delete { table, key: Bytes::copy_from_slice(key) }
}

pub(super) fn commit(engine: &dyn Engine, batch: &[Mutation]) {
    engine.commit(batch, Durability::Buffered).expect("a commit of a sound batch succeeds");
}

pub(super) fn delete_all(engine: &dyn Engine, keys: &[Bytes]) {
    let batch: Vec<Mutation> = keys.iter().map(|key| delete(Table::Message, key)).collect();
    engine.commit(&batch, Durability::Synced).expect("commits");
}

pub(super) fn read(engine: &dyn Engine, table: Table, key: &[u8]) -> Option<Bytes> {
    engine.get(table, key, EARLY).expect("a read succeeds")
}

/// The records of a range, in the order in which the scan shows them.
pub(super) fn collect(
    engine: &dyn Engine,
    table: Table,
    (from, to): (&[u8], &[u8]),
    direction: Direction,
    now: Timestamp,
) -> Vec<(Bytes, Bytes)> {
    let mut found = Vec::new();
    let mut visit = |row: Row<'_>| {
        found.push((Bytes::copy_from_slice(row.key), Bytes::copy_from_slice(row.value)));
        ControlFlow::Continue(())
    };
    engine.scan(table, KeyRange { from, to }, direction, now, &mut visit).expect("a scan succeeds");
    found
}

pub(super) fn contents(engine: &dyn Engine, table: Table, now: Timestamp) -> BTreeMap<Bytes, Bytes> {
    let KeyRange { from, to } = KeyRange::ALL;
    collect(engine, table, (from, to), Direction::Forward, now).into_iter().collect()
}
