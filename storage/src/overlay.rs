//! State as it will be once the group at hand is committed: a state, and the group's changes over
//! it.
//!
//! Commands of a group see one another through it. It decides nothing. A change hides what the
//! state below has under its key, even if the change is a deletion or has expired by the reader's
//! time. Records that are kept decoded reach the batch once, with their last value. The others
//! reach it in the order of their changes, and are indexed only if somebody looks: publishing does
//! not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Direction, EngineError, KeyRange, Mutation, Row, Table, Visit};
use crate::hot::Hot;
use crate::id::{ConversationId, Timestamp, UserId};
use crate::machine::Change;
use crate::model::{Conversation, Cursor, Member, Policy};
use crate::retention::Retentions;
use crate::state::State;

/// Changes over a state. The state below may be an engine, or a cache over one.
pub struct Overlay<'a, S: ?Sized> {
    below: &'a S,
    hot: Hot,
    tables: [Changes; Table::ALL.len()],
}

/// The changes of one table.
#[derive(Default)]
struct Changes {
    /// In order.
    mutations: Vec<Mutation>,
    index: RefCell<Index>,
}

/// Where the last change of each key stands.
#[derive(Default)]
struct Index {
    places: BTreeMap<Bytes, usize>,
    /// How many changes are in it.
    through: usize,
}

impl<'a, S: State + ?Sized> Overlay<'a, S> {
    /// Starts without changes.
    pub fn new(below: &'a S) -> Self {
        Self { below, hot: Hot::default(), tables: Default::default() }
    }

    /// Takes changes in, over those that are there.
    pub fn absorb(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change {
                Change::Conversation(id, conversation) => {
                    self.hot.conversations.insert(id, conversation);
                }
                Change::Member(id, user, member) => {
                    self.hot.members.insert((id, user), member);
                }
                Change::Cursor(id, user, cursor) => {
                    self.hot.cursors.insert((id, user), cursor);
                }
                Change::Policy(policy) => self.hot.policy = Some(policy),
                Change::Retentions(retentions) => self.hot.retentions = Some(retentions),
                Change::Record(mutation) => {
                    if let Mutation::Insert { table: Table::Dedupe, key, .. } = &mutation {
                        self.hot.ceilings.raise(key);
                    }
                    self.tables[mutation.table() as usize].mutations.push(mutation);
                }
            }
        }
    }

    /// All changes: as one batch for the engine, and what of them is worth keeping decoded.
    pub(crate) fn finish(self) -> (Vec<Mutation>, Hot) {
        let mut batch = Vec::with_capacity(self.tables.iter().map(|table| table.mutations.len()).sum());
        for mut table in self.tables {
            batch.append(&mut table.mutations);
        }
        batch.extend(self.hot.mutations());
        (batch, self.hot)
    }

    /// All changes as one batch.
    pub fn into_batch(self) -> Vec<Mutation> {
        self.finish().0
    }

    /// The last change of a key; the outer `None`: it has not changed. No value: it is deleted, or
    /// expired by `now`.
    fn changed(&self, table: Table, key: &[u8], now: Timestamp) -> Option<Option<Bytes>> {
        match self.hot.encoded(table, key) {
            Some(value) => Some(Some(value)),
            None => {
                let last = self.tables[table as usize].last(key);
                last.map(|mutation| visible(mutation, now).map(|(value, _)| value))
            }
        }
    }

    /// The changes of a range, in ascending order.
    fn changes(&self, table: Table, range: KeyRange<'_>, now: Timestamp) -> Vec<(Bytes, Option<Kept>)> {
        let mut changes = self.tables[table as usize].within(range, now);
        let decoded =
            self.hot.mutations_of(table).map(|mutation| (mutation.key().clone(), visible(&mutation, now)));
        changes.extend(decoded.filter(|(key, _)| range.from <= &key[..] && &key[..] < range.to));
        changes.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        changes
    }
}

impl Changes {
    /// The last change of a key.
    fn last(&self, key: &[u8]) -> Option<&Mutation> {
        self.bring_up_to_date();
        let index = self.index.borrow();
        index.places.get(key).map(|place| &self.mutations[*place])
    }

    /// The last change of each key in a range, in ascending order.
    fn within(&self, range: KeyRange<'_>, now: Timestamp) -> Vec<(Bytes, Option<Kept>)> {
        self.bring_up_to_date();
        let index = self.index.borrow();
        let within = index.places.range::<[u8], _>((Bound::Included(range.from), Bound::Excluded(range.to)));
        within.map(|(key, place)| (key.clone(), visible(&self.mutations[*place], now))).collect()
    }

    fn bring_up_to_date(&self) {
        let mut index = self.index.borrow_mut();
        for (place, mutation) in self.mutations.iter().enumerate().skip(index.through) {
            index.places.insert(mutation.key().clone(), place);
        }
        index.through = self.mutations.len();
    }
}

impl<S: State + ?Sized> State for Overlay<'_, S> {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        // A client message id above all of this group is not among its changes: nothing to look
        // through.
        let beyond = table == Table::Dedupe && self.hot.ceilings.is_above(key);
        match if beyond { None } else { self.changed(table, key, now) } {
            Some(value) => Ok(value),
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
        if range.from >= range.to {
            return Ok(());
        }
        let mut changes = self.changes(table, range, now);
        if direction == Direction::Backward {
            changes.reverse();
        }
        let mut merge = Merge { changes: changes.into_iter().peekable(), direction, visit, stopped: false };
        self.below.scan(table, range, direction, now, &mut |row| merge.below(row))?;
        merge.finish();
        Ok(())
    }

    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, EngineError> {
        match self.hot.conversations.get(&id) {
            Some(conversation) => Ok(Some(conversation.clone())),
            None => self.below.conversation(id),
        }
    }

    fn member(&self, id: ConversationId, user: UserId) -> Result<Option<Member>, EngineError> {
        match self.hot.members.get(&(id, user)) {
            Some(member) => Ok(Some(member.clone())),
            None => self.below.member(id, user),
        }
    }

    fn cursor(&self, id: ConversationId, user: UserId) -> Result<Option<Cursor>, EngineError> {
        match self.hot.cursors.get(&(id, user)) {
            Some(cursor) => Ok(Some(cursor.clone())),
            None => self.below.cursor(id, user),
        }
    }

    fn policy(&self) -> Result<Option<Policy>, EngineError> {
        match self.hot.policy {
            Some(policy) => Ok(Some(policy)),
            None => self.below.policy(),
        }
    }

    fn retentions(&self) -> Result<Option<Arc<Retentions>>, EngineError> {
        match &self.hot.retentions {
            Some(retentions) => Ok(Some(Arc::clone(retentions))),
            None => self.below.retentions(),
        }
    }
}

/// A value that is there, and until when.
type Kept = (Bytes, Timestamp);

fn visible(mutation: &Mutation, now: Timestamp) -> Option<Kept> {
    match mutation {
        Mutation::Put { value, expires, .. } | Mutation::Insert { value, expires, .. } => {
            (now < *expires).then(|| (value.clone(), *expires))
        }
        Mutation::Delete { .. } => None,
    }
}

/// Merges the changes of a range into the visit of the records below, in order.
struct Merge<'v, I: Iterator<Item = (Bytes, Option<Kept>)>> {
    changes: Peekable<I>,
    direction: Direction,
    visit: Visit<'v>,
    stopped: bool,
}

impl<I: Iterator<Item = (Bytes, Option<Kept>)>> Merge<'_, I> {
    /// Takes the next record from below: first come the changes that stand before it, and one of
    /// its key hides it.
    fn below(&mut self, row: Row<'_>) -> ControlFlow<()> {
        let mut hidden = false;
        while let Some((changed, value)) = self.changes.next_if(|(changed, _)| match self.direction {
            Direction::Forward => changed.as_ref() <= row.key,
            Direction::Backward => changed.as_ref() >= row.key,
        }) {
            hidden = changed.as_ref() == row.key;
            self.change(&changed, value)?;
        }
        if hidden { ControlFlow::Continue(()) } else { self.tell(row) }
    }

    /// Visits what stands beyond the last record from below.
    fn finish(&mut self) {
        while !self.stopped
            && let Some((key, value)) = self.changes.next()
        {
            // `stopped` remembers a break.
            let _ = self.change(&key, value);
        }
    }

    fn change(&mut self, key: &[u8], kept: Option<Kept>) -> ControlFlow<()> {
        match kept {
            Some((value, expires)) => self.tell(Row { key, value: &value, expires }),
            None => ControlFlow::Continue(()),
        }
    }

    fn tell(&mut self, row: Row<'_>) -> ControlFlow<()> {
        let flow = (self.visit)(row);
        self.stopped = flow.is_break();
        flow
    }
}
