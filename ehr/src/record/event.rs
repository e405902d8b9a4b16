//! What a system of the record tells, and of which event it tells.

use super::encounter::EncounterEvent;
use super::people::{Identifier, Patient};
use super::results::Results;
use super::text::Text;
use super::when::Moment;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who tells it, and when it was.
    pub source: Source,
    /// What happened.
    pub what: What,
}

/// Who tells of an event. By application, facility, id and digest one that is told again
/// is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The system that sends.
    pub application: Option<Text>,
    /// Where it stands.
    pub facility: Option<Text>,
    /// The sender's own id of the event. Some begin anew after a restart.
    pub id: Text,
    /// SHA-256 of all that was sent: with the id it tells a repetition from another event.
    pub digest: [u8; 32],
    /// What the sender calls it: `A01`.
    pub trigger: &'static str,
    /// When it was sent.
    pub sent: Option<Moment>,
    /// When it was entered.
    pub recorded: Moment,
    /// When it took place. What is to be ordered is ordered by this.
    pub occurred: Moment,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Something happened to an encounter.
    Encounter(Box<EncounterEvent>),
    /// Somebody is known, or known better, whether they are here or not.
    Person(Box<Patient>),
    /// People turned out to be one.
    Merge(Vec<Merge>),
    /// Results came in, for each patient.
    Results(Vec<Results>),
}

/// Two records of one person become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Who stays.
    pub survivor: Patient,
    /// What they were also known by: one at least, and none that the survivor has.
    pub prior: Vec<Identifier>,
}
