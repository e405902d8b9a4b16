//! A memory engine with one planted defect, to show that the comparison with the model finds it.

use std::ops::ControlFlow;

use bytes::Bytes;
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Table, Visit,
};
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::Entry;
use wardline_storage::record::Record;

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
}

pub(crate) struct Mutant {
    sound: MemoryEngine,
    defect: Defect,
}

impl Mutant {
    pub(crate) fn new(defect: Defect) -> Self {
        Self { sound: MemoryEngine::default(), defect }
    }

    fn keeps(&self, mutation: &Mutation) -> bool {
        !matches!(
            (self.defect, mutation),
            (Defect::DedupeDropped, Mutation::Insert { table: Table::Dedupe, .. })
                | (Defect::ReceiptsDropped, Mutation::Insert { table: Table::Receipt, .. })
                | (Defect::MembershipsStay, Mutation::Delete { table: Table::Membership, .. })
        )
    }
}

/// An entry that says of itself that it never expires.
fn everlasting(value: &[u8]) -> Bytes {
    let entry = Entry::decode(value).expect("the machine wrote it");
    Entry { expires: Timestamp::NEVER, ..entry }.encode()
}

const LONG_AGO: Timestamp = Timestamp(0);

impl Engine for Mutant {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        match (self.defect, table) {
            (Defect::ReceiptsRegress, Table::Cursor) => Ok(None),
            (Defect::DedupeNeverExpires, Table::Dedupe) => self.sound.get(table, key, LONG_AGO),
            (Defect::PointReadIgnoresExpiry, Table::Message) => {
                Ok(self.sound.get(table, key, LONG_AGO)?.map(|value| everlasting(&value)))
            }
            (Defect::ExpiryOneEarly, Table::Message) => self.sound.get(table, key, Timestamp(now.0 + 1)),
            _ => self.sound.get(table, key, now),
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
        let ignores = match direction {
            Direction::Backward => Defect::BackwardHistoryIgnoresExpiry,
            Direction::Forward => Defect::ForwardHistoryIgnoresExpiry,
        };
        if table == Table::Message && self.defect == ignores {
            let mut visit = |row: wardline_storage::engine::Row<'_>| -> ControlFlow<()> {
                visit(wardline_storage::engine::Row { value: &everlasting(row.value), ..row })
            };
            return self.sound.scan(table, range, direction, LONG_AGO, &mut visit);
        }
        self.sound.scan(table, range, direction, now, visit)
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        // What a defect makes the machine take for new may be there.
        let put = |mutation: &Mutation| match mutation.clone() {
            Mutation::Insert { table, key, value, expires } => Mutation::Put { table, key, value, expires },
            other => other,
        };
        let mut kept: Vec<Mutation> = batch.iter().filter(|mutation| self.keeps(mutation)).map(put).collect();
        if self.defect == Defect::BatchCutShort {
            let position = |mutation: &Mutation| matches!(mutation, Mutation::Put { table: Table::Meta, .. });
            if let Some(last) = kept.iter().rposition(|mutation| !position(mutation)) {
                kept.remove(last);
            }
        }
        self.sound.commit(&kept, durability)
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.sound.reclaim(now)
    }

    fn folder(&self) -> Option<&std::path::Path> {
        None
    }

    fn health(&self, now: Timestamp) -> Health {
        self.sound.health(now)
    }

    fn name(&self) -> &'static str {
        "mutant"
    }
}
