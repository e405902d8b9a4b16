//! The parts of FHIR R4 that results need, and how coded elements and identifiers become theirs.
//!
//! Written by serde; numbers stand as they were sent (`7.0` is not `7`). A text in FHIR is never
//! empty and has no control characters but line breaks and tabs.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::element::Element;
use super::super::flaw::Flaw;
use crate::record;

/// `DiagnosticReport`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DiagnosticReport {
    pub(super) resource_type: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) contained: Vec<Observation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) extension: Vec<Extension>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) identifier: Vec<Identifier>,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) category: Vec<CodeableConcept>,
    pub(super) code: CodeableConcept,
    pub(super) subject: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encounter: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issued: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) result: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) presented_form: Vec<Form>,
}

/// `Observation`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Observation {
    pub(super) resource_type: &'static str,
    pub(super) id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) identifier: Vec<Identifier>,
    pub(super) status: &'static str,
    pub(super) code: CodeableConcept,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective_date_time: Option<String>,
    #[serde(flatten)]
    pub(super) value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_absent_reason: Option<CodeableConcept>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) interpretation: Vec<CodeableConcept>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) note: Vec<Annotation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reference_range: Vec<ReferenceRange>,
}

/// What was observed.
#[derive(Serialize)]
pub(super) enum Value {
    #[serde(rename = "valueQuantity")]
    Quantity(Quantity),
    #[serde(rename = "valueRange")]
    Range(Range),
    #[serde(rename = "valueRatio")]
    Ratio(Ratio),
    #[serde(rename = "valueCodeableConcept")]
    Concept(CodeableConcept),
    #[serde(rename = "valueString")]
    Text(String),
    #[serde(rename = "valueDateTime")]
    DateTime(String),
    #[serde(rename = "valueTime")]
    Time(String),
}

#[derive(Clone, Default, Serialize)]
pub(super) struct Quantity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comparator: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Range {
    pub(super) low: Quantity,
    pub(super) high: Quantity,
}

#[derive(Serialize)]
pub(super) struct Ratio {
    pub(super) numerator: Quantity,
    pub(super) denominator: Quantity,
}

#[derive(Clone, Default, Serialize)]
pub(super) struct CodeableConcept {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) coding: Vec<Coding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

#[derive(Clone, Serialize)]
pub(super) struct Coding {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Identifier {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<CodeableConcept>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<String>,
    pub(super) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) assigner: Option<Box<Reference>>,
}

#[derive(Default, Serialize)]
pub(super) struct Reference {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<Identifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Period {
    pub(super) start: String,
    pub(super) end: String,
}

/// A document as it was sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Form {
    pub(super) content_type: String,
    pub(super) data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Annotation {
    pub(super) text: String,
}

#[derive(Serialize)]
pub(super) struct ReferenceRange {
    pub(super) text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Extension {
    pub(super) url: &'static str,
    pub(super) value_annotation: Annotation,
}

/// A text as FHIR takes it; `None`: nothing is left.
pub(super) fn clean(text: &str) -> Option<String> {
    let is_out = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let clean = text.replace(is_out, "\u{fffd}");
    (!clean.trim().is_empty()).then_some(clean)
}

/// The text of an element, all of it.
pub(super) fn whole(element: &Element<'_>) -> Result<Option<String>, Flaw> {
    Ok(element.whole_text()?.value().as_deref().and_then(clean))
}

/// A coded element (CE, CWE): a code and its alternate, and what was meant.
pub(super) fn concept(element: &Element<'_>) -> Result<CodeableConcept, Flaw> {
    let part = |number: u32| whole(&element.component(number));
    let mut coding = Vec::new();
    for first in [1, 4] {
        let (code, display) = (part(first)?.map(|code| code.trim().to_owned()), part(first + 1)?);
        // With a code there is a system; a text alone is the text.
        if code.is_some() {
            coding.push(Coding { system: part(first + 2)?.and_then(|system| named(&system)), code, display });
        }
    }
    let text = part(9)?.or(part(2)?).or(part(5)?);
    Ok(CodeableConcept { coding, text })
}

/// FHIR's name of a coding system of HL7 table 0396; a local one has none that would mean anything
/// elsewhere.
fn named(system: &str) -> Option<String> {
    Some(match system.trim() {
        "LN" => "http://loinc.org".into(),
        "SCT" | "SCT2" | "SNM3" => "http://snomed.info/sct".into(),
        "UCUM" => "http://unitsofmeasure.org".into(),
        "I10" => "http://hl7.org/fhir/sid/icd-10".into(),
        "I10C" => "http://hl7.org/fhir/sid/icd-10-cm".into(),
        "I9C" => "http://hl7.org/fhir/sid/icd-9-cm".into(),
        table if table.len() == 7 && table.starts_with("HL7") => {
            format!("http://terminology.hl7.org/CodeSystem/v2-{}", &table[3..])
        }
        _ => return None,
    })
}

/// Something that is known by an identifier, without saying where it lies.
pub(super) fn known(kind: &'static str, identifier: &record::Identifier) -> Reference {
    Reference { kind: Some(kind), identifier: Some(identified(identifier)), ..Reference::default() }
}

fn identified(identifier: &record::Identifier) -> Identifier {
    let authority = identifier.authority.as_ref();
    let universal = authority.and_then(|authority| authority.universal.as_ref());
    let system = universal.and_then(|(id, kind)| match kind.as_str() {
        "ISO" => Some(format!("urn:oid:{}", id.as_str())),
        "UUID" | "GUID" => Some(format!("urn:uuid:{}", id.as_str().to_lowercase())),
        "URI" => Some(id.as_str().to_owned()),
        _ => None,
    });
    let namespace = authority.and_then(|authority| authority.namespace.as_ref());
    let display = namespace.or(universal.map(|(id, _)| id)).and_then(|name| clean(name.as_str()));
    let kind = identifier.kind.as_ref().and_then(|kind| clean(kind.as_str()));
    Identifier {
        kind: kind.map(|code| coded("http://terminology.hl7.org/CodeSystem/v2-0203", &code)),
        system,
        value: clean(identifier.value.as_str()).unwrap_or_default(),
        assigner: display
            .map(|display| Box::new(Reference { display: Some(display), ..Reference::default() })),
    }
}

/// A code of a system.
pub(super) fn coded(system: &str, code: &str) -> CodeableConcept {
    let coding = Coding { system: Some(system.to_owned()), code: Some(code.to_owned()), display: None };
    CodeableConcept { coding: vec![coding], text: None }
}
