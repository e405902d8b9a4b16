//! Bare RocksDB with the options of Wardline's engine: the limit of everything that writes to or reads from disk.
//!
//! The options are those that the engine itself chose: RocksDB leaves them in a file beside its tables, and they are
//! read from there, so they cannot drift apart. Only the expiry filter is missing: it is code, not an option.

use std::path::Path;

use anyhow::{Context, Result};
use rocksdb::{Cache, ColumnFamily, DB, Env, WriteBatch, WriteOptions};
use wardline_rocksdb::RocksEngine;
use wardline_storage::engine::Table;
use wardline_storage::id::{ConversationId, Seq};
use wardline_storage::key;

use crate::message::CONVERSATION;

/// A store with nothing above it.
pub struct BareRocks {
    db: DB,
    payload: Vec<u8>,
    written: u64,
}

impl BareRocks {
    /// Opens a new store in a folder that exists, for payloads of so many bytes.
    ///
    /// # Errors
    /// If the folder cannot be used, or RocksDB does not read the options that it wrote.
    pub fn open(folder: &Path, payload_bytes: usize) -> Result<Self> {
        let model = folder.join("model");
        let options = wardline_rocksdb::Options::default();
        drop(RocksEngine::open(&model, options)?);
        let cache = Cache::new_hyper_clock_cache(options.block_cache_bytes, 0);
        let (database, families) = rocksdb::Options::load_latest(&model, Env::new()?, false, cache)
            .context("reading the engine's options back")?;
        let db = DB::open_cf_descriptors(&database, folder.join("bare"), families)?;
        Ok(Self { db, payload: vec![b'x'; payload_bytes], written: 0 })
    }

    /// Writes so many messages as one batch, as the engine's table of messages would have them: a key of a
    /// conversation and a sequence, then the payload. Returns when they are synced.
    ///
    /// # Errors
    /// If RocksDB refuses.
    pub fn write(&mut self, messages: u64) -> Result<(), rocksdb::Error> {
        let mut batch = WriteBatch::default();
        for seq in self.written..self.written + messages {
            batch.put_cf(
                self.messages(),
                key::message(ConversationId::new(CONVERSATION), Seq(seq)),
                &self.payload,
            );
        }
        self.written += messages;
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options)
    }

    fn messages(&self) -> &ColumnFamily {
        self.db.cf_handle(Table::Message.name()).expect("the engine's tables were taken over")
    }
}
