//! OBR: a DiagnosticReport (HL7 v2.5.1, section 4.5.3).
//!
//! Patient and encounter are named by their identifiers, so that the report means the same wherever
//! it is kept.

use super::super::flaw::Flaw;
use super::super::message::Segment;
use super::super::time::Zones;
use super::fhir::{self, DiagnosticReport, Extension, Identifier, Period, Reference, coded, concept, known};
use super::observation::{self, Content};
use super::order::Order;
use super::state::{self, ObservationState};
use super::value::moment;
use crate::given::Given;
use crate::record::{self, Patient, Precision, Report, Text};

/// FHIR R4 has no notes on a report; FHIR R5 has, and this is how R4 says the same.
const NOTE: &str = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note";

/// Whose report it is.
pub(super) struct About<'r> {
    pub(super) patient: &'r Patient,
    pub(super) encounter: Option<&'r record::Identifier>,
    pub(super) zones: &'r Zones,
}

/// Reads one.
pub(super) fn report(order: &Order<'_>, about: &About<'_>, critical: &[String]) -> Result<Report, Flaw> {
    let obr = order.obr;
    let code_field = obr.field(4);
    let code = concept(&code_field)?;
    if code.coding.is_empty() && code.text.is_none() {
        return Err(code_field.missing());
    }
    let (mut contained, mut forms, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_critical = false;
    for observed in &order.observations {
        let id = format!("o{}", contained.len() + 1);
        let read = observation::read(observed, order, id, about.zones, critical)?;
        is_critical |= read.is_critical;
        states.push(read.state);
        match read.content {
            Content::Observation(observation) => contained.push(*observation),
            Content::Document(document) => forms.push(document),
        }
    }
    let state = state(obr, &states)?;
    let (filler, placer) = (number(order, 3)?, number(order, 2)?);
    let issued = moment(&obr.field(22), about.zones);
    let (effective_date_time, effective_period) = effective(obr, about.zones);
    let notes = observation::notes(&order.notes)?;
    let report = DiagnosticReport {
        resource_type: "DiagnosticReport",
        result: contained.iter().map(|observation| local(&observation.id)).collect(),
        contained,
        extension: notes.into_iter().map(|note| Extension { url: NOTE, value_annotation: note }).collect(),
        identifier: [(&filler, "FILL"), (&placer, "PLAC")].into_iter().filter_map(identified).collect(),
        status: state.fhir(),
        category: fhir::whole(&obr.field(24))?.map(|code| coded(SERVICES, code.trim())).into_iter().collect(),
        code,
        subject: known("Patient", &about.patient.identifiers[0]),
        encounter: about.encounter.map(|encounter| known("Encounter", encounter)),
        effective_date_time,
        effective_period,
        issued: issued
            .filter(|issued| issued.precision >= Precision::Minute)
            .and_then(|issued| issued.fhir()),
        presented_form: forms,
    };
    let fhir = serde_json::to_string(&report).expect("strings and lists of strings are JSON");
    Ok(Report { order: filler.or(placer).map(Text::from), state, issued, is_critical, fhir: fhir.into() })
}

const SERVICES: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";
const NUMBERS: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

fn state(obr: Segment<'_>, observations: &[ObservationState]) -> Result<record::ReportState, Flaw> {
    let code = obr.field(25).named()?.value();
    Ok(state::report(code.as_deref(), observations))
}

/// The number of an order, which may stand in ORC instead.
fn number(order: &Order<'_>, field: u32) -> Result<Option<String>, Flaw> {
    for segment in [Some(order.obr), order.orc].into_iter().flatten() {
        if let Given::Value(number) = segment.field(field).named()? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn identified((value, code): (&Option<String>, &str)) -> Option<Identifier> {
    let value = fhir::clean(value.as_deref()?)?;
    Some(Identifier { kind: Some(coded(NUMBERS, code)), system: None, value, assigner: None })
}

fn local(id: &str) -> Reference {
    Reference { reference: Some(format!("#{id}")), ..Reference::default() }
}

/// OBR-7, and up to OBR-8 if that is later.
fn effective(obr: Segment<'_>, zones: &Zones) -> (Option<String>, Option<Period>) {
    let [start, end] = [7, 8].map(|field| moment(&obr.field(field), zones));
    let is_period = start.zip(end).is_some_and(|(start, end)| end.unix_ms > start.unix_ms);
    let [start, end] = [start, end].map(|moment| moment.and_then(|moment| moment.fhir()));
    match (start, end) {
        (Some(start), Some(end)) if is_period => (None, Some(Period { start, end })),
        (start, _) => (start, None),
    }
}
