//! The figures that RocksDB tells of itself, by constant names.
//!
//! Names are for metrics, so they never change. Only figures that RocksDB keeps anyway are read: this is asked
//! once a second.

use rocksdb::{Cache, properties};
use wardline_storage::engine::Table;

use crate::engine::RocksEngine;

/// Figures that are summed over the tables.
const SUMMED: [(&str, &properties::PropName); 7] = [
    ("memtable_bytes", properties::CUR_SIZE_ALL_MEM_TABLES),
    ("immutable_memtables", properties::NUM_IMMUTABLE_MEM_TABLE),
    ("pending_compaction_bytes", properties::ESTIMATE_PENDING_COMPACTION_BYTES),
    ("table_files_bytes", properties::TOTAL_SST_FILES_SIZE),
    ("live_data_bytes", properties::ESTIMATE_LIVE_DATA_SIZE),
    ("keys_estimate", properties::ESTIMATE_NUM_KEYS),
    ("table_readers_bytes", properties::ESTIMATE_TABLE_READERS_MEM),
];

/// Figures of the whole database.
const SINGLE: [(&str, &properties::PropName); 5] = [
    ("running_compactions", properties::NUM_RUNNING_COMPACTIONS),
    ("running_flushes", properties::NUM_RUNNING_FLUSHES),
    ("background_errors", properties::BACKGROUND_ERRORS),
    ("delayed_write_rate_bytes_per_second", properties::ACTUAL_DELAYED_WRITE_RATE),
    ("is_write_stopped", properties::IS_WRITE_STOPPED),
];

/// Reads them all. Cheap: RocksDB keeps them.
pub(crate) fn read(engine: &RocksEngine, cache: &Cache) -> Vec<(&'static str, f64)> {
    let summed = SUMMED.into_iter().map(|(name, property)| {
        let sum: u64 = Table::ALL.into_iter().map(|table| engine.property(table, property)).sum();
        (name, sum)
    });
    let single = SINGLE.into_iter().map(|(name, property)| (name, engine.database_property(property)));
    let others = [
        ("block_cache_bytes", cache.get_usage() as u64),
        ("block_cache_pinned_bytes", cache.get_pinned_usage() as u64),
        ("wal_bytes", engine.wal_bytes()),
    ];
    summed.chain(single).chain(others).map(|(name, figure)| (name, figure as f64)).collect()
}
