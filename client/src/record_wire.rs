//! Translates between the wire's types and the application's, of the patients' record.
//!
//! Pure, like [`wire`](crate::wire), and by its rules: what the broker may not leave out is checked
//! here; a word on something that this version does not know is skipped.

use wardline_proto::v1;
use wardline_proto::v1::show_encounter;

use crate::record::{
    Context, Effect, EncounterState, EncounterStatus, Hash, Identifier, Naming, PatientId, Place, Recorded,
    SourceEvent, Subject, What, Which, Word,
};
use crate::wire::{Malformed, encounter_id, id_bytes, optional_encounter};

pub(crate) fn source(event: &SourceEvent) -> v1::SourceEvent {
    let SourceEvent { source, event_id, time_ms } = event.clone();
    v1::SourceEvent { source, event_id, time_ms }
}

pub(crate) fn identifier(identifier: &Identifier) -> v1::Identifier {
    let Identifier { authority, value } = identifier.clone();
    v1::Identifier { authority, value }
}

pub(crate) fn naming(naming: &Naming) -> v1::PatientNaming {
    let identifiers = naming.identifiers.iter().map(identifier).collect();
    v1::PatientNaming { identifiers, label: naming.label.clone() }
}

pub(crate) fn place(place: &Place) -> v1::Place {
    let Place { ward, ward_name, room, bed } = place.clone();
    v1::Place { ward, ward_name, room, bed }
}

pub(crate) fn which(which: &Which) -> show_encounter::Which {
    match which {
        Which::Id(id) => show_encounter::Which::EncounterId(id_bytes(id.0)),
        Which::Number(number) => show_encounter::Which::Encounter(identifier(number)),
    }
}

pub(crate) fn kind(what: What) -> i32 {
    use v1::EncounterEventKind as Kind;
    match what {
        What::Plan => Kind::Plan,
        What::Admit => Kind::Admit,
        What::Update => Kind::Update,
        What::Transfer => Kind::Transfer,
        What::Leave => Kind::Leave,
        What::Return => Kind::Return,
        What::Discharge => Kind::Discharge,
        What::CancelAdmit => Kind::CancelAdmit,
        What::CancelTransfer => Kind::CancelTransfer,
        What::CancelLeave => Kind::CancelLeave,
        What::CancelReturn => Kind::CancelReturn,
        What::CancelDischarge => Kind::CancelDischarge,
    }
    .into()
}

pub(crate) fn recorded(recorded: &v1::Recorded) -> Result<Recorded, Malformed> {
    let effect = match v1::RecordEffect::try_from(recorded.effect) {
        Ok(v1::RecordEffect::Changed) => Effect::Changed,
        Ok(v1::RecordEffect::Unchanged) => Effect::Unchanged,
        Ok(v1::RecordEffect::Late) => Effect::Late,
        Ok(v1::RecordEffect::Repeated) => Effect::Repeated,
        _ => return Err(Malformed("effect of a source event")),
    };
    let patient = (!recorded.patient_id.is_empty()).then(|| patient_id(&recorded.patient_id)).transpose()?;
    Ok(Recorded {
        effect,
        patient,
        encounter: optional_encounter(&recorded.encounter_id)?,
        made: recorded.made,
        ahead: recorded.ahead,
        disputed: recorded.disputed,
        bed_also_held_by: optional_encounter(&recorded.bed_also_held_by)?,
    })
}

pub(crate) fn context(context: v1::Context) -> Result<Context, Malformed> {
    Ok(Context {
        encounter: encounter_id(&context.encounter_id)?,
        status: match v1::EncounterStatus::try_from(context.status) {
            Ok(v1::EncounterStatus::Planned) => EncounterStatus::Planned,
            Ok(v1::EncounterStatus::InProgress) => EncounterStatus::InProgress,
            Ok(v1::EncounterStatus::OnLeave) => EncounterStatus::OnLeave,
            Ok(v1::EncounterStatus::Finished) => EncounterStatus::Finished,
            Ok(v1::EncounterStatus::Cancelled) => EncounterStatus::Cancelled,
            _ => return Err(Malformed("status of an encounter")),
        },
        label: context.label,
        ward: context.ward,
        bed: context.bed,
    })
}

pub(crate) fn encounter_state(state: v1::EncounterState) -> Result<EncounterState, Malformed> {
    let from = |wire: v1::Identifier| Identifier { authority: wire.authority, value: wire.value };
    Ok(EncounterState {
        context: context(state.context.ok_or(Malformed("encounter"))?)?,
        words: state.words.iter().filter_map(|wire| word(wire).transpose()).collect::<Result<_, _>>()?,
        patient: patient_id(&state.patient_id)?,
        number: from(state.encounter.ok_or(Malformed("encounter"))?),
        identifiers: state.identifiers.into_iter().map(from).collect(),
        first_heard_ms: state.first_heard_ms,
        bed_also_held_by: optional_encounter(&state.bed_also_held_by)?,
    })
}

fn word(word: &v1::Word) -> Result<Option<Word>, Malformed> {
    let subject = match v1::WordSubject::try_from(word.subject) {
        Ok(v1::WordSubject::Life) => Subject::Life,
        Ok(v1::WordSubject::Place) => Subject::Place,
        Ok(v1::WordSubject::Leave) => Subject::Leave,
        Ok(v1::WordSubject::Label) => Subject::Label,
        Ok(v1::WordSubject::CareTeam) => Subject::CareTeam,
        Ok(v1::WordSubject::Roster) => Subject::Roster,
        Ok(v1::WordSubject::Unspecified) | Err(_) => return Ok(None),
    };
    let hash = |bytes: &[u8]| bytes.try_into().map(Hash).map_err(|_| Malformed("hash"));
    let (event, by) = (hash(&word.event_hash)?, hash(&word.by_hash)?);
    Ok(Some(Word { subject, said_at_ms: word.said_at_ms, event, by }))
}

fn patient_id(bytes: &[u8]) -> Result<PatientId, Malformed> {
    bytes.try_into().map(PatientId).map_err(|_| Malformed("patient id"))
}
