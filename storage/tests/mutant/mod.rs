//! An engine with one planted defect, to show that the comparison with the model finds it.

use std::ops::ControlFlow;

use bytes::Bytes;
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, KeyRange, Mutation, Row, Table, Visit,
};
use wardline_storage::hooked::Hooks;
use wardline_storage::id::Timestamp;
use wardline_storage::model::Entry;
use wardline_storage::record::Record;

/// What is wrong with an engine around which it is put as hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A message published twice is there twice.
    DedupeDropped,
    /// A client message id is remembered for ever.
    DedupeNeverExpires,
    /// Watermarks are forgotten, so they may go back.
    ReceiptsRegress,
    /// Nobody can tell who received or read.
    ReceiptsDropped,
    /// History read backwards shows what has expired.
    BackwardHistoryIgnoresExpiry,
    /// Forward reads (delivery, counts) show what has expired.
    ForwardHistoryIgnoresExpiry,
    /// Replying to, deleting, and asking about a message ignore that it has expired.
    PointReadIgnoresExpiry,
    /// A conversation that somebody left still stands in their list.
    MembershipsStay,
    /// The last change of a batch is lost.
    BatchCutShort,
    /// Messages go one millisecond early.
    ExpiryOneEarly,
}

impl Defect {
    pub(crate) const ALL: [Self; 10] = [
        Self::DedupeDropped,
        Self::DedupeNeverExpires,
        Self::ReceiptsRegress,
        Self::ReceiptsDropped,
        Self::BackwardHistoryIgnoresExpiry,
        Self::ForwardHistoryIgnoresExpiry,
        Self::PointReadIgnoresExpiry,
        Self::MembershipsStay,
        Self::BatchCutShort,
        Self::ExpiryOneEarly,
    ];

    fn keeps(self, mutation: &Mutation) -> bool {
        !matches!(
            (self, mutation),
            (Self::DedupeDropped, Mutation::Insert { table: Table::Dedupe, .. })
                | (Self::ReceiptsDropped, Mutation::Insert { table: Table::Receipt, .. })
                | (Self::MembershipsStay, Mutation::Delete { table: Table::Membership, .. })
        )
    }
}

/// An entry that says of itself that it never expires.
fn everlasting(value: &[u8]) -> Bytes {
    let entry = Entry::decode(value).expect("the machine wrote it");
    Entry { expires: Timestamp::NEVER, ..entry }.encode()
}

const LONG_AGO: Timestamp = Timestamp(0);

impl Hooks for Defect {
    fn get(
        &self,
        below: &dyn Engine,
        table: Table,
        key: &[u8],
        now: Timestamp,
    ) -> Result<Option<Bytes>, EngineError> {
        match (self, table) {
            (Self::ReceiptsRegress, Table::Cursor) => Ok(None),
            (Self::DedupeNeverExpires, Table::Dedupe) => below.get(table, key, LONG_AGO),
            (Self::PointReadIgnoresExpiry, Table::Message) => {
                Ok(below.get(table, key, LONG_AGO)?.map(|value| everlasting(&value)))
            }
            (Self::ExpiryOneEarly, Table::Message) => below.get(table, key, Timestamp(now.0 + 1)),
            _ => below.get(table, key, now),
        }
    }

    fn scan(
        &self,
        below: &dyn Engine,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        let ignores = match direction {
            Direction::Backward => Self::BackwardHistoryIgnoresExpiry,
            Direction::Forward => Self::ForwardHistoryIgnoresExpiry,
        };
        if table == Table::Message && *self == ignores {
            let mut visit =
                |row: Row<'_>| -> ControlFlow<()> { visit(Row { value: &everlasting(row.value), ..row }) };
            return below.scan(table, range, direction, LONG_AGO, &mut visit);
        }
        below.scan(table, range, direction, now, visit)
    }

    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        // What a defect makes the machine take for new may be there.
        let put = |mutation: &Mutation| match mutation.clone() {
            Mutation::Insert { table, key, value, expires } => Mutation::Put { table, key, value, expires },
            other => other,
        };
        let mut kept: Vec<Mutation> = batch.iter().filter(|mutation| self.keeps(mutation)).map(put).collect();
        if *self == Self::BatchCutShort {
            let position = |mutation: &Mutation| matches!(mutation, Mutation::Put { table: Table::Meta, .. });
            if let Some(last) = kept.iter().rposition(|mutation| !position(mutation)) {
                kept.remove(last);
            }
        }
        below.commit(&kept, durability)
    }
}
