//! Overview: is it well, do messages flow, what is at its limit?
//!
//! The first thing that somebody on call looks at. The top row is green or it is not; below are the
//! golden signals (traffic, latency, errors, saturation), then how near each bound is.

use super::panel::Unit::{Bytes, Count, Moment, PerSecond, Seconds, Share};
use super::panel::{Dashboard, figure, lines};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "overview",
        title: "overview",
        about: "Is it well, do messages flow, what is at its limit?",
        rows: vec![
            ("Is it well?", vec![
                figure("Brokers up", Count, "Brokers that answer Prometheus, of those it knows.")
                    .query("count(up{job=\"wardline\", $i} == 1) or vector(0)", "up")
                    .query("count(up{job=\"wardline\", $i})", "known")
                    .limits(1.0, 0.5),
                figure("Ready", Count, "1: takes clients. 0: draining, or /readyz says what is wrong.")
                    .query("min(wardline_ready{$i})", "ready").limits(1.0, 0.5),
                figure("Alerts", Count, "Wardline's alerts that fire now.")
                    .query("count(ALERTS{alertname=~\"Wardline.*\", alertstate=\"firing\"}) or vector(0)", "alerts").limits(1.0, 2.0),
                figure("Sessions", Count, "Devices with an open session.").query("sum(wardline_sessions{$i})", "sessions"),
                figure("Messages", PerSecond, "Committed: on disk.")
                    .query("sum(rate(wardline_published_total{$i}[$__rate_interval]))", "messages"),
                figure("Deliveries", PerSecond, "Sent to devices.")
                    .query("sum(rate(wardline_deliveries_total{source!=\"urgent\", $i}[$__rate_interval]))", "deliveries"),
                figure("Disk free", Share, "Of the data disk. Below storage.reserve messages are refused.")
                    .query("min(wardline_disk_free_bytes{$i} / wardline_disk_size_bytes{$i})", "free").limits(0.2, 0.1).up_to(1.0),
                figure("Certificate ends", Moment, "After that nobody can connect.")
                    .query("min(wardline_certificate_expires_timestamp_seconds{$i}) * 1000", "ends"),
            ]),
            ("Do messages flow?", vec![
                lines("Messages and receipts", PerSecond, "Committed, that is on disk.")
                    .query("sum by (priority) (rate(wardline_published_total{$i}[$__rate_interval]))", "{{priority}} messages")
                    .query("sum(rate(wardline_receipts_total{$i}[$__rate_interval]))", "receipts"),
                lines("Time to the acknowledgement", Seconds, "From taking a command in until it is on disk; the command of each group that waited longest.")
                    .percentiles("wardline_ack_seconds", "").limits(0.2, 0.5),
                lines("Time to connected devices", Seconds, "From publishing until the receipt of a device that was connected, 99th percentile.")
                    .query("histogram_quantile(0.99, sum by (priority, le) (rate(wardline_publish_to_delivered_seconds_bucket{$i}[$__rate_interval])))", "{{priority}} p99")
                    .limits(1.0, 2.0),
                lines("Refusals", PerSecond, "Requests and sessions refused, by code; those that occur.")
                    .query("sum by (code) (rate(wardline_refusals_total{$i}[$__rate_interval])) > 0 or label_replace(sum(rate(wardline_refusals_total{$i}[$__rate_interval])), \"code\", \"all\", \"\", \"\")", "{{code}}"),
                lines("Warnings and errors logged", PerSecond, "Each has a code in the log. Dropped: lines of any kind that nobody took.")
                    .query("sum by (level) (rate(wardline_log_events_total{$i}[$__rate_interval]))", "{{level}}")
                    .query("sum(rate(wardline_log_lines_dropped_total{$i}[$__rate_interval]))", "dropped"),
                lines("Sessions that do not keep up", Count, "Stalled: the client takes nothing. Behind: catches up from the store.")
                    .query("sum(wardline_sessions_stalled{$i})", "stalled")
                    .query("sum(wardline_sessions_behind{$i})", "behind"),
            ]),
            ("What is at its limit?", vec![
                lines("How full", Share, "Each bound's use, of 1.")
                    .query("max(instance:wardline_queue:fullness{$i})", "queue of commands")
                    .query("max(wardline_connections{$i} / wardline_connections_max{$i})", "connections")
                    .query("max(wardline_tail_bytes{$i} / wardline_tail_bytes_max{$i})", "memory for recent messages")
                    .query("max(process_open_fds{job=\"wardline\", $i} / process_max_fds{job=\"wardline\", $i})", "file descriptors")
                    .query("max(1 - wardline_disk_free_bytes{$i} / wardline_disk_size_bytes{$i})", "disk")
                    .limits(0.7, 0.9).up_to(1.0),
                lines("Processor", Count, "Cores in use.")
                    .query("sum by (instance) (rate(process_cpu_seconds_total{job=\"wardline\", $i}[$__rate_interval]))", "{{instance}}"),
                lines("Memory", Bytes, "Resident.")
                    .query("sum by (instance) (process_resident_memory_bytes{job=\"wardline\", $i})", "{{instance}}"),
                lines("Commands that wait", Count, "To be committed; full: clients are told to come back later.")
                    .query("sum(wardline_queue_commands{$i})", "waiting").query("sum(wardline_queue_commands_max{$i})", "most"),
                lines("Clock", Seconds, "How far the system's clock was moved since the start, and the broker's time held back.")
                    .query("max(abs(wardline_clock_moved_seconds{$i}))", "moved").query("max(wardline_clock_held_seconds{$i})", "held"),
                lines("Cost of being watched", Seconds, "Time to make a page of metrics.")
                    .query("max(wardline_scrape_duration_seconds{$i})", "page"),
            ]),
        ],
    }
}
