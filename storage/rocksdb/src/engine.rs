//! The engine: one column family per table, one writer.
//!
//! After a failed commit it takes no more: what a failed sync left on the disk is unknown, and
//! trying again would only hide that. Reads leave expired records out by the reader's `now`,
//! whether compaction has dropped them or not.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{Cache, ColumnFamily, ColumnFamilyDescriptor, DB, ErrorKind, WriteBatch, properties};
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, Health, KeyRange, Mutation, Reclaimed, Row, Table, Visit,
};
use wardline_storage::fail_point::{self, Point};
use wardline_storage::garbage::Heap;
use wardline_storage::id::Timestamp;
use wardline_storage::open::{OpenError, Opener};
use wardline_storage::value;

use crate::expiry_filter::{Expiry, Factory};
use crate::open;
use crate::options::{self, Options};
use crate::synced::Synced;
use crate::wal_time::WalTime;

const NAME: &str = "rocksdb";

/// State in a folder, through RocksDB.
pub struct RocksEngine {
    pub(crate) db: DB,
    pub(crate) path: PathBuf,
    pub(crate) expiry: Arc<Expiry>,
    pub(crate) garbage: Arc<Heap>,
    pub(crate) writer: Mutex<Writer>,
    /// Held by the one reclaim that runs.
    pub(crate) reclaiming: Mutex<()>,
    pub(crate) chosen: Options,
    /// Whether compactions are off.
    pub(crate) is_sparing: AtomicBool,
    /// Shares the counters that the database keeps.
    pub(crate) statistics: rocksdb::Options,
    pub(crate) wal_time: WalTime,
    pub(crate) cache: Cache,
}

/// What the one writer owns.
pub(crate) struct Writer {
    pub(crate) failed: bool,
    /// A stored value is put together here.
    buffer: Vec<u8>,
    /// How far everything is durable.
    pub(crate) synced: Synced,
}

impl RocksEngine {
    /// Opens a folder, making it if it is missing (its parent must exist). Reads the write-ahead
    /// log, so it may take some seconds. The format is checked apart, by
    /// [`wardline_storage::format::check`].
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, newer, out of reach or damaged.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let cache = options::cache(&options);
        let expiry = Arc::new(Expiry::default());
        let garbage = Arc::new(Heap::default());
        let tuned = |table: Table| {
            let mut tuned = options::table(table, &options, &cache);
            if table.expires() {
                let (expiry, garbage) = (Arc::clone(&expiry), Arc::clone(&garbage));
                tuned.set_compaction_filter_factory(Factory { table, expiry, garbage });
            }
            ColumnFamilyDescriptor::new(table.name(), tuned)
        };
        let database = options::database(&options);
        let statistics = database.clone();
        let unused = || ColumnFamilyDescriptor::new(options::UNUSED_TABLE, options::unused(&options));
        let tables = || Table::ALL.into_iter().map(tuned).chain([unused()]).collect();
        let (db, synced) = open::open(path, database, tables)?;
        let engine = Self {
            db,
            path: path.to_owned(),
            expiry,
            garbage,
            writer: Mutex::new(Writer { failed: false, buffer: Vec::new(), synced }),
            reclaiming: Mutex::default(),
            chosen: options,
            is_sparing: AtomicBool::new(options.is_sparing),
            statistics,
            wal_time: WalTime::default(),
            cache,
        };
        for table in Table::ALL {
            if engine.stores_anything(table) {
                engine.garbage.of(table).note_unknown();
            }
        }
        Ok(engine)
    }

    pub(crate) fn family(&self, table: Table) -> &ColumnFamily {
        self.db.cf_handle(table.name()).expect("every table's column family was opened with the database")
    }

    /// A figure of one table; 0 if RocksDB does not know it.
    pub(crate) fn property(&self, table: Table, name: &properties::PropName) -> u64 {
        self.db.property_int_value_cf(self.family(table), name).ok().flatten().unwrap_or(0)
    }

    fn stores_anything(&self, table: Table) -> bool {
        [
            properties::TOTAL_SST_FILES_SIZE,
            properties::NUM_ENTRIES_ACTIVE_MEM_TABLE,
            properties::NUM_ENTRIES_IMM_MEM_TABLES,
        ]
        .into_iter()
        .any(|figure| self.property(table, figure) > 0)
    }
}

impl Engine for RocksEngine {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        const DOING: &str = "reading a record";
        self.garbage.hear(now);
        let stored = self.db.get_pinned_cf(self.family(table), key).map_err(|error| failure(DOING, error))?;
        let Some(stored) = stored else { return Ok(None) };
        let (expires, value) = value::split(&stored).ok_or_else(|| too_short(DOING))?;
        Ok((expires > now).then(|| Bytes::copy_from_slice(value)))
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        const DOING: &str = "scanning";
        if range.from >= range.to {
            return Ok(());
        }
        self.garbage.hear(now);
        let bounds = options::scan(range.from, range.to);
        let mut records = self.db.raw_iterator_cf_opt(self.family(table), bounds);
        match direction {
            Direction::Forward => records.seek_to_first(),
            Direction::Backward => records.seek_to_last(),
        }
        while let Some((key, stored)) = records.item() {
            let (expires, value) = value::split(stored).ok_or_else(|| too_short(DOING))?;
            if expires > now
                && let ControlFlow::Break(()) = visit(Row { key, value, expires })
            {
                return Ok(());
            }
            match direction {
                Direction::Forward => records.next(),
                Direction::Backward => records.prev(),
            }
        }
        records.status().map_err(|error| failure(DOING, error))
    }

    fn commit(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        const DOING: &str = "committing";
        let writer = &mut *self.writer.lock();
        if writer.failed {
            return Err(EngineError::Io { doing: DOING, detail: "an earlier commit failed".to_owned() });
        }
        // Until it has succeeded, it has failed: an early return must not leave the door open.
        writer.failed = true;
        let families = Table::ALL.map(|table| self.family(table));
        let mut writes = WriteBatch::with_capacity_bytes(batch.iter().map(weight).sum());
        for mutation in batch {
            match mutation {
                Mutation::Put { table, key, value, expires }
                | Mutation::Insert { table, key, value, expires } => {
                    let garbage = self.garbage.of(*table);
                    garbage.note_expiry(*expires);
                    if matches!(mutation, Mutation::Put { .. }) {
                        garbage.note_dead(self.garbage.latest());
                    }
                    value::join(*expires, value, &mut writer.buffer);
                    writes.put_cf(families[*table as usize], key, &writer.buffer);
                }
                Mutation::Delete { table, key } => {
                    self.garbage.of(*table).note_dead(self.garbage.latest());
                    writes.delete_cf(families[*table as usize], key);
                }
            }
        }
        if fail_point::is_drawn(Point::Written) {
            // Whether it succeeds or not: its sync does not come any more.
            let _ = self.db.write_opt(writes, &options::write(Durability::Buffered));
            fail_point::crash();
        }
        let options = options::write(durability);
        self.wal_time.of(|| self.db.write_opt(writes, &options)).map_err(|error| failure(DOING, error))?;
        writer.failed = false;
        if durability == Durability::Synced {
            writer.synced.note(self.db.latest_sequence_number());
        }
        Ok(())
    }

    fn reclaim(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        self.reclaim_tables(now)
    }

    fn checkpoint(&self, into: &Path) -> Result<(), EngineError> {
        const DOING: &str = "making a checkpoint";
        if self.writer.lock().failed {
            return Err(EngineError::Io { doing: DOING, detail: "an earlier commit failed".to_owned() });
        }
        self.ensure_room_to_flush(DOING)?;
        // Flushes all tables first, so that nearly everything lies in table files, which never
        // change and are shared by hard links; the log written meanwhile is copied.
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(into))
            .map_err(|error| failure(DOING, error))
    }

    fn room_wanted(&self) -> u64 {
        self.room_for_a_flush_at_hand()
    }

    fn spare_disk(&self, sparing: bool) -> Result<(), EngineError> {
        self.spare(sparing)
    }

    fn room_to_spare(&self) -> u64 {
        self.room_to_put_away()
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn health(&self, now: Timestamp) -> Health {
        self.garbage.hear(now);
        Health { oldest_unreclaimed: self.garbage.oldest(now), figures: self.figures() }
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

impl std::fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The RocksDB engine before it is open.
#[derive(Clone, Copy, Debug)]
pub struct Rocks;

impl Opener for Rocks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keeps_files(&self) -> bool {
        true
    }

    fn is_store(&self, folder: &Path) -> io::Result<bool> {
        open::is_store(folder)
    }

    fn room_to_open(&self, folder: &Path, _options: wardline_storage::open::Options) -> io::Result<u64> {
        Ok(options::recovery_bytes(open::log_bytes(folder)?))
    }

    /// Half of the memory is for blocks that are read, half for what is written, unless there is
    /// less ballast.
    fn open(
        &self,
        folder: &Path,
        options: wardline_storage::open::Options,
    ) -> Result<Arc<dyn Engine>, OpenError> {
        let half = options.memory_bytes / 2;
        let options = Options {
            block_cache_bytes: half,
            write_buffers_bytes: options::write_buffers(half, options.ballast_bytes),
            is_sparing: options.is_sparing,
            ..Options::default()
        };
        Ok(Arc::new(RocksEngine::open(folder, options)?))
    }
}

/// RocksDB's error as ours. Its texts name files and offsets; they hold no keys and no values.
pub(crate) fn failure(doing: &'static str, error: rocksdb::Error) -> EngineError {
    match error.kind() {
        ErrorKind::Corruption => EngineError::Corrupt { doing, detail: error.into_string() },
        _ => EngineError::Io { doing, detail: error.into_string() },
    }
}

/// Something that could not be finished, and may be tried again.
pub(crate) fn unfinished(doing: &'static str, detail: &str) -> EngineError {
    EngineError::Io { doing, detail: detail.to_owned() }
}

/// About what a mutation takes in a batch: its bytes, its expiry, and RocksDB's tags and lengths.
fn weight(mutation: &Mutation) -> usize {
    const TAGS_BYTES: usize = 24;
    match mutation {
        Mutation::Put { key, value, .. } | Mutation::Insert { key, value, .. } => {
            key.len() + value.len() + TAGS_BYTES
        }
        Mutation::Delete { key, .. } => key.len() + TAGS_BYTES,
    }
}

fn too_short(doing: &'static str) -> EngineError {
    EngineError::Corrupt { doing, detail: "a record is too short to have an expiry".to_owned() }
}
