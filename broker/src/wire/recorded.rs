//! Answers about the patients' record: from the broker's own types to the wire.
//!
//! Makes no decision: who may see what was decided where it was read.

use bytes::Bytes;
use wardline_proto::v1;
use wardline_storage::encounter::{Heard, Status};
use wardline_storage::id::{EncounterId, PatientId, Timestamp};
use wardline_storage::model::Text;
use wardline_storage::patient::Identifier;
use wardline_storage::said::{Effect, Said};
use wardline_storage::view::Page;

/// An encounter as people see it.
pub(crate) struct Context {
    pub(crate) id: EncounterId,
    pub(crate) status: Status,
    /// What people call the patient, the ward and the bed.
    pub(crate) label: Text,
    pub(crate) ward: Text,
    pub(crate) bed: Text,
}

/// What the record says of an encounter.
pub(crate) struct EncounterState {
    pub(crate) context: Context,
    pub(crate) patient: PatientId,
    pub(crate) number: Identifier,
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) first_heard: Timestamp,
    pub(crate) bed_also_held_by: Option<EncounterId>,
    pub(crate) words: Vec<(Subject, Said)>,
}

/// What a word is about.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Life,
    Place,
    Leave,
    Label,
    CareTeam,
    Roster,
}

pub(super) fn wire_recorded(heard: &Heard) -> v1::Recorded {
    let effect = match heard.effect {
        Effect::Changed => v1::RecordEffect::Changed,
        Effect::Unchanged => v1::RecordEffect::Unchanged,
        Effect::Late => v1::RecordEffect::Late,
        Effect::Repeated => v1::RecordEffect::Repeated,
    };
    v1::Recorded {
        effect: effect.into(),
        patient_id: heard.patient.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes())),
        encounter_id: encounter_id(heard.encounter),
        made: heard.made,
        ahead: heard.ahead,
        disputed: heard.disputed,
        bed_also_held_by: encounter_id(heard.bed),
    }
}

pub(super) fn wire_contexts(page: Page<Context, EncounterId>) -> v1::ContextPage {
    v1::ContextPage {
        contexts: page.items.into_iter().map(wire_context).collect(),
        next_page_token: encounter_id(page.next),
    }
}

pub(super) fn wire_encounter(state: EncounterState) -> v1::EncounterState {
    v1::EncounterState {
        context: Some(wire_context(state.context)),
        words: state.words.into_iter().map(|(subject, said)| wire_word(subject, &said)).collect(),
        patient_id: Bytes::copy_from_slice(state.patient.as_bytes()),
        encounter: Some(wire_identifier(&state.number)),
        identifiers: state.identifiers.iter().map(wire_identifier).collect(),
        first_heard_ms: state.first_heard.0,
        bed_also_held_by: encounter_id(state.bed_also_held_by),
    }
}

fn wire_context(context: Context) -> v1::Context {
    let status = match context.status {
        Status::Planned => v1::EncounterStatus::Planned,
        Status::InProgress => v1::EncounterStatus::InProgress,
        Status::OnLeave => v1::EncounterStatus::OnLeave,
        Status::Finished => v1::EncounterStatus::Finished,
        Status::Cancelled => v1::EncounterStatus::Cancelled,
    };
    v1::Context {
        encounter_id: encounter_id(Some(context.id)),
        status: status.into(),
        label: context.label.as_str().to_owned(),
        ward: context.ward.as_str().to_owned(),
        bed: context.bed.as_str().to_owned(),
    }
}

fn wire_identifier(identifier: &Identifier) -> v1::Identifier {
    v1::Identifier {
        authority: identifier.authority.as_str().to_owned(),
        value: identifier.value.as_str().to_owned(),
    }
}

fn wire_word(subject: Subject, said: &Said) -> v1::Word {
    let subject = match subject {
        Subject::Life => v1::WordSubject::Life,
        Subject::Place => v1::WordSubject::Place,
        Subject::Leave => v1::WordSubject::Leave,
        Subject::Label => v1::WordSubject::Label,
        Subject::CareTeam => v1::WordSubject::CareTeam,
        Subject::Roster => v1::WordSubject::Roster,
    };
    v1::Word {
        subject: subject.into(),
        said_at_ms: said.time.0,
        event_hash: Bytes::copy_from_slice(said.event.as_bytes()),
        by_hash: Bytes::copy_from_slice(said.by.as_bytes()),
    }
}

/// Empty: there is none.
pub(super) fn encounter_id(id: Option<EncounterId>) -> Bytes {
    id.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes()))
}
