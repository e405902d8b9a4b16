//! What events come to at the broker.

use std::collections::BTreeMap;

use wardline_client::record::{Identifier, Merge, Naming, Place, What};
use wardline_ehr::hl7::ack::Objection;
use wardline_ehr::hl7::flaw::Code;
use wardline_ehr::outlet::Terms;
use wardline_ehr::outlet::commands::{Command, commands};

use crate::messages::{Adt, at, event};

fn terms() -> Terms {
    Terms { name: "his".into(), labels: true, ..Terms::default() }
}

fn told(adt: &Adt, terms: &Terms) -> Vec<Command> {
    commands(&event(&adt.text()), terms).expect("it can be told").all
}

fn one(adt: &Adt, terms: &Terms) -> wardline_client::record::EncounterEvent {
    match told(adt, terms).remove(0) {
        Command::Encounter(event) => event,
        other => panic!("{other:?}"),
    }
}

fn objection(adt: &Adt, terms: &Terms) -> Objection {
    commands(&event(&adt.text()), terms).expect_err("it cannot be told")
}

fn number(authority: &str, value: &str) -> Identifier {
    Identifier { authority: authority.into(), value: value.into() }
}

#[test]
fn every_event_becomes_its_command_with_the_place_that_it_says() {
    for (trigger, what, has_place) in [
        ("A01", What::Admit, true),
        ("A02", What::Transfer, true),
        ("A03", What::Discharge, true),
        ("A04", What::Admit, true),
        ("A05", What::Plan, true),
        ("A08", What::Update, false),
        ("A11", What::CancelAdmit, false),
        ("A12", What::CancelTransfer, true),
        ("A13", What::CancelDischarge, true),
        ("A21", What::Leave, true),
        ("A22", What::Return, true),
        ("A38", What::CancelAdmit, false),
        ("A52", What::CancelLeave, true),
        ("A53", What::CancelReturn, true),
    ] {
        let event = one(&Adt::of(trigger), &terms());
        assert_eq!((event.what, event.place.is_some()), (what, has_place), "{trigger}");
    }
    let moves = Terms { update_moves: true, ..terms() };
    assert!(one(&Adt::of("A08"), &moves).place.is_some());
}

#[test]
fn an_encounter_is_told_with_all_that_the_broker_keeps() {
    let event = one(&Adt::of("A01"), &terms());
    assert_eq!(event.encounter, number("GH", "V100"));
    let (ward, room, bed) = ("W2".into(), "R3".into(), "B7".into());
    assert_eq!(event.place, Some(Place { ward, ward_name: String::new(), room, bed }));
    let identifiers = vec![number("GH", "1"), number("STATE", "NAT")];
    assert_eq!(event.patient, Naming { identifiers, label: Some("Doe, Jane".into()) });
    assert_eq!(event.source.source, "his");
    assert_eq!(event.source.time_ms, u64::try_from(at("20261130100500+0100")).expect("after 1970"));
}

#[test]
fn the_same_message_is_the_same_event_and_another_is_not() {
    let id = |adt: &Adt| one(adt, &terms()).source.event_id;
    let adt = Adt::of("A01");
    assert_eq!(id(&adt), id(&adt));
    assert!(id(&adt).starts_with("MSG7.") && id(&adt).len() == "MSG7.".len() + 32);
    // A sender that began to count anew says something else under the same id.
    assert_ne!(id(&adt), id(&adt.clone().with("PID", "PID|||2^^^GH^MR||Doe^Jim")));
    let long = "7".repeat(200);
    let header = format!("MSH|^~\\&|HIS|GH|WARDLINE|GH|20261130101500||ADT^A01|{long}|P|2.5");
    let of_long = id(&adt.clone().with("MSH", &header));
    assert!(of_long.starts_with('.') && of_long.len() == 33, "{of_long}");
}

#[test]
fn a_transfer_without_a_ward_is_refused() {
    for trigger in ["A02", "A12"] {
        for location in ["", "\"\"", "^R3^B7"] {
            let pv1 = format!("PV1||I|{location}|{}V100", "|".repeat(15));
            let objection = objection(&Adt::of(trigger).with("PV1", &pv1), &terms());
            let at = objection.at.expect("it says where").to_string();
            assert_eq!((objection.code, at.starts_with("PV1-3")), (Code::RequiredField, true), "{at}");
        }
    }
}

#[test]
fn words_of_the_site_stand_for_those_of_the_sender() {
    let word = |word: &str, meant: &str| BTreeMap::from([(word.to_owned(), meant.to_owned())]);
    let authorities = Terms { authorities: word("GH", "urn:oid:1.2"), ..terms() };
    assert_eq!(one(&Adt::of("A01"), &authorities).patient.identifiers[0], number("urn:oid:1.2", "1"));
    let pid = Adt::of("A01").with("PID", "PID|||1^^^GH&1.2.3&ISO^MR||Doe^Jane");
    assert_eq!(one(&pid, &terms()).patient.identifiers[0], number("1.2.3", "1"));
    assert_eq!(one(&pid, &authorities).patient.identifiers[0], number("urn:oid:1.2", "1"));
    let ward = |wards| one(&Adt::of("A01"), &Terms { wards, ..terms() }).place.expect("there is one").ward;
    assert_eq!(ward(word("W2", "medicine")), "medicine");
    assert_eq!(ward(word("GH/W2", "medicine")), "medicine");
    assert_eq!(ward(word("SOUTH/W2", "surgery")), "W2");
}

#[test]
fn whoever_assigned_must_be_said_by_somebody() {
    let adt = Adt::of("A01")
        .with("MSH", "MSH|^~\\&|||WARDLINE|GH|20261130101500||ADT^A01|MSG7|P|2.5")
        .with("PID", "PID|||1||Doe^Jane");
    let refused = objection(&adt, &terms());
    assert!(refused.at.is_some_and(|at| at.to_string().starts_with("PID-3.4")), "{refused:?}");
    let site = Terms { authority: "GH".into(), ..terms() };
    assert_eq!(one(&adt, &site).patient.identifiers, [number("GH", "1")]);
}

#[test]
fn of_many_identifiers_the_lasting_ones_are_told() {
    let many: Vec<String> = (0..10).map(|n| format!("X{n}^^^GH^VN")).collect();
    let pid = format!("PID|||{}~P^^^GH^PI~M^^^GH^MR||Doe^Jane", many.join("~"));
    let adt = Adt::of("A01").with("PID", &pid);
    let commands = commands(&event(&adt.text()), &terms()).expect("it can be told");
    assert_eq!(commands.left_out, 4);
    let Command::Encounter(event) = &commands.all[0] else { panic!("{commands:?}") };
    let values: Vec<&str> = event.patient.identifiers.iter().map(|one| one.value.as_str()).collect();
    assert_eq!(values, ["M", "P", "X0", "X1", "X2", "X3", "X4", "X5"]);
}

#[test]
fn what_is_longer_than_is_kept_is_refused_where_it_stands() {
    let long = "7".repeat(129);
    for (name, segment, place) in [
        ("PID", format!("PID|||{long}^^^GH^MR"), "PID-3"),
        ("PV1", format!("PV1||I|{long}|{}V100", "|".repeat(15)), "PV1-3"),
        ("PV1", format!("PV1||I|W2^^{long}|{}V100", "|".repeat(15)), "PV1-3"),
        ("PV1", format!("PV1||I|W2|{}{long}", "|".repeat(15)), "PV1-19"),
    ] {
        let objection = objection(&Adt::of("A01").with(name, &segment), &terms());
        let at = objection.at.expect("it says where").to_string();
        assert!(at.starts_with(place) && !objection.text.contains('7'), "{at}");
    }
}

#[test]
fn names_are_labels_unless_the_site_does_not_want_them() {
    let label = |pid: &str, terms: &Terms| {
        let Command::Patient(event) = told(&Adt::of("A31").without("PV1").with("PID", pid), terms).remove(0)
        else {
            panic!("{pid}")
        };
        event.patient.label
    };
    assert_eq!(label("PID|||1^^^GH||Doe^Jane^Q", &terms()).as_deref(), Some("Doe, Jane Q"));
    assert_eq!(label("PID|||1^^^GH||^Jane", &terms()).as_deref(), Some("Jane"));
    assert_eq!(label("PID|||1^^^GH", &terms()), None);
    assert_eq!(label("PID|||1^^^GH||\"\"", &terms()).as_deref(), Some(""));
    assert_eq!(label("PID|||1^^^GH||Doe^Jane", &Terms { labels: false, ..terms() }), None);
    let long = label(&format!("PID|||1^^^GH||{}^{}", "a".repeat(150), "b".repeat(150)), &terms());
    assert!(long.is_some_and(|long| long.len() == 256));
}

#[test]
fn each_pair_of_a_merge_is_an_event_of_its_own() {
    let adt = Adt::of("A40").without("PV1").then("MRG|2^^^GH");
    // As HL7 wants it: EVN, PID, MRG.
    let [Command::Merge(Merge { source, survivor, retired })] = &told(&adt, &terms())[..] else {
        panic!("there is one")
    };
    assert!(!source.event_id.contains('#'));
    assert_eq!(
        (&survivor.identifiers[0], &retired.identifiers[..]),
        (&number("GH", "1"), &[number("GH", "2")][..])
    );
    assert_eq!(retired.label, None);
    let two = adt.then("PID|||3^^^GH").then("MRG|4^^^GH");
    let ids: Vec<String> = told(&two, &terms())
        .into_iter()
        .map(|command| match command {
            Command::Merge(merge) => merge.source.event_id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(ids[0].ends_with("#1") && ids[1].ends_with("#2"), "{ids:?}");
}
