//! Metrics of what is told the broker.
//!
//! Labels are from closed sets or the operator's, never of a message. All series of a sender are
//! there once it is, so that an alert sees the first of a kind.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use wardline_client::record::{Effect, Recorded};

const COMMANDS: &str = "wardline_ehr_commands_total";
const ODD: &str = "wardline_ehr_odd_events_total";
const LEFT_OUT: &str = "wardline_ehr_identifiers_left_out_total";
const RESULTS: &str = "wardline_ehr_results_passed_over_total";
const CONNECTED: &str = "wardline_ehr_broker_connected";

/// What may become of a command.
pub(super) const OUTCOMES: [&str; 12] = [
    "changed",
    "unchanged",
    "late",
    "repeated",
    "invalid",
    "limit",
    "conflict",
    "erased",
    "unknown",
    "forbidden",
    "busy",
    "away",
];

/// Handles, of one sender.
pub(super) struct Metrics {
    commands: Vec<(&'static str, Counter)>,
    left_out: Counter,
    pub(super) results: Counter,
    ahead: Counter,
    disputed: Counter,
    bed_held: Counter,
}

impl Metrics {
    /// Describes and resolves them with the recorder that is installed.
    pub(super) fn new(sender: &str) -> Self {
        describe();
        let odd = |what: &'static str| counter!(ODD, "sender" => sender.to_owned(), "what" => what);
        let command =
            |result| (result, counter!(COMMANDS, "sender" => sender.to_owned(), "result" => result));
        Self {
            commands: OUTCOMES.into_iter().map(command).collect(),
            left_out: counter!(LEFT_OUT, "sender" => sender.to_owned()),
            results: counter!(RESULTS, "sender" => sender.to_owned()),
            ahead: odd("ahead"),
            disputed: odd("disputed"),
            bed_held: odd("bed_held"),
        }
    }

    pub(super) fn left_out(&self, identifiers: usize) {
        self.left_out.increment(identifiers as u64);
    }

    /// Counts what became of a command: one of [`OUTCOMES`].
    pub(super) fn told(&self, result: &str) {
        let counted = self.commands.iter().find(|(known, _)| *known == result);
        debug_assert!(counted.is_some(), "{result} is no outcome");
        counted.into_iter().for_each(|(_, counter)| counter.increment(1));
    }

    /// Counts what the broker said of one that it took.
    pub(super) fn recorded(&self, recorded: &Recorded) {
        self.told(match recorded.effect {
            Effect::Changed => "changed",
            Effect::Unchanged => "unchanged",
            Effect::Late => "late",
            Effect::Repeated => "repeated",
        });
        let odd = [
            (recorded.ahead, &self.ahead),
            (recorded.disputed, &self.disputed),
            (recorded.bed_also_held_by.is_some(), &self.bed_held),
        ];
        odd.into_iter().filter(|(is_so, _)| *is_so).for_each(|(_, counter)| counter.increment(1));
    }
}

/// Whether there is a session at the broker.
pub(super) fn connected() -> Gauge {
    gauge!(CONNECTED)
}

fn describe() {
    describe_counter!(COMMANDS, "What HL7 events came to at the broker, by what became of it.");
    describe_counter!(
        ODD,
        "Events that were taken and are worth a look: ahead of the broker's clock, an identifier of another patient, a bed \
         that somebody else holds."
    );
    describe_counter!(
        LEFT_OUT,
        "Identifiers of patients that were not told the broker, since it takes eight."
    );
    describe_counter!(RESULTS, "Messages with results (ORU^R01), of which nothing is told the broker.");
    describe_gauge!(CONNECTED, "1 while there is a session at the broker.");
}
