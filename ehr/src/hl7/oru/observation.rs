//! OBX: an Observation, or a document (HL7 v2.5.1, section 7.4.2).
//!
//! Code, value, state and flags are those of the segment; a time that is none is left out, since
//! the value matters more.

use super::super::flaw::Flaw;
use super::super::message::Segment;
use super::super::time::Zones;
use super::fhir::{
    self, Annotation, Form, Identifier, Observation, ReferenceRange, clean, coded, concept, whole,
};
use super::order::{Observed, Order};
use super::state::ObservationState;
use super::value::{self, Observed as Value};
use crate::record::Moment;

/// What an OBX came to.
pub(super) struct Read {
    /// The observation, or the document that it is.
    pub(super) content: Content,
    /// How far it is.
    pub(super) state: ObservationState,
    /// Whether somebody must look at once.
    pub(super) is_critical: bool,
}

/// An observation or a document.
pub(super) enum Content {
    /// An observation.
    Observation(Box<Observation>),
    /// A document.
    Document(Form),
}

/// Reads one; `id` is what it is called within its report.
pub(super) fn read(
    observed: &Observed<'_>,
    order: &Order<'_>,
    id: String,
    zones: &Zones,
    critical: &[String],
) -> Result<Read, Flaw> {
    let obx = observed.obx;
    let code_field = obx.field(3);
    let code = concept(&code_field)?;
    if code.coding.is_empty() && code.text.is_none() {
        return Err(code_field.missing());
    }
    let state = obx.field(11).named()?.value().unwrap_or_default();
    let state = ObservationState::read(&state);
    let flags = flags(observed)?;
    let is_critical =
        state != ObservationState::Withdrawn && flags.iter().any(|flag| critical.contains(flag));
    let value = match value::observed(obx, zones)? {
        Value::Nothing => None,
        Value::Value(value) => Some(value),
        Value::Document(document) => {
            let title = code.text.or_else(|| code.coding.first().and_then(|coding| coding.display.clone()));
            let content = Content::Document(Form { title, ..document });
            return Ok(Read { content, state, is_critical });
        }
    };
    let absent = value.is_none().then(|| coded(ABSENT, "unknown"));
    let observation = Observation {
        resource_type: "Observation",
        id,
        identifier: sub_id(observed)?,
        status: state.fhir(),
        code,
        effective_date_time: time(observed, order, zones).and_then(|moment| moment.fhir()),
        value,
        data_absent_reason: absent,
        interpretation: flags.iter().map(|flag| coded(FLAGS, flag)).collect(),
        note: notes(&observed.notes)?,
        reference_range: whole(&obx.field(7))?.map(|text| ReferenceRange { text }).into_iter().collect(),
    };
    Ok(Read { content: Content::Observation(Box::new(observation)), state, is_critical })
}

const ABSENT: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
const FLAGS: &str = "http://terminology.hl7.org/CodeSystem/v2-0078";

/// OBX-8, without blanks.
fn flags(observed: &Observed<'_>) -> Result<Vec<String>, Flaw> {
    let flags = observed.obx.field(8).repetitions().map(|flag| Ok(flag.named()?.value()));
    let flags: Vec<Option<String>> = flags.collect::<Result<_, Flaw>>()?;
    Ok(flags.into_iter().flatten().filter_map(|flag| clean(&flag)).collect())
}

/// OBX-4 tells observations with the same code apart.
fn sub_id(observed: &Observed<'_>) -> Result<Vec<Identifier>, Flaw> {
    let sub_id = whole(&observed.obx.field(4))?;
    let kind =
        || fhir::CodeableConcept { text: Some("OBX-4".to_owned()), ..fhir::CodeableConcept::default() };
    let identifier =
        sub_id.map(|value| Identifier { kind: Some(kind()), system: None, value, assigner: None });
    Ok(identifier.into_iter().collect())
}

/// OBX-14, else OBR-7.
fn time(observed: &Observed<'_>, order: &Order<'_>, zones: &Zones) -> Option<Moment> {
    [observed.obx.field(14), order.obr.field(7)].iter().find_map(|field| value::moment(field, zones))
}

/// NTE-3 of each.
pub(super) fn notes(segments: &[Segment<'_>]) -> Result<Vec<Annotation>, Flaw> {
    let notes = segments.iter().map(|nte| value::text(&nte.field(3)));
    let notes: Vec<Option<String>> = notes.collect::<Result<_, Flaw>>()?;
    Ok(notes.into_iter().flatten().map(|text| Annotation { text }).collect())
}
