//! The bridge to the record: do the senders send, is what they send taken, and how soon?
//!
//! By sender, as the operator named them. A broker fills none of it.

use super::panel::Unit::{Bytes, Count, Moment, PerSecond, Seconds};
use super::panel::{Dashboard, figure, lines};

/// The dashboard's name.
pub const NAME: &str = "bridge";

pub(super) fn dashboard() -> Dashboard {
    #[rustfmt::skip] // One line a query: it is a table.
    let rows = vec![
        ("Is it well?", vec![
            figure("Bridges up", Count, "Bridges that answer Prometheus, of those it knows.")
                .query("count(up{job=\"wardline-ehr\"} == 1) or vector(0)", "up").query("count(up{job=\"wardline-ehr\"})", "known").limits(1.0, 0.5),
            figure("Ready", Count, "1: what senders send is done. 0: they are answered AE.").query("min(wardline_ehr_ready)", "ready").limits(1.0, 0.5),
            figure("At the broker", Count, "1: there is a session at the broker.").query("min(wardline_ehr_broker_connected)", "connected").limits(1.0, 0.5),
            figure("Senders", Count, "Connections of senders.").query("sum(wardline_ehr_connections)", "connected"),
            figure("Messages", PerSecond, "HL7 messages that came.").query("sum(rate(wardline_ehr_messages_total[$__rate_interval]))", "messages"),
            figure("Refused", PerSecond, "Answered AR: they never will be done.").query("sum(rate(wardline_ehr_messages_total{outcome=\"refused\"}[$__rate_interval]))", "refused"),
            figure("Token ends", Moment, "Of the token endpoint's token; a new one comes before.").query("min(wardline_ehr_token_expires_timestamp_seconds) * 1000", "ends"),
            figure("Certificate ends", Moment, "After that no sender comes in by TLS.").query("min(wardline_ehr_certificate_expires_timestamp_seconds) * 1000", "ends"),
        ]),
        ("What comes, and what becomes of it", vec![
            lines("Messages by sender", PerSecond, "HL7 messages that came.").query("sum by (sender) (rate(wardline_ehr_messages_total[$__rate_interval]))", "{{sender}}"),
            lines("Messages by outcome", PerSecond, "What was answered.").query("sum by (outcome) (rate(wardline_ehr_messages_total[$__rate_interval]))", "{{outcome}}"),
            lines("Silent for", Seconds, "Since the last message. A sender that is mute for longer than it ever is, is down.").query("time() - max by (sender) (wardline_ehr_last_message_timestamp_seconds)", "{{sender}}"),
            lines("Commands", PerSecond, "What events came to at the broker. Late and repeated ones change nothing.").query("sum by (result) (rate(wardline_ehr_commands_total[$__rate_interval]))", "{{result}}"),
            lines("Refusals by reason", PerSecond, "Messages that could not be read as HL7 wants it.").query("sum by (sender, reason) (rate(wardline_ehr_refusals_total[$__rate_interval]))", "{{sender}} {{reason}}"),
            lines("Worth a look", PerSecond, "Events that were taken, and are odd: a bed that two have, an identifier of another patient, a clock that is ahead.")
                .query("sum by (sender, what) (rate(wardline_ehr_odd_events_total[$__rate_interval]))", "{{sender}} {{what}}")
                .query("sum by (sender) (rate(wardline_ehr_identifiers_left_out_total[$__rate_interval]))", "{{sender}} identifiers left out")
                .query("sum by (sender) (rate(wardline_ehr_results_passed_over_total[$__rate_interval]))", "{{sender}} results passed over"),
        ]),
        ("How soon, and how full", vec![
            lines("Time to the answer", Seconds, "From a whole message until its answer was written, 99th percentile.")
                .query("histogram_quantile(0.99, sum by (sender, le) (rate(wardline_ehr_answer_seconds_bucket[$__rate_interval])))", "{{sender}}").limits(1.0, 5.0),
            lines("Time at the broker", Seconds, "Until an event was durable, or was refused, 99th percentile.")
                .query("histogram_quantile(0.99, sum by (sender, le) (rate(wardline_ehr_apply_seconds_bucket[$__rate_interval])))", "{{sender}}").limits(1.0, 5.0),
            lines("Under way", Count, "Messages that were read and are not answered.").query("sum by (sender) (wardline_ehr_messages_under_way)", "{{sender}}"),
            lines("Connections that ended", PerSecond, "By why. Unread: a sender that takes no answers. Slow: a message without its end.")
                .query("sum by (sender, reason) (rate(wardline_ehr_connections_ended_total[$__rate_interval]))", "{{sender}} {{reason}}")
                .query("sum by (sender, result) (rate(wardline_ehr_connections_total{result!=\"accepted\"}[$__rate_interval]))", "{{sender}} {{result}}"),
            lines("Odd bytes", PerSecond, "Messages that were cut off or too long, and bytes between messages.").query("sum by (sender, sort) (rate(wardline_ehr_odd_blocks_total[$__rate_interval]))", "{{sender}} {{sort}}"),
            lines("Large messages", Bytes, "What messages over 16 KiB in hand may take up.").query("sum by (sender) (wardline_ehr_in_hand_bytes)", "{{sender}}"),
            lines("Tokens asked for", PerSecond, "At the token endpoint.").query("sum by (result) (rate(wardline_ehr_token_fetches_total[$__rate_interval]))", "{{result}}"),
            lines("Warnings and errors logged", PerSecond, "Each has a code in the log. Dropped: lines that nobody took.")
                .query("sum by (level) (rate(wardline_ehr_log_events_total[$__rate_interval]))", "{{level}}")
                .query("sum(wardline_ehr_log_lines_dropped)", "dropped so far"),
            lines("Memory", Bytes, "Of the bridge's process.").query("sum(process_resident_memory_bytes{job=\"wardline-ehr\"})", "resident"),
        ]),
    ];
    Dashboard {
        name: NAME,
        title: "bridge to the record",
        about: "Do the senders send, is what they send taken, and how soon?",
        rows,
    }
}
