//! Metrics of the server side: each handle resolved once.
//!
//! Labels are from closed sets or the operator's, never from a message. docs/hl7.md lists them.

use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use crate::hl7::flaw::Reason;

const CONNECTIONS: &str = "wardline_ehr_connections";
const OPENED: &str = "wardline_ehr_connections_total";
const ENDED: &str = "wardline_ehr_connections_ended_total";
const MESSAGES: &str = "wardline_ehr_messages_total";
const REFUSALS: &str = "wardline_ehr_refusals_total";
const ODD: &str = "wardline_ehr_odd_blocks_total";
const APPLY: &str = "wardline_ehr_apply_seconds";
const ANSWER: &str = "wardline_ehr_answer_seconds";
const UNDER_WAY: &str = "wardline_ehr_messages_under_way";
const IN_HAND: &str = "wardline_ehr_in_hand_bytes";
const LAST: &str = "wardline_ehr_last_message_timestamp_seconds";

/// Handles, of one sender.
pub(super) struct Metrics {
    sender: String,
    pub(super) under_way: Gauge,
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) full: Counter,
    pub(super) handshake_failed: Counter,
    pub(super) applied: Counter,
    pub(super) ignored: Counter,
    pub(super) retry: Counter,
    pub(super) refused: Counter,
    pub(super) acknowledgements: Counter,
    pub(super) keep_alives: Counter,
    pub(super) cut_off: Counter,
    pub(super) too_long: Counter,
    pub(super) stray: Counter,
    pub(super) apply_seconds: Histogram,
    pub(super) answer_seconds: Histogram,
    pub(super) in_hand_bytes: Gauge,
    pub(super) last_message: Gauge,
}

impl Metrics {
    /// Describes and resolves all of them with the recorder that is installed.
    pub(super) fn new(sender: &str) -> Self {
        describe();
        let name = || sender.to_owned();
        let messages = |outcome: &'static str| counter!(MESSAGES, "sender" => name(), "outcome" => outcome);
        let opened = |result: &'static str| counter!(OPENED, "sender" => name(), "result" => result);
        let odd = |sort: &'static str| counter!(ODD, "sender" => name(), "sort" => sort);
        Self {
            sender: name(),
            under_way: gauge!(UNDER_WAY, "sender" => name()),
            connections: gauge!(CONNECTIONS, "sender" => name()),
            accepted: opened("accepted"),
            full: opened("full"),
            handshake_failed: opened("handshake_failed"),
            applied: messages("applied"),
            ignored: messages("ignored"),
            retry: messages("retry"),
            refused: messages("refused"),
            acknowledgements: messages("acknowledgement"),
            keep_alives: messages("keep_alive"),
            cut_off: odd("cut_off"),
            too_long: odd("too_long"),
            stray: odd("stray"),
            apply_seconds: histogram!(APPLY, "sender" => name()),
            answer_seconds: histogram!(ANSWER, "sender" => name()),
            in_hand_bytes: gauge!(IN_HAND, "sender" => name()),
            last_message: gauge!(LAST, "sender" => name()),
        }
    }

    /// Counts a refusal by its reason, which is one of a few.
    pub(super) fn reason(&self, reason: Reason) {
        counter!(REFUSALS, "sender" => self.sender.clone(), "reason" => reason.label()).increment(1);
    }

    /// Counts the end of a connection by its reason, which is one of a few.
    pub(super) fn ended(&self, reason: &'static str) {
        counter!(ENDED, "sender" => self.sender.clone(), "reason" => reason).increment(1);
    }
}

fn describe() {
    describe_gauge!(CONNECTIONS, "HL7 senders that are connected.");
    describe_counter!(OPENED, "Connections of HL7 senders, by what came of them at their begin.");
    describe_counter!(ENDED, "Connections of HL7 senders that ended, by why.");
    describe_counter!(MESSAGES, "HL7 messages, by what became of them.");
    describe_counter!(REFUSALS, "HL7 messages that were refused before they were applied, by reason.");
    describe_counter!(
        ODD,
        "What is no message in the streams of HL7 senders: cut off, too long, stray bytes."
    );
    describe_histogram!(APPLY, "Time until an event was durable, or was refused.");
    describe_histogram!(ANSWER, "Time from a whole message until its answer was written.");
    describe_gauge!(UNDER_WAY, "HL7 messages that were read and are not answered yet.");
    describe_gauge!(IN_HAND, "Bytes that HL7 messages in hand may take up now.");
    describe_gauge!(
        LAST,
        "When the last HL7 message came, in seconds since 1970: an interface that is mute is down."
    );
}

/// Counts one in a gauge as long as it lives.
pub(super) struct Held(Gauge);

impl Held {
    /// Counts one more.
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
