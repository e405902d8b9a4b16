//! Drops expired records while RocksDB compacts.
//!
//! It only reclaims space: readers leave expired records out by themselves. Its clock is the `now`
//! of the latest [`reclaim`](wardline_storage::engine::Engine::reclaim), never the machine's, so it
//! cannot run ahead of the broker. A filter must not panic (the process would abort), so a record
//! that it cannot read is kept. RocksDB calls one filter from one thread, but the factory from
//! several at once: it only clones handles.

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use wardline_storage::engine::{Reclaimed, Table};
use wardline_storage::id::Timestamp;

use wardline_storage::garbage::Heap;
use wardline_storage::value;

const NAME: &CStr = c"wardline.expiry.1";

/// What the filters of all tables share.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    clock: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Expiry {
    /// Sets the clock; it never goes back.
    pub(crate) fn advance(&self, now: Timestamp) {
        self.clock.fetch_max(now.0, Ordering::Relaxed);
    }

    /// What was dropped since this was last asked.
    pub(crate) fn take_dropped(&self) -> Reclaimed {
        Reclaimed {
            records: self.records.swap(0, Ordering::Relaxed),
            bytes: self.bytes.swap(0, Ordering::Relaxed),
        }
    }
}

/// Makes a filter for each compaction of one table.
pub(crate) struct Factory {
    pub(crate) table: Table,
    pub(crate) expiry: Arc<Expiry>,
    pub(crate) garbage: Arc<Heap>,
}

impl CompactionFilterFactory for Factory {
    type Filter = ExpiryFilter;

    fn create(&mut self, _context: CompactionFilterContext) -> ExpiryFilter {
        ExpiryFilter {
            table: self.table,
            expiry: Arc::clone(&self.expiry),
            garbage: Arc::clone(&self.garbage),
        }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}

/// Drops what is expired, and notes when the rest expires.
pub(crate) struct ExpiryFilter {
    table: Table,
    expiry: Arc<Expiry>,
    garbage: Arc<Heap>,
}

impl CompactionFilter for ExpiryFilter {
    fn filter(&mut self, _level: u32, key: &[u8], stored: &[u8]) -> CompactionDecision {
        let Some((expires, value)) = value::split(stored) else { return CompactionDecision::Keep };
        if expires.0 > self.expiry.clock.load(Ordering::Relaxed) {
            self.garbage.of(self.table).note_expiry(expires);
            return CompactionDecision::Keep;
        }
        self.expiry.records.fetch_add(1, Ordering::Relaxed);
        self.expiry.bytes.fetch_add((key.len() + value.len()) as u64, Ordering::Relaxed);
        CompactionDecision::Remove
    }

    fn name(&self) -> &CStr {
        NAME
    }
}
