//! State as it will be once the group at hand is committed: an engine, and the group's changes over it.
//!
//! Commands of a group see one another through it, and of several changes to one key only the last reaches the
//! batch. It decides nothing. A change hides what the state below has under its key, even if the change is a
//! deletion or has expired by the reader's time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use crate::engine::{Direction, EngineError, KeyRange, Mutation, Table, Visit};
use crate::id::Timestamp;
use crate::machine::State;

/// Changes over a state. The state below may be an engine, or a cache over one.
pub struct Overlay<'a, S: ?Sized> {
    below: &'a S,
    changes: [BTreeMap<Bytes, Change>; Table::ALL.len()],
}

/// What is new under a key; no value: deleted.
struct Change {
    value: Option<Bytes>,
    expires: Timestamp,
    /// The state below has nothing under the key.
    inserts: bool,
}

impl Change {
    fn visible(&self, now: Timestamp) -> Option<&Bytes> {
        self.value.as_ref().filter(|_| now < self.expires)
    }
}

impl<'a, S: State + ?Sized> Overlay<'a, S> {
    /// Starts without changes.
    pub fn new(below: &'a S) -> Self {
        Self { below, changes: Default::default() }
    }

    /// Takes changes in, over those that are there.
    pub fn absorb(&mut self, mutations: Vec<Mutation>) {
        for mutation in mutations {
            let (table, key, change) = match mutation {
                Mutation::Put { table, key, value, expires } => {
                    (table, key, Change { value: Some(value), expires, inserts: false })
                }
                Mutation::Insert { table, key, value, expires } => {
                    (table, key, Change { value: Some(value), expires, inserts: true })
                }
                Mutation::Delete { table, key } => {
                    (table, key, Change { value: None, expires: Timestamp::NEVER, inserts: false })
                }
            };
            match self.changes[table as usize].entry(key) {
                Entry::Vacant(place) => drop(place.insert(change)),
                // What the state below has was settled by the first change.
                Entry::Occupied(mut place) => {
                    let inserts = place.get().inserts;
                    place.insert(Change { inserts, ..change });
                }
            }
        }
    }

    /// All changes as one batch, at most one per key, in the order of tables and keys.
    pub fn into_batch(self) -> Vec<Mutation> {
        let mut batch = Vec::with_capacity(self.changes.iter().map(BTreeMap::len).sum());
        for (table, changes) in Table::ALL.into_iter().zip(self.changes) {
            batch.extend(changes.into_iter().filter_map(|(key, change)| match change {
                Change { value: Some(value), expires, inserts: false } => {
                    Some(Mutation::Put { table, key, value, expires })
                }
                Change { value: Some(value), expires, inserts: true } => {
                    Some(Mutation::Insert { table, key, value, expires })
                }
                Change { value: None, inserts: false, .. } => Some(Mutation::Delete { table, key }),
                Change { value: None, inserts: true, .. } => None,
            }));
        }
        batch
    }
}

impl<S: State + ?Sized> State for Overlay<'_, S> {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        match self.changes[table as usize].get(key) {
            Some(change) => Ok(change.visible(now).cloned()),
            None => self.below.get(table, key, now),
        }
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let changes = &self.changes[table as usize];
        if changes.is_empty() {
            return self.below.scan(table, range, direction, now, visit);
        }
        if range.from >= range.to {
            return Ok(());
        }
        let within = changes.range::<[u8], _>((Bound::Included(range.from), Bound::Excluded(range.to)));
        match direction {
            Direction::Forward => {
                let mut merge = Merge { changes: within.peekable(), direction, now, visit, stopped: false };
                self.below.scan(table, range, direction, now, &mut |key, value| merge.below(key, value))?;
                merge.finish();
            }
            Direction::Backward => {
                let changes = within.rev().peekable();
                let mut merge = Merge { changes, direction, now, visit, stopped: false };
                self.below.scan(table, range, direction, now, &mut |key, value| merge.below(key, value))?;
                merge.finish();
            }
        }
        Ok(())
    }
}

/// Merges the changes of a range into the visit of the records below, in order.
struct Merge<'v, 'c, I: Iterator<Item = (&'c Bytes, &'c Change)>> {
    changes: Peekable<I>,
    direction: Direction,
    now: Timestamp,
    visit: Visit<'v>,
    stopped: bool,
}

impl<'c, I: Iterator<Item = (&'c Bytes, &'c Change)>> Merge<'_, 'c, I> {
    /// Takes the next record from below: first come the changes that stand before it, and one of its key hides it.
    fn below(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        let mut hidden = false;
        while let Some((changed, change)) = self.changes.next_if(|(changed, _)| match self.direction {
            Direction::Forward => changed.as_ref() <= key,
            Direction::Backward => changed.as_ref() >= key,
        }) {
            hidden = changed.as_ref() == key;
            self.change(changed, change)?;
        }
        if hidden { ControlFlow::Continue(()) } else { self.tell(key, value) }
    }

    /// Visits what stands beyond the last record from below.
    fn finish(&mut self) {
        while !self.stopped
            && let Some((key, change)) = self.changes.next()
        {
            // `stopped` remembers a break.
            let _ = self.change(key, change);
        }
    }

    fn change(&mut self, key: &[u8], change: &Change) -> ControlFlow<()> {
        match change.visible(self.now) {
            Some(value) => self.tell(key, value),
            None => ControlFlow::Continue(()),
        }
    }

    fn tell(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        let flow = (self.visit)(key, value);
        self.stopped = flow.is_break();
        flow
    }
}
