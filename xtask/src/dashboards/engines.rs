//! What an engine tells of itself: a page for each, `engine-<name>`, since no two have the same to
//! tell.
//!
//! For finding out why commits are slow or where room and memory went. A broker fills the page of
//! the engine that it runs on, and no other.

use super::panel::Unit::{Bytes, BytesPerSecond, Count, PerSecond, Seconds, Share};
use super::panel::{Dashboard, lines};

/// Begins the names of these pages.
pub const PREFIX: &str = "engine-";

pub(super) fn rocksdb() -> Dashboard {
    Dashboard {
        name: "engine-rocksdb",
        title: "engine: RocksDB",
        about: "What holds commits up, and what takes room and memory?",
        rows: vec![
            ("The write-ahead log", vec![
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
                lines("Errors in the background", Count, "Flushes and compactions that failed, since the start.")
                    .query("sum(wardline_rocksdb_background_errors_total{$i})", "errors").limits(0.5, 1.0),
            ]),
        ],
    }
}

pub(super) fn redb() -> Dashboard {
    Dashboard {
        name: "engine-redb",
        title: "engine: redb",
        about: "What takes room, and what is read and written?",
        rows: vec![
            (
                "The store file",
                vec![
                    lines(
                        "Store size",
                        Bytes,
                        "The file, what rows take of it, and what is free or redb's own.",
                    )
                    .query("sum(wardline_redb_file_bytes{$i})", "file")
                    .query("sum(wardline_redb_row_bytes{$i})", "rows")
                    .query("sum(wardline_redb_spare_bytes{$i})", "spare"),
                    lines("Rows", Count, "Expired ones that are not reclaimed included.")
                        .query("sum(wardline_redb_rows{$i})", "rows"),
                    lines("Page cache", Bytes, "Most that it may hold.")
                        .query("sum(wardline_redb_cache_bytes_max{$i})", "bound"),
                ],
            ),
            (
                "Writing and reading",
                vec![
                    lines(
                        "Commits and syncs",
                        PerSecond,
                        "Batches; and syncs of store files, copies included.",
                    )
                    .query("sum(rate(wardline_redb_commits_total{$i}[$__rate_interval]))", "commits")
                    .query("sum(rate(wardline_redb_syncs_total{$i}[$__rate_interval]))", "syncs"),
                    lines("Written to the disk and read from it", BytesPerSecond, "Copies included.")
                        .query(
                            "sum(rate(wardline_redb_written_bytes_total{$i}[$__rate_interval]))",
                            "written",
                        )
                        .query("sum(rate(wardline_redb_read_bytes_total{$i}[$__rate_interval]))", "read"),
                    lines("Page reads", PerSecond, "Of pages that were not in memory.")
                        .query("sum(rate(wardline_redb_page_reads_total{$i}[$__rate_interval]))", "reads"),
                    lines(
                        "Held up by a reclaim",
                        Share,
                        "Share of the time that commits waited for a copy to take the store's place.",
                    )
                    .query(
                        "sum(rate(wardline_redb_stall_microseconds_total{$i}[$__rate_interval])) / 1e6",
                        "held up",
                    ),
                ],
            ),
        ],
    }
}
