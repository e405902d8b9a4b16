//! ADT messages as systems send them, and what they come to.

use crate::messages::{self, Adt, NOW_MS, at, event, flaw, rules};
use wardline_ehr::given::Given;
use wardline_ehr::hl7::flaw::{Code, Reason};
use wardline_ehr::hl7::place::Name;
use wardline_ehr::hl7::read::{Reading, Rules};
use wardline_ehr::record::{
    Change, Class, Encounter, Event, Identifier, NumberFrom, RoleAction, Status, What,
};

fn encounter(event: &Event) -> (&Encounter, Change) {
    match &event.what {
        What::Encounter(about) => (&about.encounter, about.change),
        other => panic!("{other:?}"),
    }
}

/// Each as `value@namespace`.
fn values(identifiers: &[Identifier]) -> Vec<String> {
    let one = |identifier: &Identifier| {
        let namespace = identifier.authority.as_ref().and_then(|authority| authority.namespace.as_ref());
        format!("{}@{}", identifier.value.as_str(), namespace.map_or("", |namespace| namespace.as_str()))
    };
    identifiers.iter().map(one).collect()
}

#[test]
fn every_event_changes_what_it_should() {
    for (trigger, change, status) in [
        ("A01", Change::Admit, Some(Status::InProgress)),
        ("A02", Change::Transfer, None),
        ("A03", Change::Discharge, Some(Status::Finished)),
        ("A04", Change::Register, Some(Status::InProgress)),
        ("A05", Change::PreAdmit, Some(Status::Planned)),
        ("A08", Change::Update, None),
        ("A11", Change::CancelAdmit, Some(Status::Cancelled)),
        ("A12", Change::CancelTransfer, None),
        ("A13", Change::CancelDischarge, Some(Status::InProgress)),
        ("A21", Change::Leave, Some(Status::OnLeave)),
        ("A22", Change::Return, Some(Status::InProgress)),
        ("A38", Change::CancelAdmit, Some(Status::Cancelled)),
        ("A52", Change::CancelLeave, Some(Status::InProgress)),
        ("A53", Change::CancelReturn, Some(Status::OnLeave)),
    ] {
        let event = event(&Adt::of(trigger).text());
        let (_, changed) = encounter(&event);
        assert_eq!((changed, changed.status(), event.source.trigger), (change, status, trigger));
    }
    for trigger in ["A28", "A31"] {
        let event = event(&Adt::of(trigger).without("PV1").text());
        assert!(matches!(event.what, What::Person(_)), "{trigger}");
    }
}

#[test]
fn the_source_of_an_event_is_who_sent_it_and_when() {
    let event = event(&Adt::of("A01").text());
    let source = &event.source;
    assert_eq!(source.application.as_ref().map(|text| text.as_str()), Some("HIS"));
    assert_eq!(source.facility.as_ref().map(|text| text.as_str()), Some("GH"));
    assert_eq!(source.id.as_str(), "MSG7");
    assert_eq!(source.sent.map(|sent| sent.unix_ms), Some(at("20261130101500+0100")));
    assert_eq!(source.recorded.unix_ms, at("20261130101000+0100"));
    assert_eq!(source.occurred.unix_ms, at("20261130100500+0100"));
}

#[test]
fn times_fall_back_to_what_is_there() {
    let occurred = |evn: &str| event(&Adt::of("A01").with("EVN", evn).text()).source.occurred.unix_ms;
    assert_eq!(occurred("EVN||20261130101000"), at("20261130101000+0100"));
    assert_eq!(occurred("EVN||"), at("20261130101500+0100"), "MSH-7");
    // Only the day is said: then it keeps its place in the order of that day.
    assert_eq!(occurred("EVN||20261130101000||||20261130"), at("20261130101000+0100"));
    assert_eq!(occurred("EVN||20261130101000||||20261129"), at("20261129000000+0100"));
}

#[test]
fn an_encounter_with_all_that_is_read() {
    let event = event(&Adt::of("A02").text());
    let (encounter, _) = encounter(&event);
    assert_eq!(values(std::slice::from_ref(&encounter.number)), ["V100@GH"]);
    assert_eq!(
        (encounter.number_from, encounter.class.clone()),
        (NumberFrom::Visit, Given::Value(Class::Inpatient))
    );
    let location = encounter.location.as_ref().value().expect("it has one");
    let part = |part: &Option<wardline_ehr::record::Text>| part.as_ref().map(|text| text.as_str().to_owned());
    assert_eq!((part(&location.ward), part(&location.bed)), (Some("W2".into()), Some("B7".into())));
    let prior = encounter.prior_location.as_ref().value().expect("it has one");
    assert_eq!((part(&prior.ward), part(&prior.room)), (Some("W1".into()), None));
    let begins = encounter.begins.as_ref().value().expect("it has one");
    assert_eq!(begins.unix_ms, at("20261129080000+0100"));
    let attending = encounter.attending.as_ref().value().expect("there are two");
    let ids: Vec<_> =
        attending.iter().map(|provider| provider.identifier.as_ref().map(|id| id.value.as_str())).collect();
    assert_eq!(ids, [Some("D1"), Some("D2")]);
    assert_eq!((encounter.referring.clone(), encounter.consulting.clone()), (Given::Absent, Given::Null));
    assert_eq!(encounter.admitting.as_ref().value().map(Vec::len), Some(1));
    let roles: Vec<_> = encounter.roles.iter().map(|role| (role.action, role.code.as_str())).collect();
    assert_eq!(roles, [(RoleAction::Begin, "CP"), (RoleAction::End, "AT")]);
}

#[test]
fn null_takes_away_and_nothing_leaves() {
    let update = |pv1: &str| event(&Adt::of("A08").with("PV1", pv1).text());
    let number = "|".repeat(16) + "V100";
    let event = update(&format!("PV1||I|\"\"{number}"));
    assert_eq!(encounter(&event).0.location, Given::Null);
    for nothing in ["", "^^^"] {
        let event = update(&format!("PV1||I|{nothing}{number}"));
        assert_eq!(encounter(&event).0.location, Given::Absent, "{nothing}");
    }
}

#[test]
fn identifiers_have_an_authority_and_come_once() {
    let patient = |pid: &str| match event(&Adt::of("A31").with("PID", pid).text()).what {
        What::Person(patient) => patient.identifiers,
        other => panic!("{other:?}"),
    };
    let all = patient("PID|||1^^^GH^MR~1^^^GH^PI~1^^^LAB^MR~~\"\"^^^GH~2^^^^MR^CLINIC~3");
    assert_eq!(values(&all), ["1@GH", "1@LAB", "2@CLINIC", "3@GH"]);
    let oid = patient("PID|||1^^^&1.2.3&ISO").remove(0).authority.expect("it has one");
    assert_eq!(
        oid.universal.map(|(id, kind)| (id.as_str().to_owned(), kind.as_str().to_owned())),
        Some(("1.2.3".into(), "ISO".into()))
    );
    assert_eq!(values(&patient("PID||8^^^OLD||9")), ["8@OLD"]);
    assert_eq!(values(&patient("PID||||9")), ["9@GH"]);
}

#[test]
fn a_visit_without_number_is_known_by_what_stands_for_it() {
    let of = |pid: &str, pv1: &str| {
        let event = event(&Adt::of("A01").with("PID", pid).with("PV1", pv1).text());
        let (encounter, _) = encounter(&event);
        (encounter.number.value.as_str().to_owned(), encounter.number_from)
    };
    let pv1_50 = format!("PV1||I{}A5", "|".repeat(48));
    let account = "PID|||1|||||||||||||||ACC";
    assert_eq!(of(account, &pv1_50), ("A5".into(), NumberFrom::AlternateVisit));
    assert_eq!(of(account, "PV1||I"), ("ACC".into(), NumberFrom::Account));
    assert_eq!(flaw(&Adt::of("A01").with("PV1", "PV1||I").text()).reason, Reason::NoVisit);
    // An update without any is about the person.
    let update = event(&Adt::of("A08").with("PV1", "PV1||N").text());
    assert!(matches!(update.what, What::Person(_)));
}

#[test]
fn a_merge_names_who_stays_and_who_goes() {
    let event = event(&Adt::of("A40").without("PV1").then("MRG|2^^^GH~NAT^^^STATE").text());
    let What::Merge(merges) = &event.what else { panic!("{event:?}") };
    assert_eq!(merges.len(), 1);
    assert_eq!(values(&merges[0].survivor.identifiers), ["1@GH", "NAT@STATE"]);
    // What both are known by merges nothing.
    assert_eq!(values(&merges[0].prior), ["2@GH"]);
    let two = Adt::of("A40").without("PV1").then("MRG|2").then("PID|||3").then("MRG|4").then("PV1||N").text();
    let event = messages::event(&two);
    assert!(matches!(&event.what, What::Merge(merges) if merges.len() == 2));
}

#[test]
fn a_merge_that_cannot_be_is_refused() {
    let of = |rest: &[&str]| {
        let begin = Adt::of("A40").without("PV1").with("PID", "PID|||1^^^GH");
        flaw(&rest.iter().fold(begin, |adt, segment| adt.then(segment)).text())
    };
    let itself = of(&["MRG|1^^^GH"]);
    assert_eq!(
        (itself.reason, itself.reason.code(), itself.section()),
        (Reason::MergeWithSelf, Code::DuplicateKey, "3.4.9.1".into())
    );
    assert_eq!(itself.at.to_string().split(',').next(), Some("MRG-1"));
    assert_eq!(of(&["MRG|2", "PID|||2", "MRG|1"]).reason, Reason::MergeCircle);
    assert_eq!(of(&["MRG|2", "PID|||2", "MRG|3", "PID|||3", "MRG|1"]).reason, Reason::MergeCircle);
    assert_eq!(of(&["MRG|"]).reason, Reason::FieldMissing);
    assert_eq!(of(&[]).reason, Reason::SegmentMissing(Name::MRG));
    assert_eq!(of(&["PID|||2", "MRG|3"]).reason, Reason::SegmentMissing(Name::MRG));
    assert_eq!(of(&["MRG|2", "MRG|3"]).reason, Reason::SegmentMissing(Name::PID));
    let many: Vec<String> = (0..40).flat_map(|n| [format!("MRG|{n}"), format!("PID|||{n}x")]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(of(&many).reason, Reason::TooManySegments { max: 32 }));
}

#[test]
fn what_is_missing_is_named() {
    for (segment, section) in [("EVN", "3.3.3"), ("PID", "3.3.3"), ("PV1", "3.3.3")] {
        let flaw = flaw(&Adt::of("A03").without(segment).text());
        assert!(matches!(flaw.reason, Reason::SegmentMissing(name) if name.as_str() == segment));
        assert_eq!((flaw.reason.code(), flaw.section()), (Code::SegmentSequence, section.to_owned()));
    }
    for segment in ["EVN||20261130", "PID|||2", "PV1||I"] {
        let flaw = flaw(&Adt::of("A01").then(segment).text());
        assert!(matches!(flaw.reason, Reason::SegmentTwice(_)), "{segment}");
    }
    for pid in ["PID|1", "PID|||^^^GH^MR", "PID|||\"\"", "PID|||~"] {
        let flaw = flaw(&Adt::of("A01").with("PID", pid).text());
        assert_eq!((flaw.reason, flaw.section()), (Reason::NoPatient, "3.4.2.3".to_owned()), "{pid}");
    }
}

#[test]
fn a_header_that_says_too_little_is_refused() {
    let of = |from: &str, to: &str| flaw(&Adt::of("A01").text().replace(from, to));
    assert_eq!(
        of("|MSG7|", "||").to_string(),
        "MSH-10, byte 52: a required field has no value (HL7 v2.5.1, section 2.15.9.10)"
    );
    assert_eq!(of("|ADT^A01|", "||").at.field, 9);
    assert_eq!(of("|P|2.5", "|X|2.5").reason, Reason::ProcessingId);
    assert_eq!(of("|P|2.5", "|P|3.0").reason, Reason::VersionId);
    assert_eq!(of("20261130101500", "2026-11-30").reason, Reason::Time);
}

#[test]
fn an_event_from_the_future_is_refused() {
    let of = |evn: &str| Adt::of("A01").with("EVN", evn).text();
    let ahead = flaw(&of("EVN||20991130101000"));
    assert_eq!((ahead.reason, ahead.section()), (Reason::Future, "3.4.1.2".to_owned()));
    let ahead = flaw(&of("EVN||20261130101000||||20270101"));
    assert_eq!((ahead.reason, ahead.section()), (Reason::Future, "3.4.1.6".to_owned()));
    // As far as clocks may differ it is not the future.
    assert_eq!(NOW_MS, at("20261130120000+0100"));
    event(&of("EVN||20261130125959"));
    assert_eq!(flaw(&of("EVN||20261130130001")).reason, Reason::Future);
    assert_eq!(flaw(&of("EVN||2026")).reason, Reason::TimeTooCoarse);
    // What is planned lies ahead, of course.
    let planned =
        Adt::of("A05").with("PV1", &format!("PV1||P{}V1{}20270101", "|".repeat(17), "|".repeat(25)));
    assert!(encounter(&event(&planned.text())).0.begins.as_ref().value().is_some());
}

#[test]
fn the_event_is_that_of_the_header() {
    let event = event(&Adt::of("A12").with("EVN", "EVN|A02|20261130101000").text());
    assert_eq!(encounter(&event).1, Change::CancelTransfer);
    // Before version 2.2 it stood in EVN alone.
    let old = Adt::of("A03").with("EVN", "EVN|A03|20261130101000").text().replace("ADT^A03", "ADT");
    assert_eq!(encounter(&messages::event(&old)).1, Change::Discharge);
}

#[test]
fn other_messages_are_passed_over_or_refused_as_the_rules_say() {
    let refusing = Rules { refuses_others: true, ..rules() };
    for (kind, reason) in [
        ("ADT^A06", Reason::EventCode),
        ("ADT^Z99", Reason::EventCode),
        ("ADT^junk", Reason::EventCode),
        ("SIU^S12^SIU_S12", Reason::MessageType),
        ("ZZZ^Z01", Reason::MessageType),
    ] {
        let text = Adt::of("A01").text().replace("ADT^A01", kind);
        assert!(matches!(messages::read(&rules(), &text).outcome, Ok(Reading::Ignored)), "{kind}");
        let refused = messages::read(&refusing, &text).outcome.expect_err(kind);
        assert_eq!((refused.reason, refused.section()), (reason, "2.15.9.9".to_owned()), "{kind}");
    }
    let ack = "MSH|^~\\&|A|B|C|D|20261130||ACK|1|P|2.5\rMSA|AA|7\r";
    assert!(matches!(messages::read(&refusing, ack).outcome, Ok(Reading::Acknowledgement)));
}

#[test]
fn tests_are_not_taken_in_production() {
    let training = Adt::of("A01").text().replace("|P|2.5", "|T|2.5");
    assert_eq!(flaw(&training).reason.code(), Code::ProcessingId);
    let taking = Rules { takes_tests: true, ..rules() };
    assert!(messages::read(&taking, &training).outcome.is_ok());
}

#[test]
fn segments_of_the_site_change_nothing() {
    let what = |adt: Adt| event(&adt.text()).what;
    let with = Adt::of("A01").then("ZBE|1^x&y~z|\"\"|\\X00\\").then("ZZZ");
    assert_eq!(what(with), what(Adt::of("A01")));
}

#[test]
fn nothing_that_a_message_says_is_shown() {
    let text = Adt::of("A01").with("PID", "PID|||ZEBRA1||ZEBRA2^ZEBRA3||19700101|F").text();
    let shown = format!("{:?}", event(&text));
    let bad = messages::read(&rules(), &text.replace("19700101", "ZEBRA4"));
    for shown in [shown, format!("{bad:?}"), bad.outcome.expect_err("no time").to_string()] {
        assert!(!shown.contains("ZEBRA") && !shown.contains("1970"), "{shown}");
    }
}
