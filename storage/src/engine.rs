//! The engine seam: where state lies.
//!
//! An engine keeps ordered keys and values in a fixed set of tables, changes them in atomic
//! batches, and forgets records whose time has come. To write one, implement [`Engine`] and
//! [`Opener`](crate::open::Opener), then run all of `conformance` on it (feature `conformance`):
//! what passes there works in the broker.
//!
//! The rules that matter:
//! - A record whose `expires` is at or before the reader's `now` is never returned, whether its
//!   bytes have been reclaimed or not.
//! - A batch is applied whole or not at all, also across a crash. After [`Engine::commit`] with
//!   [`Durability::Synced`] returned, the batch survives the loss of power.
//! - After an error from `commit` the engine's state is unknown: the caller stops writing.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::id::Timestamp;

/// The tables. Their numbers and names are part of the format: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Conversation → its record.
    Conversation,
    /// Conversation, user → membership.
    Member,
    /// User, conversation → nothing: the index the other way, of active members.
    Membership,
    /// Conversation, sequence → entry. Expires.
    Message,
    /// Conversation, user → watermarks.
    Cursor,
    /// Conversation, user, kind, sequence → when. Expires.
    Receipt,
    /// Conversation, sender, client message id → acknowledgement. Expires.
    Dedupe,
    /// User, device → state.
    Device,
    /// Name → format version, applied positions, work in progress.
    Meta,
    /// Conversation, sequence → when: the index of urgent messages. Expires with its message.
    Urgent,
    /// Patient → their record.
    Patient,
    /// Identifier → the patient that has it.
    Identifier,
    /// Encounter → its record.
    Encounter,
    /// Patient, ward or bed, encounter → nothing: which encounters belong there.
    Stay,
    /// Ward → its record.
    Ward,
    /// Source event → what it was about: what is known already. Expires.
    Heard,
    /// Ward or encounter → its roster or care team.
    Staff,
}

impl Table {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Conversation,
        Self::Member,
        Self::Membership,
        Self::Message,
        Self::Cursor,
        Self::Receipt,
        Self::Dedupe,
        Self::Device,
        Self::Meta,
        Self::Urgent,
        Self::Patient,
        Self::Identifier,
        Self::Encounter,
        Self::Stay,
        Self::Ward,
        Self::Heard,
        Self::Staff,
    ];

    /// Stable name, for engines that name their tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Member => "member",
            Self::Membership => "membership",
            Self::Message => "message",
            Self::Cursor => "cursor",
            Self::Receipt => "receipt",
            Self::Dedupe => "dedupe",
            Self::Device => "device",
            Self::Meta => "meta",
            Self::Urgent => "urgent",
            Self::Patient => "patient",
            Self::Identifier => "identifier",
            Self::Encounter => "encounter",
            Self::Stay => "stay",
            Self::Ward => "ward",
            Self::Heard => "heard",
            Self::Staff => "staff",
        }
    }

    /// Whether records of it may carry an expiry.
    pub const fn expires(self) -> bool {
        matches!(self, Self::Message | Self::Receipt | Self::Dedupe | Self::Urgent | Self::Heard)
    }
}

/// One change. Shows the length of a value in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Writes a record, replacing the one with this key.
    Put {
        /// Where.
        table: Table,
        /// Key, 1 to [`KEY_BYTES_MAX`] bytes.
        key: Bytes,
        /// Value.
        value: Bytes,
        /// From when on it is gone; [`Timestamp::NEVER`] unless the table expires.
        expires: Timestamp,
    },
    /// Writes a record where there is none: nothing unexpired has this key. Reads as a `Put` does;
    /// an engine may rest on it to know, without looking, that no bytes were replaced.
    Insert {
        /// Where.
        table: Table,
        /// Key, 1 to [`KEY_BYTES_MAX`] bytes.
        key: Bytes,
        /// Value.
        value: Bytes,
        /// From when on it is gone; [`Timestamp::NEVER`] unless the table expires.
        expires: Timestamp,
    },
    /// Removes a record, if it is there.
    Delete {
        /// Where.
        table: Table,
        /// Key.
        key: Bytes,
    },
}

impl Mutation {
    /// Where.
    pub fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Insert { table, .. } | Self::Delete { table, .. } => *table,
        }
    }

    /// Under which key.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Insert { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

impl fmt::Debug for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if matches!(self, Self::Insert { .. }) { "Insert" } else { "Put" };
        match self {
            Self::Put { table, key, value, expires } | Self::Insert { table, key, value, expires } => f
                .debug_struct(name)
                .field("table", table)
                .field("key", key)
                .field("value_bytes", &value.len())
                .field("expires", expires)
                .finish(),
            Self::Delete { table, key } => {
                f.debug_struct("Delete").field("table", table).field("key", key).finish()
            }
        }
    }
}

/// When a commit may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on stable storage.
    Synced,
    /// Once later reads see it. The end of the process, or a loss of power, may undo it: batch by
    /// batch, and only from the end. A synced commit makes those before it durable too.
    Buffered,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// What a scan covers: `from` is included, `to` is not, in either direction of reading.
#[derive(Clone, Copy, Debug)]
pub struct KeyRange<'a> {
    /// Lowest key.
    pub from: &'a [u8],
    /// First key beyond; it bounds the engine's iterators, so it is not optional.
    pub to: &'a [u8],
}

/// Longest key.
pub const KEY_BYTES_MAX: usize = 128;

impl KeyRange<'static> {
    /// Every key.
    pub const ALL: Self = Self { from: &[], to: &[0xff; KEY_BYTES_MAX + 1] };
}

/// A record as a scan shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Key.
    pub key: &'a [u8],
    /// Value.
    pub value: &'a [u8],
    /// From when on it is gone; [`Timestamp::NEVER`]: it stays.
    pub expires: Timestamp,
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("key", &self.key)
            .field("value_bytes", &self.value.len())
            .field("expires", &self.expires)
            .finish()
    }
}

/// Called with each record of a scan; stops it by `Break`.
pub type Visit<'a> = &'a mut dyn FnMut(Row<'_>) -> ControlFlow<()>;

/// An operation of an engine failed. The operator must act; no variant holds keys or values.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Reading or writing failed.
    #[error("storage failed while {doing}: {detail}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The engine's words.
        detail: String,
    },
    /// What was read is not what was written.
    #[error("stored data is damaged ({doing}): {detail}")]
    Corrupt {
        /// What was being done.
        doing: &'static str,
        /// The engine's words.
        detail: String,
    },
    /// A record that a later version of the broker wrote.
    #[error("{record} has version {found}, this build reads up to {reads}: start the build that wrote it")]
    Version {
        /// What kind of record.
        record: &'static str,
        /// Its version.
        found: u8,
        /// The highest that is known here.
        reads: u8,
    },
    /// This engine cannot do it at all.
    #[error("the {engine} engine cannot do this: {doing}")]
    Unsupported {
        /// Which engine.
        engine: &'static str,
        /// What was asked for.
        doing: &'static str,
    },
}

/// What a run of [`Engine::reclaim`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Expired records dropped.
    pub records: u64,
    /// Their bytes, keys and values.
    pub bytes: u64,
}

/// What an engine tells of itself. Cheap to ask, once a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// For how long the oldest expired, replaced or deleted bytes have been waiting to be
    /// reclaimed.
    pub oldest_unreclaimed: Duration,
    /// Figures of the engine's own, for metrics: always the same ones.
    pub figures: Vec<Figure>,
}

/// A figure of an engine's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// As a metric is named, without the prefix: `<thing>_<unit>`, with `_total` if it only grows.
    /// Stable.
    pub name: &'static str,
    /// What it tells, in a sentence.
    pub meaning: &'static str,
    /// What tells figures of one name apart: a label and its value, from a closed set.
    pub label: Option<(&'static str, &'static str)>,
    /// How it stands.
    pub value: Value,
}

/// How a figure stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// It goes up and down.
    Gauge(f64),
    /// It only grows, from zero when the engine was opened.
    Counter(u64),
}

/// Where state lies. See the module's documentation for the rules.
pub trait Engine: Send + Sync + 'static {
    /// Reads one record, unless it expired.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError>;

    /// Visits the records of a range in order, leaving out the expired ones. Sees one consistent
    /// state. The visitor may read the engine, but must not commit to it.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read; some records may have been visited by
    /// then.
    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError>;

    /// Applies a batch atomically, in its order: of several changes to one key the last holds. One
    /// writer at a time.
    ///
    /// # Errors
    /// [`EngineError`] if it could not be written; stop writing then, and never try again.
    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError>;

    /// Frees the bytes of what is expired at `now`, replaced or deleted: when it returns, no file
    /// of the engine holds them, nor a buffer that a file is written from. May take long; runs
    /// beside reads and commits.
    ///
    /// # Errors
    /// [`EngineError`] if it could not be finished; it may be tried again.
    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError>;

    /// Makes a copy of the whole store in the folder `into`, which must not be there yet, unlike
    /// its parent. What was committed before the call is in it; of what is committed meanwhile,
    /// each batch is whole or missing. The copy opens like the store itself. It may share files
    /// with the store, so it keeps bytes alive that [`Engine::reclaim`] would free: remove it soon.
    /// Engines that keep no files need not have it.
    ///
    /// # Errors
    /// [`EngineError`] if it could not be made; what is in `into` then is of no use.
    fn checkpoint(&self, into: &Path) -> Result<(), EngineError> {
        let _ = into;
        Err(EngineError::Unsupported { engine: self.name(), doing: "copying the store into a folder" })
    }

    /// Room on the disk that the next commits may take beside their own bytes: what they set off,
    /// such as a full buffer that becomes a file. Cheap to ask; asked where the disk is nearly
    /// full.
    fn room_wanted(&self) -> u64 {
        0
    }

    /// The disk is nearly full, or is so no more. As long as it is, nothing is rewritten that can
    /// wait, and little is left that a restart would have to write: to be called again now and
    /// then. May take long; runs beside reads and commits.
    ///
    /// # Errors
    /// [`EngineError`] if it could not be done; it may be tried again.
    fn spare_disk(&self, sparing: bool) -> Result<(), EngineError> {
        let _ = sparing;
        Ok(())
    }

    /// Room on the disk that the next [`Engine::spare_disk`] takes; 0: there is nothing to do.
    fn room_to_spare(&self) -> u64 {
        0
    }

    /// The folder that its files lie in; `None`: it keeps none, and what it holds goes with the
    /// process.
    fn folder(&self) -> Option<&Path>;

    /// Tells how it is.
    fn health(&self, now: Timestamp) -> Health;

    /// A short name, for logs and metrics.
    fn name(&self) -> &'static str;
}
