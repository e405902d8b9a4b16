//! Storage and retention: is the disk well, and is what expired gone?
//!
//! What every engine is asked for; what an engine tells of itself has a page of its own
//! (`engines`).

use super::panel::Unit::{Bytes, BytesPerSecond, Count, PerSecond, Seconds};
use super::panel::{Dashboard, lines};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "storage",
        title: "storage and retention",
        about: "Is there room, is what expired gone in time, and what holds commits up?",
        rows: vec![
            (
                "Room and retention",
                vec![
                    lines("Room on the disk", Bytes, "Below the reserve messages are refused.")
                        .query("min(wardline_disk_free_bytes{$i})", "free")
                        .query("max(wardline_disk_reserve_bytes{$i})", "reserve")
                        .query("max(wardline_disk_size_bytes{$i})", "size")
                        .query("min(wardline_disk_ballast_bytes{$i})", "ballast")
                        .query("max(wardline_disk_ballast_size_bytes{$i})", "ballast, when whole"),
                    lines("Writes refused for lack of room", Count, "1: they are.")
                        .query("max(wardline_disk_full{$i})", "refused")
                        .limits(0.5, 1.0),
                    lines("Oldest expired bytes on the disk", Seconds, "Must stay below the bound.")
                        .query("max(wardline_retention_oldest_unreclaimed_seconds{$i})", "oldest")
                        .query("min(wardline_retention_bound_seconds{$i})", "bound"),
                    lines("Expired records reclaimed", PerSecond, "Dropped from every file.").query(
                        "sum(rate(wardline_reclaimed_records_total{$i}[$__rate_interval]))",
                        "records",
                    ),
                    lines("Expired bytes reclaimed", BytesPerSecond, "Dropped from every file.")
                        .query("sum(rate(wardline_reclaimed_bytes_total{$i}[$__rate_interval]))", "bytes"),
                    lines("Runs of reclaiming", Seconds, "How long the last took. Failed ones: see beside.")
                        .query("max(wardline_reclaim_duration_seconds{$i})", "last run"),
                ],
            ),
            (
                "Commits and reclaiming",
                vec![
                    lines("Time of a commit", Seconds, "Write and sync of a group.")
                        .percentiles("wardline_commit_seconds", "")
                        .limits(0.1, 0.2),
                    lines("Groups", PerSecond, "Each is one commit and one sync.")
                        .query("sum(rate(wardline_commit_seconds_count{$i}[$__rate_interval]))", "groups"),
                    lines("Position", Count, "Commands that the store has applied.")
                        .query("max(wardline_applied_position{$i})", "position"),
                    lines("Log time", Seconds, "How old it is, and how far the clock is behind it.")
                        .query("max(time() - wardline_applied_timestamp_seconds{$i})", "age")
                        .query("max(wardline_clock_behind_seconds{$i})", "clock behind"),
                    lines(
                        "Failed runs of reclaiming",
                        Count,
                        "Since the start. What expired stays on the disk until one succeeds.",
                    )
                    .query("sum(wardline_reclaim_failures_total{$i})", "failed")
                    .limits(0.5, 1.0),
                ],
            ),
        ],
    }
}
