//! Storage and retention: is the disk well, is what expired gone, what does RocksDB do?
//!
//! The first row is about room and the promise of deletion; the others are for finding out why
//! commits are slow.

use super::panel::Unit::{Bytes, BytesPerSecond, Count, PerSecond, Seconds, Share};
use super::panel::{Dashboard, lines};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "storage",
        title: "storage and retention",
        about: "Is there room, is what expired gone in time, and what holds commits up?",
        rows: vec![
            ("Room and retention", vec![
                lines("Room on the disk", Bytes, "Below the reserve messages are refused.")
                    .query("min(wardline_disk_free_bytes{$i})", "free").query("max(wardline_disk_reserve_bytes{$i})", "reserve")
                    .query("max(wardline_disk_size_bytes{$i})", "size"),
                lines("Writes refused for lack of room", Count, "1: they are.").query("max(wardline_disk_full{$i})", "refused").limits(0.5, 1.0),
                lines("Oldest expired bytes on the disk", Seconds, "Must stay below the bound.")
                    .query("max(wardline_retention_oldest_unreclaimed_seconds{$i})", "oldest")
                    .query("min(wardline_retention_bound_seconds{$i})", "bound"),
                lines("Expired records reclaimed", PerSecond, "Dropped from every file.")
                    .query("sum(rate(wardline_reclaimed_records_total{$i}[$__rate_interval]))", "records"),
                lines("Expired bytes reclaimed", BytesPerSecond, "Dropped from every file.")
                    .query("sum(rate(wardline_reclaimed_bytes_total{$i}[$__rate_interval]))", "bytes"),
                lines("Runs of reclaiming", Seconds, "How long the last took. Failed ones: see the last row.")
                    .query("max(wardline_reclaim_duration_seconds{$i})", "last run"),
            ]),
            ("Commits and the write-ahead log", vec![
                lines("Time of a commit", Seconds, "Write and sync of a group.").percentiles("wardline_commit_seconds", "").limits(0.1, 0.2),
                lines("Time in the write-ahead log", Seconds, "Of each commit, on average: writing and syncing the log. The rest is RocksDB's memory.")
                    .query("sum(rate(wardline_rocksdb_wal_microseconds_total{$i}[$__rate_interval])) / 1e6 / (sum(rate(wardline_rocksdb_wal_syncs_total{$i}[$__rate_interval])) > 0)", "log and sync"),
                lines("Syncs", PerSecond, "Of the write-ahead log.").query("sum(rate(wardline_rocksdb_wal_syncs_total{$i}[$__rate_interval]))", "syncs"),
                lines("Held up by RocksDB", Share, "Share of the time that writes were held up; and whether they are stopped.")
                    .query("sum(rate(wardline_rocksdb_stall_microseconds_total{$i}[$__rate_interval])) / 1e6", "held up")
                    .query("max(wardline_rocksdb_write_stopped{$i})", "stopped")
                    .query("max(wardline_rocksdb_delayed_write_rate_bytes_per_second{$i} > bool 0)", "slowed down").limits(0.05, 0.2),
                lines("Write-ahead log", Bytes, "At its bound the tables that hold it up are flushed.")
                    .query("sum(wardline_rocksdb_wal_bytes{$i})", "log").query("sum(wardline_rocksdb_wal_bytes_max{$i})", "bound"),
                lines("Write buffers", Bytes, "Not in table files yet.").query("sum(wardline_rocksdb_memtable_bytes{$i})", "buffers"),
            ]),
            ("Table files", vec![
                lines("Level sizes", Bytes, "Table files by level.").query("sum by (level) (wardline_rocksdb_level_bytes{$i})", "level {{level}}"),
                lines("Store size", Bytes, "Table files, and what of them is live.")
                    .query("sum(wardline_rocksdb_table_files_bytes{$i})", "table files").query("sum(wardline_rocksdb_live_data_bytes{$i})", "live"),
                lines("Records", Count, "As RocksDB estimates.").query("sum(wardline_rocksdb_keys{$i})", "records"),
                lines("Compaction to be done", Bytes, "From 64 GiB for one table commits are slowed down.")
                    .query("sum(wardline_rocksdb_pending_compaction_bytes{$i})", "pending").limits(16.0 * 1_073_741_824.0, 64.0 * 1_073_741_824.0),
                lines("At work", Count, "Compactions and flushes under way; buffers that wait for one.")
                    .query("sum(wardline_rocksdb_running_compactions{$i})", "compactions").query("sum(wardline_rocksdb_running_flushes{$i})", "flushes")
                    .query("sum(wardline_rocksdb_immutable_memtables{$i})", "full buffers"),
                lines("Written to the disk", BytesPerSecond, "By whom; and what compaction reads.")
                    .query("sum(rate(wardline_rocksdb_wal_written_bytes_total{$i}[$__rate_interval]))", "write-ahead log")
                    .query("sum(rate(wardline_rocksdb_flush_written_bytes_total{$i}[$__rate_interval]))", "flushes")
                    .query("sum(rate(wardline_rocksdb_compaction_written_bytes_total{$i}[$__rate_interval]))", "compaction")
                    .query("sum(rate(wardline_rocksdb_compaction_read_bytes_total{$i}[$__rate_interval]))", "compaction, read"),
            ]),
            ("Reading", vec![
                lines("Block-cache hits", Share, "Of the blocks that were looked for; 1 where none was.")
                    .query("sum(rate(wardline_rocksdb_block_cache_hits_total{$i}[$__rate_interval])) / (sum(rate(wardline_rocksdb_block_cache_hits_total{$i}[$__rate_interval])) + sum(rate(wardline_rocksdb_block_cache_misses_total{$i}[$__rate_interval])) > 0) or vector(1)", "hits").up_to(1.0),
                lines("Block cache", Bytes, "Used, in use right now, and its bound.")
                    .query("sum(wardline_rocksdb_block_cache_bytes{$i})", "used").query("sum(wardline_rocksdb_block_cache_pinned_bytes{$i})", "pinned")
                    .query("sum(wardline_rocksdb_block_cache_bytes_max{$i})", "bound")
                    .query("sum(wardline_rocksdb_table_readers_bytes{$i})", "outside it"),
                lines("Errors in the background", Count, "Flushes and compactions that failed, and runs of reclaiming, since the start.")
                    .query("sum(wardline_rocksdb_background_errors_total{$i})", "flushes and compactions")
                    .query("sum(wardline_reclaim_failures_total{$i})", "reclaiming").limits(0.5, 1.0),
            ]),
        ],
    }
}
