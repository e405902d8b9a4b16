//! The table of the broker's own metrics: name, meaning, labels, and the field that has the handle.
//!
//! The one place where they are named. `docs/metrics.md` repeats it for readers, with the alerts
//! that use each; a test holds the two, the dashboards and the alerts together. The store's figures
//! come from the engine (`operator::gather`), those of the process from `metrics-process`.

use metrics::{Counter, Gauge, Histogram};

use super::kind::Kind;
use crate::refusal::Code;

macro_rules! table {
    (
        plain { $($plain:ident: $kind:ident = $name:literal, $meaning:literal;)* }
        labelled { $($family:ident $family_name:literal by $label:literal, $family_meaning:literal {
            $($field:ident = $value:literal),* $(,)?
        })* }
        by_result { $($by:ident = $by_name:literal of $results:ident, $by_meaning:literal;)* }
        by_code { $($each:ident = $each_name:literal by $each_label:literal, $each_meaning:literal;)* }
    ) => {
        /// The broker's metric handles.
        pub(crate) struct Metrics {
            $(#[doc = $meaning] pub(crate) $plain: $kind,)*
            $($(
                #[doc = $family_meaning]
                #[doc = concat!("Here: `", $value, "`.")]
                pub(crate) $field: $family,
            )*)*
            $(#[doc = $by_meaning] pub(super) $by: Vec<Counter>,)*
            $(#[doc = $each_meaning] pub(super) $each: Vec<Counter>,)*
        }

        impl Metrics {
            /// Describes and resolves all of them with the recorder that is installed.
            pub(crate) fn new() -> Self {
                $($kind::describe($name, $meaning);)*
                $($family::describe($family_name, $family_meaning);)*
                $(Counter::describe($by_name, $by_meaning);)*
                $(Counter::describe($each_name, $each_meaning);)*
                Self {
                    $($plain: $kind::resolve($name, &[]),)*
                    $($($field: $family::resolve($family_name, &[($label, $value)]),)*)*
                    $($by: by_result($by_name, &$results),)*
                    $($each: by_code($each_name, $each_label),)*
                }
            }
        }
    };
}

/// What comes of asking an issuer for its keys.
pub(super) const FETCH_RESULTS: [&str; 12] = [
    "ok",
    "unreachable",
    "tls",
    "late",
    "redirected",
    "status",
    "too_long",
    "broken",
    "not_json",
    "other_issuer",
    "no_address",
    "no_key",
];

fn by_result(name: &'static str, results: &[&'static str]) -> Vec<Counter> {
    results.iter().map(|result| Counter::resolve(name, &[("result", *result)])).collect()
}

fn by_code(name: &'static str, label: &'static str) -> Vec<Counter> {
    Code::ALL.iter().map(|code| Counter::resolve(name, &[(label, code.label())])).collect()
}

table! {
    plain {
        // Whether it is well.
        ready: Gauge = "wardline_ready", "1 while /readyz says yes: not draining, room on the disk, and the last look at the log and the disk went well.";
        draining: Gauge = "wardline_draining", "1 from the signal to stop until the process ends.";
        certificate_expires: Gauge = "wardline_certificate_expires_timestamp_seconds", "Until when the server's certificate is valid, in seconds since 1970.";

        // Clients.
        connections: Gauge = "wardline_connections", "Connections open now, from the beginning of the handshake.";
        connections_max: Gauge = "wardline_connections_max", "Most connections that are taken (limits.connections).";
        roll_entries: Gauge = "wardline_roll_entries", "Connections on the roll: those that a broker that starts after a crash can tell of it.";
        roll_failures: Counter = "wardline_roll_failures_total", "Connections that found no room on the roll, and times that it could not be written: their clients find out by themselves.";
        resets_due: Gauge = "wardline_resets_due", "Clients of the broker before that are still to be told, by a stateless reset, to connect again.";
        resets_sent: Counter = "wardline_resets_sent_total", "Stateless resets sent to clients of the broker before, two for each.";
        handshake_seconds: Histogram = "wardline_handshake_seconds", "Time of a QUIC handshake that succeeded.";
        sessions: Gauge = "wardline_sessions", "Sessions open now: connections whose token was accepted.";
        sessions_opened: Counter = "wardline_sessions_opened_total", "Sessions opened.";
        sessions_stalled: Gauge = "wardline_sessions_stalled", "Sessions whose client has taken nothing for a second while something waits to be written to it.";
        sessions_behind: Gauge = "wardline_sessions_behind", "Sessions that have a conversation to be read from the store, because the tail does not reach back to where they are.";
        sessions_partial: Gauge = "wardline_sessions_partial", "Sessions whose user is a member of more conversations than one session follows (limits.conversations): of the others only urgent messages come, and the client is told.";
        devices_gave_way: Counter = "wardline_devices_gave_way_total", "Sessions of devices that were not on record while devices of their user had given way to others before (limits.devices): they were told, and got what was published since.";
        token_ahead: Gauge = "wardline_token_ahead_seconds", "How far the begin (nbf) of the latest token lay ahead of the broker's clock; 0: not at all. Tells of the issuer's clock or ours.";
        token_keys: Gauge = "wardline_token_keys", "Keys that tokens may be signed with.";
        token_keys_left_out: Gauge = "wardline_token_keys_left_out", "Entries of auth.jwks that are no such keys; wardline check-config says why.";
        revocations: Gauge = "wardline_revocations", "Revocations in force (wardline revoke --list).";
        sign_outs: Gauge = "wardline_sign_outs", "Sign-ins that issuers have ended by logout tokens, and of which a token may be good still.";
        sign_out_seconds: Histogram = "wardline_sign_out_seconds", "Time from a logout token's arrival until the sessions that it ends are sent nothing more.";
        issuers: Gauge = "wardline_issuers", "Issuers that are asked over HTTPS.";
        issuers_without_keys: Gauge = "wardline_issuers_without_keys", "Those of them whose keys are not known: nobody comes in by their tokens.";
        issuer_keys_age: Gauge = "wardline_issuer_keys_age_seconds", "How long ago an issuer's keys were last read, of the issuer where it is longest; one that was never read counts from the start.";
        issuer_keys_kept: Gauge = "wardline_issuer_keys_kept_seconds", "How old an issuer's keys may become while it is silent (auth.keys_kept).";
        early_fetches: Counter = "wardline_issuer_early_fetches_total", "Times that an issuer's keys were read before they were due, since a token named a key that is not known.";
        early_fetches_held: Counter = "wardline_issuer_early_fetches_held_total", "Tokens with a key that is not known for which nothing was read, since that was done just before.";
        introspection_silent: Gauge = "wardline_introspection_silent_seconds", "For how long an issuer has not answered about tokens, of the issuer where it is longest.";
        introspection_grace: Gauge = "wardline_introspection_grace_seconds", "How long an issuer's silence about tokens is taken for a yes (auth.introspect_grace); 0: no issuer is asked.";
        packets_sent: Counter = "wardline_quic_packets_sent_total", "QUIC packets sent. Added for each connection every 30 s and at its end.";
        packets_lost: Counter = "wardline_quic_packets_lost_total", "QUIC packets sent that were taken for lost. Added as above.";
        congestion_events: Counter = "wardline_quic_congestion_events_total", "Times that a connection had to slow down for the network. Added as above.";
        rtt_seconds: Histogram = "wardline_quic_rtt_seconds", "Round-trip time of a connection: one observation for each every 30 s and at its end.";
        udp_dropped: Counter = "wardline_udp_received_dropped_total", "Packets that the kernel dropped because the socket's receive buffer was full.";
        udp_queue_bytes: Gauge = "wardline_udp_receive_queue_bytes", "Bytes that wait in the socket's receive buffer.";

        // Taking in and committing.
        requests: Counter = "wardline_requests_total", "Requests taken in.";
        published_bytes: Counter = "wardline_published_bytes_total", "Payload bytes of messages committed.";
        group_commands: Histogram = "wardline_commit_group_commands", "Commands committed with one sync.";
        apply_seconds: Histogram = "wardline_apply_seconds", "Time to decide the commands of a group.";
        commit_seconds: Histogram = "wardline_commit_seconds", "Time to write a group to the store, its sync included.";
        applied_position: Gauge = "wardline_applied_position", "How many commands the store has applied.";
        applied_time: Gauge = "wardline_applied_timestamp_seconds", "The time of the last commands that the store has applied, in seconds since 1970: expiry and reclaiming go by it.";
        queue_commands: Gauge = "wardline_queue_commands", "Commands that wait to be committed.";
        queue_commands_max: Gauge = "wardline_queue_commands_max", "Most commands that may wait (limits.waiting_commands).";
        queue_bytes: Gauge = "wardline_queue_bytes", "Bytes of commands that wait to be committed.";
        queue_bytes_max: Gauge = "wardline_queue_bytes_max", "Most bytes of commands that may wait (limits.waiting_bytes).";

        // Delivering.
        receipts_pushed: Counter = "wardline_receipts_pushed_total", "Receipts pushed to those who published.";
        lag_entries: Histogram = "wardline_lag_entries", "How far behind a conversation's head a device was when its next entries were read from the store: one observation for each such read.";
        pages_bytes: Gauge = "wardline_pages_bytes", "Bytes of answers in memory: made, and not written yet.";
        pages_bytes_max: Gauge = "wardline_pages_bytes_max", "Most bytes of answers in memory (limits.pages).";
        topics: Gauge = "wardline_topics", "Conversations that a connected session follows.";
        tail_bytes: Gauge = "wardline_tail_bytes", "Bytes of recent messages kept in memory.";
        tail_bytes_max: Gauge = "wardline_tail_bytes_max", "Most bytes of recent messages in memory (limits.tails).";
        reads_max: Gauge = "wardline_reads_max", "Most reads of the store at the same time for each purpose (limits.catch_up_reads).";
        turns_waiting: Gauge = "wardline_turns_waiting", "Tasks of connections (taking in and sending packets, delivering) that wait for their turn.";

        // Keeping and forgetting.
        retention_bound_seconds: Gauge = "wardline_retention_bound_seconds", "Expired bytes are gone from every file within this time (twice retention.reclaim_every).";
        retention_oldest_seconds: Gauge = "wardline_retention_oldest_unreclaimed_seconds", "How long the oldest expired, replaced or deleted bytes have been waiting to be reclaimed.";
        reclaimed_records: Counter = "wardline_reclaimed_records_total", "Expired records dropped from the store's files.";
        reclaimed_bytes: Counter = "wardline_reclaimed_bytes_total", "Bytes of expired records dropped from the store's files.";
        reclaim_failures: Counter = "wardline_reclaim_failures_total", "Runs of reclaiming that failed.";
        reclaim_seconds: Gauge = "wardline_reclaim_duration_seconds", "How long the last run of reclaiming took.";

        // The machine.
        disk_free_bytes: Gauge = "wardline_disk_free_bytes", "Free bytes on the store's file system, for the broker's user.";
        disk_size_bytes: Gauge = "wardline_disk_size_bytes", "Size of the store's file system.";
        disk_reserve_bytes: Gauge = "wardline_disk_reserve_bytes", "Messages are refused while less than this is free (storage.reserve), or the ballast is not whole beside it.";
        disk_full: Gauge = "wardline_disk_full", "1 while messages are refused for lack of room on the disk; control commands are taken in.";
        disk_ballast_bytes: Gauge = "wardline_disk_ballast_bytes", "Room that the ballast keeps on the disk, for control commands and for a restart while the disk is full.";
        disk_ballast_size_bytes: Gauge = "wardline_disk_ballast_size_bytes", "Room that the ballast should keep (storage.ballast); what it has less is in use, or was never there.";
        clock_held_seconds: Gauge = "wardline_clock_held_seconds", "How far the broker's time and the system's clock are apart, because that was set back, or moved by more than a minute at once, which is not followed.";
        clock_behind_seconds: Gauge = "wardline_clock_behind_seconds", "How far the broker's clock is behind what the store had reached at start; as long as it is not 0, time stands still, and messages are kept longer by as much.";
        clock_moved_seconds: Gauge = "wardline_clock_moved_seconds", "How far the system's clock was moved against the monotonic clock since the broker started.";
    }
    labelled {
        Counter "wardline_handshakes_total" by "result", "Handshakes, by how they ended; retried: the client was asked to prove its address first, and counts again when it does." {
            handshakes_accepted = "accepted",
            handshakes_failed = "failed",
            handshakes_timed_out = "timed_out",
            handshakes_retried = "retried",
            handshakes_crowded = "too_many_handshakes",
            handshakes_full = "too_many_connections",
            handshakes_strangers = "too_many_strangers",
        }
        Counter "wardline_shares_used_up_total" by "kind", "Times that a user was told that their share of something is used up (RESOURCE_EXHAUSTED): sessions, reads, pages (answers left unread), commands (waiting to be committed), people (brought into conversations); or was read from more slowly: work (what their requests cost)." {
            shares_sessions = "sessions",
            shares_reads = "reads",
            shares_pages = "pages",
            shares_commands = "commands",
            shares_people = "people",
            shares_work = "work",
        }
        Counter "wardline_sessions_ended_total" by "reason", "Sessions ended, by why: the broker's code; left: the client went, or its connection was lost." {
            sessions_left = "left",
        }
        Counter "wardline_introspections_total" by "result", "Questions to issuers whether a token is active, by the answer; graced: none, which is taken for a yes for a while; silent: none for too long, so nobody was let in or stays by that token." {
            introspections_active = "active",
            introspections_inactive = "inactive",
            introspections_graced = "graced",
            introspections_silent = "silent",
        }
        Counter "wardline_logouts_total" by "result", "Logout tokens that came, by what came of them; nobody: there was no session to end; replayed: it was used before; not_on_record: sessions were ended, but a restart would forget it." {
            logouts_done = "ended",
            logouts_of_nobody = "nobody",
            logouts_malformed = "malformed",
            logouts_refused = "refused",
            logouts_replayed = "replayed",
            logouts_crowded = "crowded",
            logouts_not_on_record = "not_on_record",
        }
        Counter "wardline_record_events_total" by "effect", "Source events of the patients' record that were heard, by what came of them; late: a later word on all that they say was known; repeated: the same event was heard before." {
            record_changed = "changed",
            record_unchanged = "unchanged",
            record_late = "late",
            record_repeated = "repeated",
        }
        Counter "wardline_record_oddities_total" by "oddity", "Source events that were heard and are odd: unknown (the encounter, patient, roster or team was not known before), ahead (of the broker's clock), disputed (a number is that of another patient), bed (another encounter is in the same one)." {
            record_unknown = "unknown",
            record_ahead = "ahead",
            record_disputed = "disputed",
            record_bed = "bed",
        }
        Counter "wardline_published_total" by "priority", "Messages committed." {
            published_routine = "routine",
            published_urgent = "urgent",
        }
        Counter "wardline_receipts_total" by "kind", "Receipts committed: watermarks (delivered, read), and single urgent messages ahead of them (delivered_only, read_only)." {
            receipts_delivered = "delivered",
            receipts_read = "read",
            receipts_delivered_only = "delivered_only",
            receipts_read_only = "read_only",
        }
        Histogram "wardline_ack_seconds" by "priority", "Time from taking a command in until it is durable and acknowledged: one observation for each commit group, of the command that waited longest." {
            routine_ack = "routine",
            urgent_ack = "urgent",
        }
        Histogram "wardline_publish_to_delivered_seconds" by "priority", "Time from a message's broker time until the receipt of a device that was connected then, the receipt's own way included (the SDK holds receipts for 20 to 60 ms). At most ten watermarks a second are looked at for each lane, and all single receipts of urgent messages; only messages that are still in memory." {
            routine_to_delivered = "routine",
            urgent_to_delivered = "urgent",
        }
        Histogram "wardline_delivered_to_read_seconds" by "priority", "Time from a device's receipt of a message until its user has read it. Of the messages of the histogram above, at most eight at a time for each lane." {
            routine_to_read = "routine",
            urgent_to_read = "urgent",
        }
        Counter "wardline_deliveries_total" by "source", "Entries sent to devices: from memory (tail), after a read of the store (engine), ahead of their turn (urgent; they come again in it)." {
            deliveries_tail = "tail",
            deliveries_engine = "engine",
            deliveries_urgent = "urgent",
        }
        Gauge "wardline_reads" by "purpose", "Reads of the store under way, for requests, for devices that catch up, and for urgent messages that are not in memory or belong to a device that comes back." {
            reads_request = "request",
            reads_catch_up = "catch_up",
            reads_urgent = "urgent",
        }
    }
    by_result {
        fetches = "wardline_issuer_fetches_total" of FETCH_RESULTS, "Times that an issuer was asked for its keys, by what came of it.";
    }
    by_code {
        refusals = "wardline_refusals_total" by "code", "Requests and sessions refused, by code.";
        sessions_ended = "wardline_sessions_ended_total" by "reason", "Sessions ended, by why: the broker's code; left: the client went, or its connection was lost.";
    }
}
