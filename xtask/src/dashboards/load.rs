//! Load test: what the load generator offers and sees, beside what the broker says.
//!
//! The generator serves its figures with `wardline-loadgen run … --metrics 127.0.0.1:9434`.
//! Latencies are those of the last second.

use super::panel::Unit::{Bytes, Count, PerSecond, Seconds};
use super::panel::{Dashboard, lines};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "load-test",
        title: "load test",
        about: "What the load generator offers and sees, beside what the broker says.",
        rows: vec![
            (
                "The generator",
                vec![
                    lines("Offered, acknowledged, failed", PerSecond, "Messages.")
                        .query("sum(rate(wardline_loadgen_offered_total[$__rate_interval]))", "offered")
                        .query("sum(rate(wardline_loadgen_acked_total[$__rate_interval]))", "acknowledged")
                        .query("sum(rate(wardline_loadgen_failed_total[$__rate_interval]))", "failed"),
                    lines("Delivered", PerSecond, "Messages taken from inboxes.")
                        .query("sum(rate(wardline_loadgen_delivered_total[$__rate_interval]))", "generator")
                        .query(
                            "sum(rate(wardline_deliveries_total{source!=\"urgent\", $i}[$__rate_interval]))",
                            "broker",
                        ),
                    lines("Backlog", Count, "Due and not acknowledged; deliveries still to come.")
                        .query("sum(wardline_loadgen_backlog)", "to be acknowledged")
                        .query("sum(wardline_loadgen_outstanding)", "to be delivered"),
                    lines("Latency seen by clients, p50", Seconds, "From the intended time, last second.")
                        .query(
                            "max by (what) (wardline_loadgen_latency_seconds{quantile=\"0.5\"})",
                            "{{what}}",
                        ),
                    lines("Latency seen by clients, p99", Seconds, "From the intended time, last second.")
                        .query(
                            "max by (what) (wardline_loadgen_latency_seconds{quantile=\"0.99\"})",
                            "{{what}}",
                        ),
                    lines(
                        "Sent late by the generator",
                        Seconds,
                        "99th percentile of the last second. Over 5 ms the generator is the bottleneck.",
                    )
                    .query(
                        "max(wardline_loadgen_latency_seconds{what=\"late_send\", quantile=\"0.99\"})",
                        "late",
                    )
                    .limits(0.002, 0.005),
                ],
            ),
            (
                "The broker meanwhile",
                vec![
                    lines("Time to the acknowledgement", Seconds, "As the broker sees it.")
                        .percentiles("wardline_ack_seconds", ""),
                    lines("Time of a commit", Seconds, "Write and sync.")
                        .percentiles("wardline_commit_seconds", ""),
                    lines("Commands that wait", Count, "To be committed.")
                        .query("sum(wardline_queue_commands{$i})", "waiting"),
                    lines("Processor", Count, "Cores in use.")
                        .query(
                            "sum(rate(process_cpu_seconds_total{job=\"wardline\", $i}[$__rate_interval]))",
                            "broker",
                        )
                        .query("sum(wardline_loadgen_cores)", "generator"),
                    lines("Memory", Bytes, "Resident.")
                        .query("sum(process_resident_memory_bytes{job=\"wardline\", $i})", "broker")
                        .query("sum(wardline_loadgen_resident_bytes)", "generator"),
                    lines("Sessions", Count, "Open.").query("sum(wardline_sessions{$i})", "sessions"),
                ],
            ),
        ],
    }
}
