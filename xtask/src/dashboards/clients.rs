//! Clients and QUIC: who connects, who is refused, how the network is.
//!
//! Beside them what decides whether somebody gets in: shares, issuers, tokens and the process.

use super::panel::Unit::{Bytes, Count, PerSecond, Seconds, Share};
use super::panel::{Dashboard, Panel, lines};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "clients",
        title: "clients and QUIC",
        about: "Who connects, who is refused and why, and how is the network?",
        rows: vec![
            ("Connections", vec![
                lines("Connections and sessions", Count, "A connection becomes a session when its token was accepted.")
                    .query("sum(wardline_connections{$i})", "connections").query("sum(wardline_sessions{$i})", "sessions")
                    .query("sum(wardline_connections_max{$i})", "most connections"),
                lines("Handshakes", PerSecond, "By how they ended.")
                    .query("sum by (result) (rate(wardline_handshakes_total{$i}[$__rate_interval]))", "{{result}}"),
                lines("Time of a handshake", Seconds, "Of those that succeeded in the last five minutes.")
                    .query("histogram_quantile(0.5, sum by (le) (rate(wardline_handshake_seconds_bucket{$i}[5m])))", "p50")
                    .query("histogram_quantile(0.99, sum by (le) (rate(wardline_handshake_seconds_bucket{$i}[5m])))", "p99"),
                lines("After a crash", Count, "Clients that the broker can tell of its crash when it starts again; those of the one before that are still to be told.")
                    .query("sum(wardline_roll_entries{$i})", "on the roll").query("sum(wardline_resets_due{$i})", "to be told"),
                lines("Told after a crash", PerSecond, "Stateless resets to clients of the broker before, and connections that could not be noted.")
                    .query("sum(rate(wardline_resets_sent_total{$i}[$__rate_interval]))", "told")
                    .query("sum(rate(wardline_roll_failures_total{$i}[$__rate_interval]))", "not noted"),
                lines("Sessions opened", PerSecond, "Many for long: clients connect again and again.")
                    .query("sum(rate(wardline_sessions_opened_total{$i}[$__rate_interval]))", "opened"),
                lines("Sessions ended", PerSecond, "By reason; those that occur. left: by the client or the network.")
                    .query("sum by (reason) (rate(wardline_sessions_ended_total{$i}[$__rate_interval])) > 0 or label_replace(sum(rate(wardline_sessions_ended_total{$i}[$__rate_interval])), \"reason\", \"all\", \"\", \"\")", "{{reason}}"),
                lines("Refusals", PerSecond, "By code; those that occur.")
                    .query("sum by (code) (rate(wardline_refusals_total{$i}[$__rate_interval])) > 0 or label_replace(sum(rate(wardline_refusals_total{$i}[$__rate_interval])), \"code\", \"all\", \"\", \"\")", "{{code}}"),
                lines("Beyond a bound", Count, "Sessions that do not follow all conversations of their user, and devices of an hour that had given way to others. Both are told.")
                    .query("sum(wardline_sessions_partial{$i})", "follow in part")
                    .query("sum(increase(wardline_devices_gave_way_total{$i}[1h]))", "gave way"),
            ]),
            ("Shares", shares()),
            ("The patients' record", record()),
            ("Network", vec![
                lines("Round-trip time", Seconds, "One observation for each connection every 30 s.")
                    .query("histogram_quantile(0.5, sum by (le) (rate(wardline_quic_rtt_seconds_bucket{$i}[5m])))", "p50")
                    .query("histogram_quantile(0.99, sum by (le) (rate(wardline_quic_rtt_seconds_bucket{$i}[5m])))", "p99"),
                lines("Packets lost", Share, "Of those sent to clients. QUIC sends them again.")
                    .query("sum(rate(wardline_quic_packets_lost_total{$i}[5m])) / (sum(rate(wardline_quic_packets_sent_total{$i}[5m])) > 0)", "lost").limits(0.02, 0.05),
                lines("Packets", PerSecond, "Sent, and times that a connection had to slow down.")
                    .query("sum(rate(wardline_quic_packets_sent_total{$i}[5m]))", "sent")
                    .query("sum(rate(wardline_quic_congestion_events_total{$i}[5m]))", "slowed down"),
                lines("Packets dropped by the kernel", PerSecond, "The receive buffer was full: net.core.rmem_max, or too little processor time.")
                    .query("sum(rate(wardline_udp_received_dropped_total{$i}[$__rate_interval]))", "dropped").limits(1.0, 10.0),
                lines("Receive buffer", Bytes, "Bytes that wait in it.").query("max(wardline_udp_receive_queue_bytes{$i})", "waiting"),
                lines("Stalled sessions", Count, "The client has taken nothing for a second, and something waits.")
                    .query("sum(wardline_sessions_stalled{$i})", "stalled").limits(5.0, 10.0),
            ]),
            ("Issuers", issuers()),
            ("Tokens, clocks, process", vec![
                lines("Tokens from the future", Seconds, "How far the latest token's begin lay ahead: the issuer's clock is fast, or ours slow.")
                    .query("max(wardline_token_ahead_seconds{$i})", "ahead").limits(1.0, 10.0),
                lines("File descriptors", Count, "In use, and their limit.")
                    .query("sum(process_open_fds{job=\"wardline\", $i})", "open").query("sum(process_max_fds{job=\"wardline\", $i})", "limit"),
                lines("Memory", Bytes, "Of the process.")
                    .query("sum(process_resident_memory_bytes{job=\"wardline\", $i})", "resident")
                    .query("sum(process_virtual_memory_bytes{job=\"wardline\", $i})", "virtual"),
                lines("Threads", Count, "Of the process.").query("sum(process_threads{job=\"wardline\", $i})", "threads"),
                lines("Draining", Count, "1 while the broker stops.").query("max(wardline_draining{$i})", "draining"),
                lines("Time since the start", Seconds, "Of each broker.")
                    .query("time() - process_start_time_seconds{job=\"wardline\", $i}", "{{instance}}"),
                lines("Token keys, revocations", Count, "Keys that tokens may be signed with, entries of the set that are none, and revocations in force.")
                    .query("max(wardline_token_keys{$i})", "keys").query("max(wardline_token_keys_left_out{$i})", "left out")
                    .query("max(wardline_revocations{$i})", "revocations"),
            ]),
        ],
    }
}

/// What each user has of what is scarce.
fn shares() -> Vec<Panel> {
    vec![
        lines("Shares used up", PerSecond, "Times that a user was told that their own share is used up, by what it is of. Others do not feel it.")
            .query("sum by (kind) (rate(wardline_shares_used_up_total{$i}[$__rate_interval]))", "{{kind}}").limits(1.0, 10.0),
        lines("Answers in memory", Bytes, "Made and not written yet: clients do not read them as fast as they ask.")
            .query("sum(wardline_pages_bytes{$i})", "held").query("sum(wardline_pages_bytes_max{$i})", "most"),
    ]
}

/// What registrars say of the patients' record.
fn record() -> Vec<Panel> {
    vec![
        lines("Source events", PerSecond, "Of the patients' record, by what came of them. late: a later word was known; repeated: the same event was heard before.")
            .query("sum by (effect) (rate(wardline_record_events_total{$i}[$__rate_interval]))", "{{effect}}"),
        lines("Odd source events", PerSecond, "unknown: of what nobody spoke of before; ahead: of the broker's clock; disputed: a number is another patient's; bed: somebody else is in it.")
            .query("sum by (oddity) (rate(wardline_record_oddities_total{$i}[$__rate_interval]))", "{{oddity}}"),
    ]
}

/// Those that are asked over HTTPS, and what they say has ended.
fn issuers() -> Vec<Panel> {
    vec![
        lines("Age of issuers' keys", Seconds, "Of the issuer whose keys were read longest ago, and how old they may become while it is silent.")
            .query("max(wardline_issuer_keys_age_seconds{$i})", "age").query("max(wardline_issuer_keys_kept_seconds{$i})", "at most"),
        lines("Issuers", Count, "That are asked over HTTPS, and of which no key is known.")
            .query("max(wardline_issuers{$i})", "issuers").query("max(wardline_issuers_without_keys{$i})", "without keys").limits(1.0, 1.0),
        lines("Readings of keys", PerSecond, "By what came of them.")
            .query("sum by (result) (rate(wardline_issuer_fetches_total{$i}[5m]))", "{{result}}"),
        lines("Tokens with an unknown key", PerSecond, "Early readings of keys for their sake, and those that were held back.")
            .query("sum(rate(wardline_issuer_early_fetches_total{$i}[5m]))", "read").query("sum(rate(wardline_issuer_early_fetches_held_total{$i}[5m]))", "held back"),
        lines("Questions about tokens", PerSecond, "To issuers that want to be asked, by the answer. graced: none, which is taken for a yes for a while.")
            .query("sum by (result) (rate(wardline_introspections_total{$i}[5m]))", "{{result}}"),
        lines("Silence about tokens", Seconds, "How long an issuer has not answered, and how long that is taken for a yes.")
            .query("max(wardline_introspection_silent_seconds{$i})", "silent").query("max(wardline_introspection_grace_seconds{$i})", "grace"),
        lines("Logout tokens", PerSecond, "By what came of them.")
            .query("sum by (result) (rate(wardline_logouts_total{$i}[5m]))", "{{result}}"),
        lines("Time spent on logout tokens", Seconds, "In each second, until their sessions are ended.")
            .query("sum(rate(wardline_sign_out_seconds_sum{$i}[5m]))", "spent"),
        lines("Ended sign-ins", Count, "That are on record, since a token of them may be good still.")
            .query("max(wardline_sign_outs{$i})", "on record"),
    ]
}
