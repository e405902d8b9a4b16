//! The figures that RocksDB tells of itself, by constant names.
//!
//! Names are for metrics, so they never change, and there are always the same ones. Only figures
//! that RocksDB keeps anyway are read, and the list of its files: this is asked every few seconds.
//! Of its statistics only counters are kept (level `ExceptHistogramOrTimers`): its timers would
//! read the clock for every look-up.

use rocksdb::properties;
use rocksdb::statistics::Ticker;
use wardline_storage::engine::{Figure, Table, Value};

use crate::engine::RocksEngine;

/// Figures that are summed over the tables.
const SUMMED: [(&str, &properties::PropName, &str); 7] = [
    ("memtable_bytes", properties::CUR_SIZE_ALL_MEM_TABLES, "Bytes in write buffers."),
    (
        "immutable_memtables",
        properties::NUM_IMMUTABLE_MEM_TABLE,
        "Full write buffers that wait to become files.",
    ),
    (
        "pending_compaction_bytes",
        properties::ESTIMATE_PENDING_COMPACTION_BYTES,
        "Bytes that compaction has to rewrite, as RocksDB estimates. From 64 GiB for one table it slows writes down.",
    ),
    ("table_files_bytes", properties::TOTAL_SST_FILES_SIZE, "Bytes of table files, obsolete ones included."),
    (
        "live_data_bytes",
        properties::ESTIMATE_LIVE_DATA_SIZE,
        "Bytes of records that are neither replaced nor deleted, as RocksDB estimates.",
    ),
    ("keys", properties::ESTIMATE_NUM_KEYS, "Records, as RocksDB estimates."),
    (
        "table_readers_bytes",
        properties::ESTIMATE_TABLE_READERS_MEM,
        "Memory of open table files outside the block cache.",
    ),
];

/// Figures of the whole database.
const SINGLE: [(&str, &properties::PropName, &str); 4] = [
    ("running_compactions", properties::NUM_RUNNING_COMPACTIONS, "Compactions under way."),
    ("running_flushes", properties::NUM_RUNNING_FLUSHES, "Flushes of write buffers under way."),
    (
        "delayed_write_rate_bytes_per_second",
        properties::ACTUAL_DELAYED_WRITE_RATE,
        "What RocksDB slows writes down to; 0: it does not.",
    ),
    (
        "write_stopped",
        properties::IS_WRITE_STOPPED,
        "1 while RocksDB takes no writes until it has compacted.",
    ),
];

/// Counters of RocksDB's statistics, since the store was opened.
const COUNTED: [(&str, Ticker, &str); 8] = [
    ("block_cache_hits_total", Ticker::BlockCacheHit, "Blocks found in the block cache."),
    ("block_cache_misses_total", Ticker::BlockCacheMiss, "Blocks that had to be read from a file."),
    ("stall_microseconds_total", Ticker::StallMicros, "Time that writes were held up for, in microseconds."),
    ("wal_syncs_total", Ticker::WalFileSynced, "Syncs of the write-ahead log."),
    ("wal_written_bytes_total", Ticker::WalFileBytes, "Bytes written to the write-ahead log."),
    ("flush_written_bytes_total", Ticker::FlushWriteBytes, "Bytes written by flushes of write buffers."),
    ("compaction_read_bytes_total", Ticker::CompactReadBytes, "Bytes read by compactions."),
    ("compaction_written_bytes_total", Ticker::CompactWriteBytes, "Bytes written by compactions."),
];

/// RocksDB's levels.
const LEVELS: [&str; 7] = ["0", "1", "2", "3", "4", "5", "6"];

impl RocksEngine {
    /// Reads them all. Cheap, but for the list of files: a microsecond or so a file.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let gauge = |name, meaning, value: u64| Figure {
            name,
            meaning,
            label: None,
            value: Value::Gauge(value as f64),
        };
        let counter =
            |name, meaning, value| Figure { name, meaning, label: None, value: Value::Counter(value) };
        let mut figures = Vec::new();
        for (name, property, meaning) in SUMMED {
            let sum = Table::ALL.into_iter().map(|table| self.property(table, property)).sum();
            figures.push(gauge(name, meaning, sum));
        }
        for (name, property, meaning) in SINGLE {
            figures.push(gauge(name, meaning, self.database_property(property)));
        }
        for (name, ticker, meaning) in COUNTED {
            figures.push(counter(name, meaning, self.statistics.get_ticker_count(ticker)));
        }
        let wal_microseconds = self.wal_time.microseconds();
        let errors = self.database_property(properties::BACKGROUND_ERRORS);
        figures.extend([
            counter(
                "wal_microseconds_total",
                "Time that commits spent writing and syncing the write-ahead log, in microseconds.",
                wal_microseconds,
            ),
            counter("background_errors_total", "Flushes and compactions that failed.", errors),
            gauge("block_cache_bytes", "Bytes in the block cache.", self.cache.get_usage() as u64),
            gauge(
                "block_cache_pinned_bytes",
                "Of those, bytes in use right now.",
                self.cache.get_pinned_usage() as u64,
            ),
            gauge(
                "block_cache_bytes_max",
                "Most bytes in the block cache.",
                self.chosen.block_cache_bytes as u64,
            ),
            gauge("wal_bytes", "Bytes of write-ahead log.", self.wal_bytes()),
            gauge(
                "wal_bytes_max",
                "Bytes of write-ahead log from which on the tables that hold it up are flushed.",
                self.chosen.wal_bytes_max,
            ),
        ]);
        figures.extend(self.levels());
        figures
    }

    /// Bytes of table files by level.
    fn levels(&self) -> impl Iterator<Item = Figure> + use<> {
        let mut bytes = [0; LEVELS.len()];
        // A list that cannot be read is told as background errors.
        for file in self.db.live_files().unwrap_or_default() {
            if let Some(level) = usize::try_from(file.level).ok().and_then(|level| bytes.get_mut(level)) {
                *level += file.size;
            }
        }
        LEVELS.into_iter().zip(bytes).map(|(level, bytes)| Figure {
            name: "level_bytes",
            meaning: "Bytes of live table files, by level.",
            label: Some(("level", level)),
            value: Value::Gauge(bytes as f64),
        })
    }
}
