//! On a disk that is nearly full: what RocksDB would write of its own accord waits, and what it
//! must write is known before.
//!
//! Compactions are off: one that runs into the full disk takes the last room away from the log
//! meanwhile. With them off RocksDB does not hold up writes for too many new files either. What the
//! log holds is flushed as soon as it is more than a little, so that a restart has as little to
//! write, and no flush comes at a time that nobody chose.

use std::sync::atomic::Ordering;

use rocksdb::{ColumnFamily, properties};
use wardline_storage::engine::{EngineError, Table};

use crate::engine::{RocksEngine, failure};
use crate::options;

const DOING: &str = "sparing the disk";
/// With more than this in the log it is flushed.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// Of a buffer, or of the log: from here on a flush may come soon.
const NEARLY_FULL: f64 = 0.75;
const COMPACTIONS_OFF: &str = "disable_auto_compactions";

impl RocksEngine {
    /// See [`wardline_storage::engine::Engine::room_wanted`]: of a flush, if one is under way or
    /// may come.
    pub(crate) fn room_for_a_flush_at_hand(&self) -> u64 {
        let nears = |bytes: u64, max: u64| bytes as f64 >= max as f64 * NEARLY_FULL;
        let buffer = options::table_buffer_bytes(&self.chosen) as u64;
        let is_under_way = |table| self.property(table, properties::NUM_IMMUTABLE_MEM_TABLE) > 0;
        let is_near = nears(self.buffered_bytes(), buffer)
            || nears(self.wal_bytes(), self.chosen.wal_bytes_max)
            || Table::ALL.into_iter().any(is_under_way);
        if is_near { self.room_to_flush() } else { 0 }
    }

    /// See [`wardline_storage::engine::Engine::spare_disk`].
    pub(crate) fn spare(&self, sparing: bool) -> Result<(), EngineError> {
        if self.is_sparing.swap(sparing, Ordering::AcqRel) != sparing {
            self.set_compactions_off(sparing)?;
        }
        if !sparing || self.room_to_put_away() == 0 || self.writer.lock().failed {
            return Ok(());
        }
        let _one = self.reclaiming.lock();
        self.ensure_room_to_flush(DOING)?;
        let families: Vec<&ColumnFamily> = Table::ALL.into_iter().map(|table| self.family(table)).collect();
        self.db.flush_cfs_opt(&families, &options::flush()).map_err(|error| failure(DOING, error))?;
        self.writer.lock().synced.note_manifest();
        Ok(())
    }

    /// See [`wardline_storage::engine::Engine::room_to_spare`].
    pub(crate) fn room_to_put_away(&self) -> u64 {
        if self.wal_bytes() > LOG_BYTES_MAX { self.room_to_flush() } else { 0 }
    }

    fn set_compactions_off(&self, off: bool) -> Result<(), EngineError> {
        let value = if off { "true" } else { "false" };
        for table in Table::ALL {
            let set = self.db.set_options_cf(self.family(table), &[(COMPACTIONS_OFF, value)]);
            match set {
                // In force; that the file of options could not be written is no loss.
                Err(error) if error.as_ref().contains("unable to persist") => {}
                set => set.map_err(|error| failure(DOING, error))?,
            }
        }
        Ok(())
    }

    /// What is in buffers, over all tables.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        let buffered = |table| self.property(table, properties::CUR_SIZE_ALL_MEM_TABLES);
        Table::ALL.into_iter().map(buffered).sum()
    }

    /// Room for a flush of every table, and for the log file that begins with it.
    pub(crate) fn room_to_flush(&self) -> u64 {
        self.buffered_bytes() + options::log_block_bytes(&self.chosen)
    }
}
