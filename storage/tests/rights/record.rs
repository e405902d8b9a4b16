//! What registrars bring: a patient in care, and who is in their care team.

use wardline_storage::command::Command;
use wardline_storage::encounter::{EncounterEvent, What};
use wardline_storage::id::{EncounterId, EventId, IdentifierId};
use wardline_storage::model::{Person, Text};
use wardline_storage::patient::{Identifier, Merge, Naming, PatientEvent};
use wardline_storage::said::SourceEvent;
use wardline_storage::staff::{StaffEvent, StaffOf};

use crate::scene::{NOW, ROOM};

/// Its care conversation has the bytes of its id.
const ENCOUNTER: EncounterId = EncounterId::new(*ROOM.as_bytes());

fn source(id: u8) -> SourceEvent {
    SourceEvent { id: EventId::new([id; 16]), time: NOW }
}

fn naming(number: u8) -> Naming {
    let identifier = Identifier { authority: Text::new("MRN"), value: Text::new(format!("{number}")) };
    Naming { identifiers: vec![(IdentifierId::new([number; 16]), identifier)], label: None }
}

pub(crate) fn admission(id: u8) -> Command {
    Command::Encounter(Box::new(EncounterEvent {
        source: source(id),
        encounter: ENCOUNTER,
        number: Identifier { authority: Text::new("VN"), value: Text::new("1") },
        what: What::Admit,
        place: None,
        patient: naming(1),
    }))
}

pub(crate) fn team(id: u8, people: Vec<Person>) -> Command {
    Command::Staff(Box::new(StaffEvent { source: source(id), of: StaffOf::Encounter(ENCOUNTER), people }))
}

pub(crate) fn regroup() -> Command {
    Command::Regroup { of: StaffOf::Encounter(ENCOUNTER) }
}

/// One of each kind, and what it says.
pub(crate) fn all() -> [(&'static str, Command); 4] {
    let patient = PatientEvent { source: source(11), patient: naming(1) };
    let merge = Merge { source: source(12), survivor: naming(2), retired: naming(1) };
    [
        ("Say what happened to an encounter", admission(10)),
        ("Say what is known of a patient", Command::Patient(Box::new(patient))),
        ("Say that two patients are one", Command::Merge(Box::new(merge))),
        ("Say who is in a roster or a care team", team(13, Vec::new())),
    ]
}
