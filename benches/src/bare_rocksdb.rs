//! Bare RocksDB with the options of Wardline's engine: the limit of everything that writes to or
//! reads from disk.
//!
//! The options are those that the engine itself chose: RocksDB leaves them in a file beside its
//! tables, and they are read from there, so they cannot drift apart. Only the expiry filter is
//! missing: it is code, not an option.

use std::path::Path;

use anyhow::{Context, Result};
use rocksdb::{
    BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, Env,
    ReadOptions, WriteBatch, WriteOptions,
};
use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::engine::{Mutation, Table};
use wardline_storage::id::{ConversationId, Seq};
use wardline_storage::key;

use crate::message::{CONVERSATION, message_id};

/// A store with nothing above it.
pub struct BareRocks {
    db: DB,
    payload: Vec<u8>,
    written: u64,
}

/// What an iterator passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanned {
    /// Records.
    pub records: u64,
    /// Their bytes, keys and values.
    pub bytes: usize,
}

impl BareRocks {
    /// Opens a new store in a folder that exists, for payloads of so many bytes.
    ///
    /// # Errors
    /// If the folder cannot be used, or RocksDB does not read the options that it wrote.
    pub fn open(folder: &Path, payload_bytes: usize) -> Result<Self> {
        let model = folder.join("model");
        drop(RocksEngine::open(&model, Options::default())?);
        let (database, tables) = options_of(&model)?;
        let db = DB::open_cf_descriptors(&database, folder.join("bare"), tables)?;
        Ok(Self { db, payload: vec![b'x'; payload_bytes], written: 0 })
    }

    /// Opens an engine's own store for reading, beside the engine. Sees what was written until now.
    ///
    /// # Errors
    /// As [`BareRocks::open`].
    pub fn beside(engine: &Path) -> Result<Self> {
        let (database, tables) = options_of(engine)?;
        let db = DB::open_cf_descriptors_read_only(&database, engine, tables, false)?;
        Ok(Self { db, payload: Vec::new(), written: 0 })
    }

    /// Writes so many messages as one batch, as the engine's table of messages would have them: a
    /// key of a conversation and a sequence, then the payload. Returns when they are synced.
    ///
    /// # Errors
    /// If RocksDB refuses.
    pub fn write(&mut self, messages: u64) -> Result<(), rocksdb::Error> {
        let mut batch = WriteBatch::default();
        for seq in self.written..self.written + messages {
            batch.put_cf(self.messages(), message(seq), &self.payload);
        }
        self.written += messages;
        self.sync(batch)
    }

    /// Writes a batch that a group of publishes came to, as one batch of the same bytes: the same
    /// records and sizes, with sequences and message ids that go on from batch to batch. Returns
    /// when they are synced.
    ///
    /// # Errors
    /// If RocksDB refuses.
    pub fn write_alike(&mut self, group: &[Mutation]) -> Result<(), rocksdb::Error> {
        let mut batch = WriteBatch::default();
        let mut remembered = self.written;
        for mutation in group {
            let (Mutation::Put { table, key, value, expires }
            | Mutation::Insert { table, key, value, expires }) = mutation
            else {
                continue;
            };
            let mut key = key.to_vec();
            match table {
                Table::Message => {
                    end_with(&mut key, &self.written.to_be_bytes());
                    self.written += 1;
                }
                Table::Dedupe => {
                    end_with(&mut key, &message_id(remembered));
                    remembered += 1;
                }
                _ => {}
            }
            // As the engine stores it: the expiry, then the value.
            let stored = [&expires.0.to_be_bytes(), value.as_ref()].concat();
            batch.put_cf(self.table(*table), key, stored);
        }
        self.sync(batch)
    }

    /// Deletes a message that is not there, so that a compaction has something to do. Not synced.
    ///
    /// # Errors
    /// If RocksDB refuses.
    pub fn delete_nothing(&self) -> Result<(), rocksdb::Error> {
        self.db.delete_cf(self.messages(), message(u64::MAX))
    }

    /// Flushes the messages and rewrites all their files.
    ///
    /// # Errors
    /// If they cannot be flushed; of a compaction RocksDB tells nothing.
    pub fn compact(&self) -> Result<(), rocksdb::Error> {
        self.db.flush_cf(self.messages())?;
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(self.messages(), None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    /// Visits every message in order.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn scan(&self) -> Result<Scanned, rocksdb::Error> {
        let span = key::messages(ConversationId::new(CONVERSATION), Seq::ZERO, Seq::MAX);
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_lower_bound(span.range().from);
        bounds.set_iterate_upper_bound(span.range().to);
        let mut records = self.db.raw_iterator_cf_opt(self.messages(), bounds);
        let mut scanned = Scanned::default();
        records.seek_to_first();
        while let Some((key, value)) = records.item() {
            scanned.records += 1;
            scanned.bytes += key.len() + value.len();
            records.next();
        }
        records.status()?;
        Ok(scanned)
    }

    fn sync(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options)
    }

    fn messages(&self) -> &ColumnFamily {
        self.table(Table::Message)
    }

    fn table(&self, table: Table) -> &ColumnFamily {
        self.db.cf_handle(table.name()).expect("the engine's tables were taken over")
    }
}

fn end_with(key: &mut [u8], end: &[u8]) {
    let from = key.len() - end.len();
    key[from..].copy_from_slice(end);
}

fn message(seq: u64) -> [u8; key::MESSAGE_BYTES] {
    key::message(ConversationId::new(CONVERSATION), Seq(seq))
}

/// What an engine chose for its store.
fn options_of(engine: &Path) -> Result<(rocksdb::Options, Vec<ColumnFamilyDescriptor>)> {
    let cache = Cache::new_hyper_clock_cache(Options::default().block_cache_bytes, 0);
    rocksdb::Options::load_latest(engine, Env::new()?, false, cache)
        .context("reading the engine's options back")
}
