//! Requests about the patients' record: from the wire to the broker's own types.
//!
//! Checks each field as it stands, and names it in each refusal by its path. Ids are derived where
//! it is known whose they are, in [`requests`](crate::requests). Nothing here is ever shown: these
//! types hold what is said of patients, and have no `Debug`.

use std::fmt;

use wardline_proto::v1;
use wardline_storage::encounter::What;
use wardline_storage::id::{EncounterId, Timestamp};
use wardline_storage::model::Text;
use wardline_storage::patient::{Identifier, Naming as StoredNaming};
use wardline_storage::staff::Staff;

use super::fields::{PageRequest, name, page, sixteen, text};
use crate::limits::{
    AUTHORITY_BYTES_MAX, BED_BYTES_MAX, EVENT_ID_BYTES_MAX, LABEL_BYTES_MAX, Limits, NUMBER_BYTES_MAX,
    SOURCE_BYTES_MAX, WARD_BYTES_MAX,
};
use crate::refusal::Refusal;

/// What a registrar says.
pub(crate) struct Recording {
    pub(crate) event: SourceEvent,
    pub(crate) said: Said,
}

/// Which event of which source, and when.
pub(crate) struct SourceEvent {
    pub(crate) source: String,
    pub(crate) id: String,
    pub(crate) time: Timestamp,
}

/// What a source event says.
pub(crate) enum Said {
    /// Of an encounter.
    Encounter { number: Identifier, what: What, place: Option<Place>, patient: Naming },
    /// Of a patient.
    Patient(Naming),
    /// That two patients are one.
    Merge { survivor: Naming, retired: Naming },
    /// Of a ward's roster.
    Roster { ward: String, users: Vec<String> },
    /// Of an encounter's care team.
    CareTeam { encounter: Identifier, users: Vec<String> },
}

/// Numbers of a patient, and what people call them.
pub(crate) struct Naming {
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) label: Option<Text>,
}

/// Where a patient is, in the source's words.
pub(crate) struct Place {
    pub(crate) ward: String,
    pub(crate) ward_name: String,
    pub(crate) room: String,
    pub(crate) bed: String,
}

/// What is asked of encounters.
pub(crate) enum Asked {
    /// Those that the caller may see, on a ward or anywhere.
    List { ward: Option<String>, page: PageRequest },
    /// The caller's conversations about one.
    Conversations { encounter: EncounterId, page: PageRequest },
    /// What the record says of one.
    Show(Which),
}

/// Which encounter is asked for.
pub(crate) enum Which {
    Id(EncounterId),
    Number(Identifier),
}

pub(super) fn encounter(wire: v1::RecordEncounter) -> Result<Recording, Refusal> {
    let what = what(wire.kind)?;
    let place = wire.place.map(place).transpose()?;
    if what.wants_place() && place.is_none() {
        return Err(Refusal::invalid("place: an event of this kind must say where the patient is"));
    }
    let said = Said::Encounter {
        number: number("encounter", wire.encounter)?,
        what,
        place,
        patient: naming("patient", wire.patient)?,
    };
    recording(wire.event, said)
}

pub(super) fn patient(wire: v1::RecordPatient) -> Result<Recording, Refusal> {
    recording(wire.event, Said::Patient(naming("patient", wire.patient)?))
}

pub(super) fn merge(wire: v1::MergePatients) -> Result<Recording, Refusal> {
    let survivor = naming("survivor", wire.survivor)?;
    let retired = naming("retired", wire.retired)?;
    recording(wire.event, Said::Merge { survivor, retired })
}

pub(super) fn roster(wire: v1::SetRoster) -> Result<Recording, Refusal> {
    let ward = text("ward", wire.ward, 1, WARD_BYTES_MAX)?;
    recording(wire.event, Said::Roster { ward, users: staff(wire.users)? })
}

pub(super) fn care_team(wire: v1::SetCareTeam) -> Result<Recording, Refusal> {
    let encounter = number("encounter", wire.encounter)?;
    recording(wire.event, Said::CareTeam { encounter, users: staff(wire.users)? })
}

pub(super) fn contexts(wire: v1::ListContexts, limits: &Limits) -> Result<Asked, Refusal> {
    let ward = text("ward", wire.ward, 0, WARD_BYTES_MAX)?;
    let page = page(wire.page_size, &wire.page_token, limits)?;
    let ward = Some(ward).filter(|ward| !ward.is_empty());
    Ok(Asked::List { ward, page })
}

pub(super) fn conversations(wire: &v1::ContextConversations, limits: &Limits) -> Result<Asked, Refusal> {
    let encounter = encounter_id(&wire.encounter_id)?;
    let page = page(wire.page_size, &wire.page_token, limits)?;
    Ok(Asked::Conversations { encounter, page })
}

pub(super) fn show(wire: v1::ShowEncounter) -> Result<Asked, Refusal> {
    use v1::show_encounter::Which as Wire;
    Ok(Asked::Show(match wire.which {
        Some(Wire::EncounterId(id)) => Which::Id(encounter_id(&id)?),
        Some(Wire::Encounter(wire)) => Which::Number(number("encounter", Some(wire))?),
        None => return Err(Refusal::invalid("which: name the encounter by its id, or by its number")),
    }))
}

fn recording(event: Option<v1::SourceEvent>, said: Said) -> Result<Recording, Refusal> {
    let Some(event) = event else { return Err(missing("event")) };
    if event.time_ms == 0 {
        return Err(Refusal::invalid("event.time_ms: must be 1 or more"));
    }
    let event = SourceEvent {
        source: text("event.source", event.source, 1, SOURCE_BYTES_MAX)?,
        id: text("event.event_id", event.event_id, 1, EVENT_ID_BYTES_MAX)?,
        time: Timestamp(event.time_ms),
    };
    Ok(Recording { event, said })
}

fn what(kind: i32) -> Result<What, Refusal> {
    use v1::EncounterEventKind as Wire;
    Ok(match Wire::try_from(kind) {
        Ok(Wire::Plan) => What::Plan,
        Ok(Wire::Admit) => What::Admit,
        Ok(Wire::Update) => What::Update,
        Ok(Wire::Transfer) => What::Transfer,
        Ok(Wire::Leave) => What::Leave,
        Ok(Wire::Return) => What::Return,
        Ok(Wire::Discharge) => What::Discharge,
        Ok(Wire::CancelAdmit) => What::CancelAdmit,
        Ok(Wire::CancelTransfer) => What::CancelTransfer,
        Ok(Wire::CancelLeave) => What::CancelLeave,
        Ok(Wire::CancelReturn) => What::CancelReturn,
        Ok(Wire::CancelDischarge) => What::CancelDischarge,
        Ok(Wire::Unspecified) => return Err(Refusal::invalid("kind: must say what happened")),
        Err(_) => return Err(Refusal::invalid("kind: unknown value")),
    })
}

fn naming(field: &str, wire: Option<v1::PatientNaming>) -> Result<Naming, Refusal> {
    let Some(wire) = wire else { return Err(missing(field)) };
    let (count, max) = (wire.identifiers.len(), StoredNaming::IDENTIFIERS_MAX);
    if count == 0 || count > max {
        return Err(Refusal::invalid(format!(
            "{field}.identifiers: {count} named, 1 to {max} are allowed: without one it is not known who it is"
        )));
    }
    let numbers = wire.identifiers.into_iter();
    let identifiers = numbers.map(|wire| identifier(format_args!("{field}.identifiers"), wire));
    let label = wire.label.map(|label| text(format_args!("{field}.label"), label, 0, LABEL_BYTES_MAX));
    Ok(Naming {
        identifiers: identifiers.collect::<Result<_, _>>()?,
        label: label.transpose()?.map(Text::new),
    })
}

fn place(wire: v1::Place) -> Result<Place, Refusal> {
    Ok(Place {
        ward: text("place.ward", wire.ward, 1, WARD_BYTES_MAX)?,
        ward_name: text("place.ward_name", wire.ward_name, 0, WARD_BYTES_MAX)?,
        room: text("place.room", wire.room, 0, BED_BYTES_MAX)?,
        bed: text("place.bed", wire.bed, 0, BED_BYTES_MAX)?,
    })
}

fn number(field: &str, wire: Option<v1::Identifier>) -> Result<Identifier, Refusal> {
    wire.map_or_else(|| Err(missing(field)), |wire| identifier(field, wire))
}

fn identifier(field: impl fmt::Display, wire: v1::Identifier) -> Result<Identifier, Refusal> {
    let (authority, value) = (format_args!("{field}.authority"), format_args!("{field}.value"));
    Ok(Identifier {
        authority: Text::new(text(authority, wire.authority, 1, AUTHORITY_BYTES_MAX)?),
        value: Text::new(text(value, wire.value, 1, NUMBER_BYTES_MAX)?),
    })
}

fn staff(names: Vec<String>) -> Result<Vec<String>, Refusal> {
    let (count, max) = (names.len(), Staff::PEOPLE_MAX);
    if count > max {
        return Err(Refusal::invalid(format!("users: {count} named, at most {max} are allowed")));
    }
    names.into_iter().map(|one| name("users", one)).collect()
}

fn encounter_id(bytes: &[u8]) -> Result<EncounterId, Refusal> {
    sixteen("encounter_id", bytes).map(EncounterId::new)
}

fn missing(field: &str) -> Refusal {
    Refusal::invalid(format!("{field}: must be there"))
}
