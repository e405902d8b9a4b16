//! Results of orders as laboratories send them, as FHIR.

use serde_json::{Value, json};
use wardline_ehr::hl7::flaw::Reason;
use wardline_ehr::hl7::place::Name;
use wardline_ehr::record::{Report, ReportState, Results, What};

use crate::messages::{at, event, flaw};

const MSH: &str = "MSH|^~\\&|LAB|GH|WARDLINE|GH|20261130101500||ORU^R01^ORU_R01|R1|P|2.5.1\r";
const PID: &str = "PID|||1^^^GH&1.2.3&ISO^MR||Doe^Jane\r";
const OBR: &str = "OBR|1|P7|F9|2345-7^Glucose^LN|||20261130093000|||||||||||||||20261130100000||CH|F\r";

fn results(segments: &str) -> Vec<Results> {
    match event(&format!("{MSH}{segments}")).what {
        What::Results(results) => results,
        other => panic!("{other:?}"),
    }
}

fn report(segments: &str) -> Report {
    report_of(&format!("{PID}{OBR}{segments}"))
}

fn fhir(report: &Report) -> Value {
    serde_json::from_str(report.fhir.as_str()).expect("it is JSON")
}

fn report_of(segments: &str) -> Report {
    results(segments).remove(0).reports.remove(0)
}

/// The only observation of a report that has this OBX.
fn observation(obx: &str) -> Value {
    fhir(&report(&format!("{obx}\r")))["contained"][0].clone()
}

#[test]
fn an_order_is_a_report_with_its_observations() {
    let report = report("OBX|1|NM|2345-7^Glucose^LN||7.10|mmol/L^^UCUM|3.9-6.1|H|||F\rNTE|1||fasting\r");
    let fhir = fhir(&report);
    let subject = json!({"type": "Patient", "identifier": {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
        "system": "urn:oid:1.2.3", "value": "1", "assigner": {"display": "GH"}}});
    let glucose = json!({"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}], "text": "Glucose"});
    assert_eq!(fhir["resourceType"], "DiagnosticReport");
    assert_eq!((&fhir["status"], &fhir["code"], &fhir["subject"]), (&json!("final"), &glucose, &subject));
    assert_eq!(fhir["effectiveDateTime"], "2026-11-30T09:30:00+01:00");
    assert_eq!(fhir["issued"], "2026-11-30T10:00:00+01:00");
    assert_eq!(fhir["result"], json!([{"reference": "#o1"}]));
    assert_eq!(fhir["identifier"][0]["value"], "F9");
    assert_eq!(fhir["category"][0]["coding"][0]["code"], "CH");
    let observation = &fhir["contained"][0];
    assert_eq!((&observation["id"], &observation["status"]), (&json!("o1"), &json!("final")));
    assert_eq!(observation["valueQuantity"]["unit"], "mmol/L");
    assert_eq!(observation["valueQuantity"]["system"], "http://unitsofmeasure.org");
    assert!(report.fhir.as_str().contains("\"value\":7.10,"), "the digits are those that were sent");
    assert_eq!(observation["interpretation"][0]["coding"][0]["code"], "H");
    assert_eq!(observation["referenceRange"], json!([{"text": "3.9-6.1"}]));
    assert_eq!(observation["note"], json!([{"text": "fasting"}]));
    assert_eq!(
        (report.order.as_ref().map(|order| order.as_str()), report.state),
        (Some("F9"), ReportState::Final)
    );
    assert_eq!(report.issued.map(|issued| issued.unix_ms), Some(at("20261130100000+0100")));
    assert!(!report.is_critical);
}

#[test]
fn values_of_every_type() {
    for (kind, value, name, wanted) in [
        ("ST", "a \\T\\ b & c^d", "valueString", json!("a & b & c^d")),
        ("TX", "one~two", "valueString", json!("one\ntwo")),
        ("FT", "one\\.br\\two", "valueString", json!("one\ntwo")),
        ("NM", "negative", "valueString", json!("negative")),
        ("NM", "5~6", "valueString", json!("5\n6")),
        ("SN", "<^5", "valueQuantity", json!({"value": 5, "comparator": "<"})),
        ("SN", "^1^:^128", "valueRatio", json!({"numerator": {"value": 1}, "denominator": {"value": 128}})),
        ("SN", "^2^-^4", "valueRange", json!({"low": {"value": 2}, "high": {"value": 4}})),
        ("SN", "~^5", "valueString", json!("\n^5")),
        ("SN", "about^5", "valueString", json!("about^5")),
        (
            "CWE",
            "A^Group A^L",
            "valueCodeableConcept",
            json!({"coding": [{"code": "A", "display": "Group A"}], "text": "Group A"}),
        ),
        ("CE", "^free text", "valueCodeableConcept", json!({"text": "free text"})),
        ("DT", "20261130", "valueDateTime", json!("2026-11-30")),
        ("TS", "202611300915+0000", "valueDateTime", json!("2026-11-30T09:15:00+00:00")),
        ("DTM", "yesterday", "valueString", json!("yesterday")),
        ("TM", "0915", "valueTime", json!("09:15:00")),
        ("TM", "2599", "valueString", json!("2599")),
        ("XPN", "Doe^Jane", "valueString", json!("Doe^Jane")),
    ] {
        let observation = observation(&format!("OBX|1|{kind}|X^Test^L||{value}||||||F"));
        assert_eq!(observation[name], wanted, "{kind} {value}");
        assert!(observation.get("dataAbsentReason").is_none());
    }
    for nothing in ["", "\"\""] {
        let observation = observation(&format!("OBX|1||X^Test^L||{nothing}||||||X"));
        assert_eq!(observation["dataAbsentReason"]["coding"][0]["code"], "unknown");
        assert_eq!(observation["status"], "cancelled");
    }
}

#[test]
fn a_document_is_a_form_of_the_report() {
    for (data, wanted) in [
        ("^application^pdf^Base64^SGVsbG8=", "SGVsbG8="),
        ("^application^PDF^Base64^SGVs\\.br\\bG8=", "SGVsbG8="),
        ("^application^pdf^Hex^48656C6C6F", "SGVsbG8="),
        ("^application^pdf^A^Hello", "SGVsbG8="),
    ] {
        let fhir = fhir(&report(&format!("OBX|1|ED|X^The report^L||{data}||||||F\r")));
        let form = json!([{"contentType": "application/pdf", "data": wanted, "title": "The report"}]);
        assert_eq!((&fhir["presentedForm"], fhir.get("contained")), (&form, None), "{data}");
    }
    for data in ["Base64^a*b", "Hex^0", "Hex^0g", "Hex^+1", "Latin^x"] {
        let bad = format!("{MSH}{PID}{OBR}OBX|1|ED|X^The report^L||^application^pdf^{data}||||||F\r");
        let flaw = flaw(&bad);
        assert_eq!((flaw.reason, flaw.section()), (Reason::Document, "2.A.24".to_owned()), "{data}");
    }
}

#[test]
fn what_is_critical_is_known() {
    for (flag, is_critical) in
        [("HH", true), ("LL", true), ("AA", true), ("N~HH", true), ("H", false), ("", false), ("\"\"", false)]
    {
        let report = report(&format!("OBX|1|NM|X^Test^L||9|||{flag}|||F\r"));
        assert_eq!(report.is_critical, is_critical, "{flag}");
    }
    // What was taken back needs nobody to look at it at once.
    assert!(!report("OBX|1|NM|X^Test^L||9|||HH|||W\r").is_critical);
}

#[test]
fn a_result_that_is_corrected_and_taken_back_says_so() {
    let states = ["F", "C", "W"].map(|status| {
        let report = report(&format!("OBX|1|NM|X^Test^L||9||||||{status}\r"));
        (report.state, fhir(&report)["contained"][0]["status"].clone())
    });
    let wanted = [
        (ReportState::Final, json!("final")),
        (ReportState::Corrected, json!("corrected")),
        (ReportState::Withdrawn, json!("entered-in-error")),
    ];
    assert_eq!(states, wanted);
    assert!(states.is_sorted_by_key(|(state, _)| *state));
}

#[test]
fn a_message_may_have_several_patients_and_orders() {
    let obr = |number: &str| format!("OBR|1||{number}|X^Test^L\rOBX|1|ST|Y^Part^L||a||||||F\r");
    let all = format!(
        "{PID}PV1||I|{}V5\rORC|RE||FROM-ORC\r{}NTE|1||on the part\r{}{}PID|||2\r{}",
        "|".repeat(16),
        obr(""),
        obr("B"),
        "NTE|1||on part B\r",
        obr("C")
    );
    let results = results(&all);
    let orders = |results: &Results| -> Vec<_> {
        results
            .reports
            .iter()
            .map(|report| report.order.as_ref().map(|order| order.as_str().to_owned()))
            .collect()
    };
    assert_eq!(orders(&results[0]), [Some("FROM-ORC".to_owned()), Some("B".to_owned())]);
    assert_eq!(orders(&results[1]), [Some("C".to_owned())]);
    assert_eq!(results[0].encounter.as_ref().map(|number| number.value.as_str()), Some("V5"));
    assert_eq!((results[1].encounter.clone(), results[1].patient.identifiers[0].value.as_str()), (None, "2"));
    assert_eq!(fhir(&results[0].reports[0])["encounter"]["identifier"]["value"], "V5");
    assert_eq!(fhir(&results[0].reports[1])["contained"][0]["note"][0]["text"], "on part B");
}

#[test]
fn a_note_on_the_whole_stands_with_the_whole() {
    let fhir = fhir(&report("NTE|1||haemolytic\rOBX|1|ST|X^Test^L||a||||||F\r"));
    assert_eq!(fhir["extension"][0]["valueAnnotation"]["text"], "haemolytic");
}

#[test]
fn results_that_are_incomplete_are_refused() {
    let of = |segments: &str| flaw(&format!("{MSH}{segments}"));
    assert_eq!(of(PID).reason, Reason::SegmentMissing(Name::OBR));
    assert_eq!(of(OBR).reason, Reason::SegmentMissing(Name::PID));
    // About the patient, and before all orders: no result, and no harm.
    let before = report_of(&format!("{PID}OBX|1|ST|X||a\r{OBR}"));
    assert_eq!(fhir(&before).get("contained"), None);
    assert_eq!(of("").reason, Reason::SegmentMissing(Name::PID));
    assert_eq!(of(&format!("{PID}OBX|1|ST|X||a\r")).reason, Reason::SegmentMissing(Name::OBR));
    assert_eq!(of(&format!("PID|1\r{OBR}")).reason, Reason::NoPatient);
    assert_eq!(of(&format!("{PID}OBR|1|2|3\r")).to_string().split(',').next(), Some("OBR-4"));
    let no_code = of(&format!("{PID}{OBR}OBX|1|ST|||a\r"));
    assert_eq!((no_code.reason, no_code.section()), (Reason::FieldMissing, "7.4.2.3".to_owned()));
    let no_type = of(&format!("{PID}{OBR}OBX|1||X||a\r"));
    assert_eq!((no_type.reason, no_type.section()), (Reason::FieldMissing, "7.4.2.2".to_owned()));
    let late = flaw(&format!("{MSH}{PID}{OBR}").replace("|20261130101500|", "|20991130|"));
    assert_eq!((late.reason, late.section()), (Reason::Future, "2.15.9.7".to_owned()));
}
