//! Every RocksDB option that is not left at its default, with its reason.
//!
//! Invariants: nothing acknowledged is lost or silently skipped at recovery; memory and log space
//! are bounded; nothing is compressed. Names refer to RocksDB 11 (`include/rocksdb/options.h`
//! documents each).

use rocksdb::statistics::StatsLevel;
use rocksdb::{
    BlockBasedOptions, Cache, CompactOptions, DBCompressionType, DBRecoveryMode, FlushOptions, LogLevel,
    ReadOptions, WriteOptions,
};
use wardline_storage::engine::{Durability, Table};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Most bytes that one compaction reads, and so writes beside what it replaces.
pub(crate) const COMPACTION_BYTES_MAX: u64 = 256 * MIB as u64;

/// RocksDB insists on having this column family; nothing is stored in it.
pub(crate) const UNUSED_TABLE: &str = "default";

/// What an operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Memory for blocks, filters and indexes read from files, in bytes.
    pub block_cache_bytes: usize,
    /// Memory for writes that are not in table files yet, over all tables, in bytes.
    pub write_buffers_bytes: usize,
    /// Most bytes of write-ahead log before the tables that hold it up are flushed.
    pub wal_bytes_max: u64,
    /// Threads for flushes and compactions.
    pub background_jobs: u16,
    /// Most files held open.
    pub open_files_max: u16,
    /// Whether to open without compactions, since the disk is nearly full.
    pub is_sparing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            block_cache_bytes: 128 * MIB,
            write_buffers_bytes: 128 * MIB,
            wal_bytes_max: 256 * MIB as u64,
            // One flush and one compaction side by side: what a machine of two cores can spare.
            background_jobs: 2,
            open_files_max: 512,
            is_sparing: false,
        }
    }
}

/// Options of the whole database, before it is known what its folder can do.
pub(crate) fn database(chosen: &Options) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);

    // Recovery. The default (point in time) opens after silently dropping acknowledged records
    // behind a damaged one in the middle of the log. This drops a torn tail, which was never
    // acknowledged, and refuses the rest.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A recycled log file has old records beyond its end, which that mode cannot tell from damage;
    // and they are bytes that should be gone.
    options.set_recycle_log_file_num(0);
    // A log file that is missing or too short as a whole is noticed.
    options.set_track_and_verify_wals_in_manifest(true);
    // Damage found while writing stops the writing.
    options.set_paranoid_checks(true);

    // Bounds. An idle table would otherwise keep the log files alive that hold its last write.
    options.set_max_total_wal_size(chosen.wal_bytes_max);
    options.set_db_write_buffer_size(chosen.write_buffers_bytes);
    options.set_max_open_files(i32::from(chosen.open_files_max));
    options.set_max_background_jobs(i32::from(chosen.background_jobs));
    options.set_max_manifest_file_size(16 * MIB);

    // Write-back in small steps: without them the page cache is flushed in bursts that hold up a
    // sync.
    options.set_bytes_per_sync(MIB as u64);
    options.set_wal_bytes_per_sync(512 * KIB as u64);
    // Compaction reads in large steps.
    options.set_compaction_readahead_size(2 * MIB);

    // One writer: the concurrent memtable and its waiting strategies only cost. The default makes
    // every log record durable in the order of its batch; `unordered_write` would give that up and
    // is never set.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);

    // The engine's own log: for people on call, bounded. Its periodic statistics are ours to
    // export.
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(4 * MIB);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // Counters only: timers would read the clock for every look-up.
    options.enable_statistics();
    options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    options
}

/// Flushes and compactions around the page cache: copying into it took a seventh of the broker's
/// time under load, and it would hold what nobody reads. Only where the file system can; there a
/// flush would fail otherwise.
pub(crate) fn set_direct_io(database: &mut rocksdb::Options, possible: bool) {
    database.set_use_direct_io_for_flush_and_compaction(possible);
}

/// Options of one table's column family.
pub(crate) fn table(table: Table, chosen: &Options, cache: &Cache) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    // Payloads are opaque and will be sealed: they do not compress. What is left is small.
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::None);

    // The busy tables may use half of all write buffers; the total is bounded for the database.
    options.set_write_buffer_size(table_buffer_bytes(chosen));
    options.set_max_write_buffer_number(3);

    if table == Table::Dedupe {
        // Nearly every look-up of a client message id finds nothing; a filter over the write buffer
        // answers it with one cache line instead of a walk through random keys. It is small enough
        // for the processor's cache (0.6 MiB by default): with five times that, every id that was
        // written missed it.
        options.set_memtable_prefix_bloom_ratio(0.02);
        options.set_memtable_whole_key_filtering(true);
    }

    // Levels sized from the largest down: at most a tenth of the space is spent on what was
    // replaced.
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_target_file_size_base(64 * MIB as u64);
    options.set_max_bytes_for_level_base(256 * MIB as u64);
    // As much gathers before the base level as that may hold: each merge into it rewrites less of
    // what is there.
    options.set_level_zero_file_num_compaction_trigger(8);
    // What one compaction of a reclaim writes beside what it replaces must fit into what is kept
    // free of the disk; the default, 25 files, is more.
    options.set_max_compaction_bytes(COMPACTION_BYTES_MAX);
    // With a filter RocksDB would rewrite everything every 30 days by the wall clock; `reclaim`
    // decides instead.
    options.set_periodic_compaction_seconds(0);
    options.set_ttl(0);
    // See `spare`: changed while it runs.
    options.set_disable_auto_compactions(chosen.is_sparing);

    options.set_block_based_table_factory(&blocks(table, cache));
    options
}

/// Options of the column family that nothing is stored in: the first log file takes the largest
/// write buffer of all.
pub(crate) fn unused(chosen: &Options) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_write_buffer_size(table_buffer_bytes(chosen));
    options
}

pub(crate) fn table_buffer_bytes(chosen: &Options) -> usize {
    (chosen.write_buffers_bytes / 4).clamp(64 * KIB, 64 * MIB)
}

/// Memory for writes, at most `half`: what it holds when the disk fills up must fit into
/// the ballast twice, since a flush of it may be under way when the next one is due.
pub(crate) fn write_buffers(half: usize, ballast_bytes: u64) -> usize {
    const LEAST: usize = 16 * MIB;
    if ballast_bytes == 0 {
        return half;
    }
    half.min(usize::try_from(ballast_bytes / 2).unwrap_or(usize::MAX).max(LEAST))
}

/// What a recovery may write of a log of so many bytes: as much in tables, and what stands beside
/// them.
pub(crate) fn recovery_bytes(log_bytes: u64) -> u64 {
    const ASIDE: u64 = 4 * MIB as u64;
    log_bytes + log_bytes / 8 + ASIDE
}

/// Disk that a new log file takes at its first write: a write buffer and a tenth, at once
/// (`GetWalPreallocateBlockSize` in `db/db_impl/db_impl_write.cc`). If there is less, it takes
/// that.
pub(crate) fn log_block_bytes(chosen: &Options) -> u64 {
    let buffer = table_buffer_bytes(chosen);
    (buffer + buffer / 10) as u64
}

fn blocks(table: Table, cache: &Cache) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    // Entries are read in runs, other records one by one.
    blocks.set_block_size(if table == Table::Message { 16 * KIB } else { 4 * KIB });
    // Most look-ups of a client message id, a device or a membership find nothing; 10 bits a key
    // answer 99 % of them from memory. The others are scanned: a filter would only cost.
    if !matches!(table, Table::Message | Table::Receipt | Table::Urgent) {
        blocks.set_bloom_filter(10.0, false);
        blocks.set_whole_key_filtering(true);
        blocks.set_optimize_filters_for_memory(true);
    }
    // Filters and indexes count against the cache's bound, and are the last to leave it.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // What the linked version writes by default, named so that an update does not change it.
    blocks.set_format_version(7);
    blocks
}

/// The cache that all tables share.
pub(crate) fn cache(chosen: &Options) -> Cache {
    Cache::new_hyper_clock_cache(chosen.block_cache_bytes, 0)
}

/// Options of a commit.
pub(crate) fn write(durability: Durability) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(durability == Durability::Synced);
    options
}

/// Options of a scan: bounded, so that it never walks through the tombstones of its neighbours.
pub(crate) fn scan(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(from);
    options.set_iterate_upper_bound(to);
    // Table files that only this iterator keeps alive are deleted by a background thread, not by
    // the reader.
    options.set_background_purge_on_iterator_cleanup(true);
    options
}

/// Options of the flush that begins a reclaim.
pub(crate) fn flush() -> FlushOptions {
    let mut options = FlushOptions::default();
    options.set_wait(true);
    options
}

/// Options of the compaction that reclaims a whole table.
pub(crate) fn reclaim() -> CompactOptions {
    let mut options = CompactOptions::default();
    // Automatic compactions go on, or commits would stall behind a long reclaim.
    options.set_exclusive_manual_compaction(false);
    // What lies in the last level expires too. Not `ForceOptimized`: it passes over files that an
    // automatic compaction wrote meanwhile, perhaps by an older clock.
    options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_buffers_fits_into_the_ballast_twice() {
        assert_eq!(write_buffers(128 * MIB, 0), 128 * MIB, "without ballast there is no promise");
        assert_eq!(write_buffers(128 * MIB, 256 << 20), 128 * MIB);
        assert_eq!(write_buffers(2048 * MIB, 256 << 20), 128 * MIB);
        assert_eq!(write_buffers(128 * MIB, 48 << 20), 24 * MIB);
        assert_eq!(write_buffers(128 * MIB, 1), 16 * MIB);
        assert_eq!(write_buffers(8 * MIB, 1 << 20), 8 * MIB);
    }

    #[test]
    fn a_recovery_writes_as_much_as_the_log_holds_and_a_little() {
        assert_eq!(recovery_bytes(0), 4 << 20);
        assert_eq!(recovery_bytes(64 << 20), 76 << 20);
    }
}
