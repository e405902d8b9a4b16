//! Delivery: how messages get from who writes them to who reads them.
//!
//! Commit, fan-out, lag, receipts; urgent messages apart. Answers "is it slow, and where on the
//! way?".

use super::panel::Unit::{Bytes, BytesPerSecond, Count, PerSecond, Seconds};
use super::panel::{Dashboard, lines};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "delivery",
        title: "delivery",
        about: "Is it slow, and where on the way: commit, fan-out, network, devices?",
        rows: vec![
            ("Urgent", vec![
                lines("Urgent: messages", PerSecond, "Committed, and sent ahead of their turn.")
                    .query("sum(rate(wardline_published_total{priority=\"urgent\", $i}[$__rate_interval]))", "published")
                    .query("sum(rate(wardline_deliveries_total{source=\"urgent\", $i}[$__rate_interval]))", "delivered"),
                lines("Urgent: time to connected devices", Seconds, "From publishing until a device's receipt.")
                    .percentiles("wardline_publish_to_delivered_seconds", "priority=\"urgent\"").limits(1.0, 2.0),
                lines("Urgent: time to the acknowledgement", Seconds, "From taking in until on disk; the longest of each group.")
                    .percentiles("wardline_ack_seconds", "priority=\"urgent\"").limits(0.2, 0.5),
            ]),
            ("Routine", vec![
                lines("Routine: time to connected devices", Seconds, "From publishing until a device's receipt, which the SDK holds for 20 to 60 ms.")
                    .percentiles("wardline_publish_to_delivered_seconds", "priority=\"routine\"").limits(1.0, 5.0),
                lines("Routine: time to the acknowledgement", Seconds, "From taking in until on disk; the longest of each group.")
                    .percentiles("wardline_ack_seconds", "priority=\"routine\"").limits(0.2, 0.5),
                lines("From delivered to read", Seconds, "What people take. A sample.")
                    .query("histogram_quantile(0.5, sum by (priority, le) (rate(wardline_delivered_to_read_seconds_bucket{$i}[$__rate_interval])))", "{{priority}} p50")
                    .query("histogram_quantile(0.9, sum by (priority, le) (rate(wardline_delivered_to_read_seconds_bucket{$i}[$__rate_interval])))", "{{priority}} p90"),
            ]),
            ("Fan-out", vec![
                lines("Deliveries by source", PerSecond, "From memory, after a read of the store, and ahead of their turn.")
                    .query("sum by (source) (rate(wardline_deliveries_total{$i}[$__rate_interval]))", "{{source}}"),
                lines("Deliveries for each message", Count, "How many devices a message goes to, on average.")
                    .query("sum(rate(wardline_deliveries_total{source!=\"urgent\", $i}[$__rate_interval])) / (sum(rate(wardline_published_total{$i}[$__rate_interval])) > 0)", "devices"),
                lines("Connections that wait for their turn", Count, "To be served. Many for long: the processor is at its limit.")
                    .query("sum(wardline_turns_waiting{$i})", "waiting"),
                lines("Receipts", PerSecond, "Committed, by kind, and pushed to those who published.")
                    .query("sum by (kind) (rate(wardline_receipts_total{$i}[$__rate_interval]))", "{{kind}}")
                    .query("sum(rate(wardline_receipts_pushed_total{$i}[$__rate_interval]))", "pushed"),
                lines("Conversations followed", Count, "By a connected session.").query("sum(wardline_topics{$i})", "conversations"),
                lines("Memory for recent messages", Bytes, "What does not fit is read from the store.")
                    .query("sum(wardline_tail_bytes{$i})", "used").query("sum(wardline_tail_bytes_max{$i})", "most"),
            ]),
            ("Catching up", vec![
                lines("Sessions that do not keep up", Count, "Stalled: the client takes nothing. Behind: reads from the store.")
                    .query("sum(wardline_sessions_stalled{$i})", "stalled").query("sum(wardline_sessions_behind{$i})", "behind"),
                lines("Lag behind the head", Count, "Entries that a device lacked when its next ones were read from the store; 0 where none was.")
                    .query("histogram_quantile(0.5, sum by (le) (rate(wardline_lag_entries_bucket{$i}[$__rate_interval]))) >= 0 or vector(0)", "p50")
                    .query("histogram_quantile(0.99, sum by (le) (rate(wardline_lag_entries_bucket{$i}[$__rate_interval]))) >= 0 or vector(0)", "p99"),
                lines("Reads of the store", Count, "Under way, by purpose; and their bound.")
                    .query("sum by (purpose) (wardline_reads{$i})", "{{purpose}}").query("max(wardline_reads_max{$i})", "most of each"),
            ]),
            ("Committing", vec![
                lines("Commands for each sync", Count, "Grows with the load: that is how the broker keeps up.")
                    .percentiles("wardline_commit_group_commands", ""),
                lines("Time of a commit", Seconds, "Write and sync of a group.").percentiles("wardline_commit_seconds", "").limits(0.1, 0.2),
                lines("Time to decide a group", Seconds, "Before its write.").percentiles("wardline_apply_seconds", ""),
                lines("Requests", PerSecond, "Taken in: publishes, receipts, queries.")
                    .query("sum(rate(wardline_requests_total{$i}[$__rate_interval]))", "requests"),
                lines("Payload committed", BytesPerSecond, "Of messages.")
                    .query("sum(rate(wardline_published_bytes_total{$i}[$__rate_interval]))", "payload"),
                lines("Bytes that wait", Bytes, "To be committed.")
                    .query("sum(wardline_queue_bytes{$i})", "waiting").query("sum(wardline_queue_bytes_max{$i})", "most"),
            ]),
        ],
    }
}
