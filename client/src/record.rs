//! The patients' record, as the application handles it: what registrars say, and what people see.
//!
//! Bounds and meanings stand in `proto/wardline/v1/record.proto`. `Debug` shows kinds, times and
//! ids; what is said of patients and who works where is left out.

use std::fmt;

pub use crate::id::{EncounterId, Hash, PatientId};
use crate::types::TimeMs;

/// A number, and who gave it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identifier {
    /// Who gave it.
    pub authority: String,
    /// The number.
    pub value: String,
}

impl Identifier {
    /// A number that an authority gave.
    pub fn new(authority: impl Into<String>, value: impl Into<String>) -> Self {
        Self { authority: authority.into(), value: value.into() }
    }
}

/// An event as its source names and times it.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceEvent {
    /// The source.
    pub source: String,
    /// The same id is the same event, for 30 days.
    pub event_id: String,
    /// When it happened, by the source's clock.
    pub time_ms: TimeMs,
}

/// How an event names a patient.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Naming {
    /// At least one; the first that is known decides.
    pub identifiers: Vec<Identifier>,
    /// What people call them. `None`: nothing is said of it; empty: there is nothing any more.
    pub label: Option<String>,
}

/// Where a patient is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The ward's code at the source.
    pub ward: String,
    /// What people call it; empty: as the code.
    pub ward_name: String,
    /// Kept with a bed only.
    pub room: String,
    /// Empty: none is known.
    pub bed: String,
}

/// What happened to an encounter; see `wardline.v1.EncounterEventKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// It will be (A05).
    Plan,
    /// The patient came (A01, A04).
    Admit,
    /// Nothing but what is said of the patient and their place (A08).
    Update,
    /// They are somewhere else now (A02). Wants a place.
    Transfer,
    /// They left for a while (A21).
    Leave,
    /// They came back (A22).
    Return,
    /// They left for good (A03).
    Discharge,
    /// They never came (A11).
    CancelAdmit,
    /// They are where they were (A12). Wants a place.
    CancelTransfer,
    /// They did not leave for a while (A52).
    CancelLeave,
    /// They did not come back (A53).
    CancelReturn,
    /// They did not leave for good (A13).
    CancelDischarge,
}

/// What happened to an encounter, and whom it is of.
#[derive(Clone, PartialEq, Eq)]
pub struct EncounterEvent {
    /// Which event.
    pub source: SourceEvent,
    /// The source's number for the encounter.
    pub encounter: Identifier,
    /// What happened.
    pub what: What,
    /// Where the patient is with it.
    pub place: Option<Place>,
    /// Whom it is of.
    pub patient: Naming,
}

/// What is known of a patient (A28, A31).
#[derive(Clone, PartialEq, Eq)]
pub struct PatientEvent {
    /// Which event.
    pub source: SourceEvent,
    /// Whom it is of, and what it says of them.
    pub patient: Naming,
}

/// That two patients are one (A40).
#[derive(Clone, PartialEq, Eq)]
pub struct Merge {
    /// Which event.
    pub source: SourceEvent,
    /// Who they are from now on.
    pub survivor: Naming,
    /// Who is nobody of their own any more.
    pub retired: Naming,
}

/// Who works on a ward, all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Roster {
    /// Which event.
    pub source: SourceEvent,
    /// The ward's code at the source.
    pub ward: String,
    /// As their tokens name them.
    pub users: Vec<String>,
}

/// Who cares for a patient beside the ward's roster, all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct CareTeam {
    /// Which event.
    pub source: SourceEvent,
    /// The source's number for the encounter.
    pub encounter: Identifier,
    /// As their tokens name them.
    pub users: Vec<String>,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Something is otherwise now.
    Changed,
    /// It is as the event says already.
    Unchanged,
    /// A later word on all that it says is known.
    Late,
    /// The same event was heard before.
    Repeated,
}

/// An event was heard, and is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What came of it.
    pub effect: Effect,
    /// The patient after all merges, if it is of one.
    pub patient: Option<PatientId>,
    /// The encounter, if it is of one.
    pub encounter: Option<EncounterId>,
    /// The encounter, patient, roster or team was not known before.
    pub made: bool,
    /// Its time lay ahead of the broker's, and counts as now.
    pub ahead: bool,
    /// A number that it names is that of another patient, and stays there.
    pub disputed: bool,
    /// Another encounter in the same bed.
    pub bed_also_held_by: Option<EncounterId>,
}

/// How an encounter stands, in FHIR's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EncounterStatus {
    /// It will be.
    Planned,
    /// The patient is there.
    InProgress,
    /// The patient is away for a while.
    OnLeave,
    /// The patient has gone.
    Finished,
    /// It never was.
    Cancelled,
}

/// An encounter as people see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Context {
    /// Which.
    pub encounter: EncounterId,
    /// How it stands.
    pub status: EncounterStatus,
    /// What people call the patient; empty: nothing is known.
    pub label: String,
    /// What people call its ward; empty: none.
    pub ward: String,
    /// Room and bed; empty: none is known.
    pub bed: String,
}

/// Which encounter is asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Which {
    /// By its id.
    Id(EncounterId),
    /// By the source's number for it.
    Number(Identifier),
}

/// What the record says of an encounter.
#[derive(Clone, PartialEq, Eq)]
pub struct EncounterState {
    /// As people see it.
    pub context: Context,
    /// What was said, and by which events.
    pub words: Vec<Word>,
    /// The patient after all merges.
    pub patient: PatientId,
    /// The source's number for it.
    pub number: Identifier,
    /// By what the patient is known.
    pub identifiers: Vec<Identifier>,
    /// When the broker first heard of it.
    pub first_heard_ms: TimeMs,
    /// Another encounter in the same bed.
    pub bed_also_held_by: Option<EncounterId>,
}

/// What a word is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The encounter as a whole.
    Life,
    /// Where it stands.
    Place,
    /// Whether the patient is on leave.
    Leave,
    /// What people call the patient.
    Label,
    /// Who is in the care team.
    CareTeam,
    /// Who is in the ward's roster.
    Roster,
}

/// The latest word on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// On what.
    pub subject: Subject,
    /// When it was said, by the source's time.
    pub said_at_ms: TimeMs,
    /// By which event.
    pub event: Hash,
    /// By which registrar.
    pub by: Hash,
}

/// Shows these fields and hides the rest.
macro_rules! show {
    ($($shown:ident: $($field:ident),*;)*) => {$(
        impl fmt::Debug for $shown {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($shown))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    )*};
}

show! {
    Identifier: ;
    SourceEvent: time_ms;
    Naming: ;
    Place: ;
    EncounterEvent: source, what;
    PatientEvent: source;
    Merge: source;
    Roster: source;
    CareTeam: source;
    Context: encounter, status;
    EncounterState: context, words;
}

impl fmt::Debug for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.debug_tuple("Id").field(id).finish(),
            Self::Number(_) => f.write_str("Number"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_people_is_not_shown() {
        const SECRET: &str = "Jane Doe";
        let number = || Identifier::new(SECRET, SECRET);
        let naming = || Naming { identifiers: vec![number()], label: Some(SECRET.into()) };
        let source = || SourceEvent { source: SECRET.into(), event_id: SECRET.into(), time_ms: 7 };
        let place =
            Place { ward: SECRET.into(), ward_name: SECRET.into(), room: SECRET.into(), bed: SECRET.into() };
        let context = Context {
            encounter: EncounterId([1; 16]),
            status: EncounterStatus::Planned,
            label: SECRET.into(),
            ward: SECRET.into(),
            bed: SECRET.into(),
        };
        let event = EncounterEvent {
            source: source(),
            encounter: number(),
            what: What::Admit,
            place: Some(place),
            patient: naming(),
        };
        let state = EncounterState {
            context: context.clone(),
            words: Vec::new(),
            patient: PatientId([2; 16]),
            number: number(),
            identifiers: vec![number()],
            first_heard_ms: 1,
            bed_also_held_by: None,
        };
        let shown = [
            format!("{event:?} {context:?} {state:?} {:?}", Which::Number(number())),
            format!("{:?}", PatientEvent { source: source(), patient: naming() }),
            format!("{:?}", Merge { source: source(), survivor: naming(), retired: naming() }),
            format!("{:?}", Roster { source: source(), ward: SECRET.into(), users: vec![SECRET.into()] }),
            format!("{:?}", CareTeam { source: source(), encounter: number(), users: vec![SECRET.into()] }),
        ];
        assert!(shown.iter().all(|text| !text.contains(SECRET)), "{shown:?}");
    }
}
