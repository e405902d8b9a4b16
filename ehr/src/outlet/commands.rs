//! From events to what is told the broker. Pure.
//!
//! Which event becomes what stands in docs/ehr.md. What the broker could not take is refused here,
//! where it still has a place in the message; what it can take only in part (more identifiers than
//! it keeps) is counted. An event's id is made of the sender's own id and of a digest of all that
//! it sent, since some senders begin to count anew.

use wardline_client::record::{
    EncounterEvent, Identifier, Merge, Naming, PatientEvent, Place, SourceEvent, What,
};

use super::terms::Terms;
use crate::given::Given;
use crate::hl7::ack::Objection;
use crate::hl7::flaw::Code;
use crate::hl7::place::{self, Name};
use crate::record::{self, Change, Event, Location, Patient, Source, Text};

/// Most identifiers of a patient that the broker takes at once.
const IDENTIFIERS_MAX: usize = 8;
/// Longest identifier, authority and ward, in bytes.
const WORD_BYTES_MAX: usize = 128;
/// Longest room and bed, in bytes.
const BED_BYTES_MAX: usize = 64;
/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 256;
/// Longest id of a sender that stands in an event's id.
const OWN_ID_BYTES_MAX: usize = 128;
/// Bytes of the digest in an event's id.
const DIGEST_BYTES: usize = 16;

/// Something to tell the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What happened to an encounter.
    Encounter(EncounterEvent),
    /// What is known of a patient.
    Patient(PatientEvent),
    /// That two patients are one.
    Merge(Merge),
}

/// What an event comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// To be told in this order.
    pub all: Vec<Command>,
    /// Identifiers of patients that are left out, since there are too many.
    pub left_out: usize,
}

/// What to tell of an event. Results come to nothing.
///
/// # Errors
/// [`Objection`] if it cannot be told, whoever tries.
pub fn commands(event: &Event, terms: &Terms) -> Result<Commands, Objection> {
    let mut commands = Commands::default();
    match &event.what {
        record::What::Encounter(about) => {
            let patient = commands.naming(&about.patient, terms)?;
            let encounter = identifier(&about.encounter.number, terms, field(Name::PV1, 19))?;
            let what = what(about.change);
            let place = match what {
                What::Update if !terms.update_moves => None,
                What::CancelAdmit => None,
                _ => location(&about.encounter.location, terms)?,
            };
            if place.is_none() && matches!(what, What::Transfer | What::CancelTransfer) {
                return Err(missing(field(Name::PV1, 3), "a transfer must say which ward the patient is on"));
            }
            let source = source(&event.source, terms, None);
            commands.all.push(Command::Encounter(EncounterEvent { source, encounter, what, place, patient }));
        }
        record::What::Person(patient) => {
            let patient = commands.naming(patient, terms)?;
            let source = source(&event.source, terms, None);
            commands.all.push(Command::Patient(PatientEvent { source, patient }));
        }
        record::What::Merge(merges) => {
            for (number, merge) in merges.iter().enumerate() {
                let survivor = commands.naming(&merge.survivor, terms)?;
                let identifiers = commands.identifiers(&merge.prior, terms, field(Name::MRG, 1))?;
                let source = source(&event.source, terms, Some(number).filter(|_| merges.len() > 1));
                let retired = Naming { identifiers, label: None };
                commands.all.push(Command::Merge(Merge { source, survivor, retired }));
            }
        }
        record::What::Results(_) => {}
    }
    Ok(commands)
}

impl Commands {
    fn naming(&mut self, patient: &Patient, terms: &Terms) -> Result<Naming, Objection> {
        let identifiers = self.identifiers(&patient.identifiers, terms, field(Name::PID, 3))?;
        let label = if terms.labels { label(&patient.name) } else { None };
        Ok(Naming { identifiers, label })
    }

    /// The first ones, those that a hospital gives for good before all others.
    fn identifiers(
        &mut self,
        all: &[record::Identifier],
        terms: &Terms,
        at: place::Place,
    ) -> Result<Vec<Identifier>, Objection> {
        let mut sorted: Vec<_> = all.iter().collect();
        sorted.sort_by_key(|identifier| rank(identifier.kind.as_ref()));
        self.left_out += sorted.len().saturating_sub(IDENTIFIERS_MAX);
        sorted.into_iter().take(IDENTIFIERS_MAX).map(|one| identifier(one, terms, at)).collect()
    }
}

/// Medical record numbers first, then what is a patient's within an institution.
fn rank(kind: Option<&Text>) -> u8 {
    match kind.map(Text::as_str) {
        Some("MR") => 0,
        Some("PI") => 1,
        _ => 2,
    }
}

fn identifier(
    identifier: &record::Identifier,
    terms: &Terms,
    at: place::Place,
) -> Result<Identifier, Objection> {
    let authority = terms.authority(identifier.authority.as_ref());
    let authority = authority.ok_or_else(|| {
        let at = place::Place { component: 4, ..at };
        missing(
            at,
            "nobody says who assigned this identifier: give CX-4 or MSH-4, or set senders.NAME.authority",
        )
    })?;
    let value = identifier.value.as_str().to_owned();
    if authority.len() > WORD_BYTES_MAX || value.len() > WORD_BYTES_MAX {
        return Err(too_long(at, WORD_BYTES_MAX));
    }
    Ok(Identifier { authority, value })
}

fn location(said: &Given<Location>, terms: &Terms) -> Result<Option<Place>, Objection> {
    let Given::Value(location) = said else { return Ok(None) };
    let Some(ward) = terms.ward(location) else { return Ok(None) };
    let part = |text: &Option<Text>| text.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default();
    let (room, bed) = (part(&location.room), part(&location.bed));
    let at = field(Name::PV1, 3);
    if ward.len() > WORD_BYTES_MAX {
        return Err(too_long(at, WORD_BYTES_MAX));
    }
    if room.len().max(bed.len()) > BED_BYTES_MAX {
        return Err(too_long(at, BED_BYTES_MAX));
    }
    Ok(Some(Place { ward, ward_name: String::new(), room, bed }))
}

/// Family name, then given names, as people read lists of patients.
fn label(name: &Given<record::Name>) -> Option<String> {
    let name = match name {
        Given::Absent => return None,
        Given::Null => return Some(String::new()),
        Given::Value(name) => name,
    };
    let given: Vec<&str> = name.given.iter().map(Text::as_str).collect();
    let parts = [name.family.as_ref().map(|family| family.as_str().to_owned()), Some(given.join(" "))];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let mut label = parts.join(", ");
    while label.len() > LABEL_BYTES_MAX {
        label.pop();
    }
    Some(label)
}

fn source(source: &Source, terms: &Terms, number: Option<usize>) -> SourceEvent {
    let own = Some(source.id.as_str()).filter(|id| id.len() <= OWN_ID_BYTES_MAX).unwrap_or_default();
    let number = number.map(|number| format!("#{}", number + 1)).unwrap_or_default();
    let event_id = format!("{own}.{}{number}", hex::encode(&source.digest[..DIGEST_BYTES]));
    // Nothing was before 1970 that is still told of.
    let time_ms = u64::try_from(source.occurred.unix_ms).unwrap_or_default().max(1);
    SourceEvent { source: terms.name.clone(), event_id, time_ms }
}

fn what(change: Change) -> What {
    match change {
        Change::Admit | Change::Register => What::Admit,
        Change::PreAdmit => What::Plan,
        Change::Transfer => What::Transfer,
        Change::Discharge => What::Discharge,
        Change::Update => What::Update,
        Change::Leave => What::Leave,
        Change::Return => What::Return,
        Change::CancelAdmit => What::CancelAdmit,
        Change::CancelTransfer => What::CancelTransfer,
        Change::CancelDischarge => What::CancelDischarge,
        Change::CancelLeave => What::CancelLeave,
        Change::CancelReturn => What::CancelReturn,
    }
}

fn field(name: Name, field: u32) -> place::Place {
    place::Place { field, ..place::Place::segment(name, 1, 0) }
}

fn missing(at: place::Place, text: &str) -> Objection {
    Objection { code: Code::RequiredField, at: Some(at), text: text.to_owned() }
}

fn too_long(at: place::Place, max: usize) -> Objection {
    let text = format!("a value is longer than the {max} bytes that are kept of it");
    Objection { code: Code::DataType, at: Some(at), text }
}
