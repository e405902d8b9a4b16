//! What no registrar should send, and how much of the rest at once: without the SDK.

use std::collections::HashSet;

use serde_json::json;
use wardline_client::Code;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{
    ContextConversations, EncounterEventKind, Identifier, ListContexts, MergePatients, PatientNaming, Place,
    RecordEncounter, RecordPatient, Recorded, Renew, SetCareTeam, SetRoster, ShowEncounter, SourceEvent,
};

use crate::raw::{Raw, hello};
use crate::site::{Site, TENANT, claims, now_ms};
use crate::witness::Witness;

fn token(site: &Site, roles: &[&str]) -> String {
    site.issuer.sign(&claims(TENANT, "adt", json!(roles)))
}

async fn registrar(site: &Site) -> Raw {
    Raw::silent(site).await.says(hello(token(site, &["registrar"]), "adt", 1)).await
}

fn event(id: &str) -> Option<SourceEvent> {
    Some(SourceEvent { source: "adt".into(), event_id: id.into(), time_ms: now_ms() })
}

fn identifier(value: &str) -> Identifier {
    Identifier { authority: "MRN".into(), value: value.into() }
}

fn patient() -> Option<PatientNaming> {
    Some(PatientNaming { identifiers: vec![identifier("1")], label: Some("J. Doe".into()) })
}

/// An event with nothing wrong.
fn good(id: &str, kind: EncounterEventKind) -> RecordEncounter {
    RecordEncounter {
        event: event(id),
        encounter: Some(identifier("17")),
        kind: kind.into(),
        place: Some(Place {
            ward: "4A".into(),
            ward_name: "Ward 4A".into(),
            room: "12".into(),
            bed: "2".into(),
        }),
        patient: patient(),
    }
}

/// A good event in which one thing is wrong.
fn wrong(change: impl FnOnce(&mut RecordEncounter)) -> Request {
    let mut event = good("wrong", EncounterEventKind::Admit);
    change(&mut event);
    Request::RecordEncounter(event)
}

fn wrong_naming(change: impl FnOnce(&mut PatientNaming)) -> Request {
    wrong(|event| change(event.patient.as_mut().unwrap()))
}

fn wrong_place(change: impl FnOnce(&mut Place)) -> Request {
    wrong(|event| change(event.place.as_mut().unwrap()))
}

fn wrong_event(change: impl FnOnce(&mut SourceEvent)) -> Request {
    wrong(|event| change(event.event.as_mut().unwrap()))
}

fn wrong_number(change: impl FnOnce(&mut Identifier)) -> Request {
    wrong(|event| change(event.encounter.as_mut().unwrap()))
}

fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// What an encounter event may not say, and the field that the refusal names.
fn wrong_encounters() -> Vec<(&'static str, Request)> {
    vec![
        ("event: must be there", wrong(|event| event.event = None)),
        ("event.source", wrong_event(|event| event.source.clear())),
        ("event.source", wrong_event(|event| event.source = long(129))),
        ("event.source", wrong_event(|event| event.source = "a\nb".into())),
        ("event.event_id", wrong_event(|event| event.event_id.clear())),
        ("event.event_id", wrong_event(|event| event.event_id = long(257))),
        ("event.event_id", wrong_event(|event| event.event_id = "a\u{0}".into())),
        ("event.time_ms", wrong_event(|event| event.time_ms = 0)),
        ("encounter: must be there", wrong(|event| event.encounter = None)),
        ("encounter.authority", wrong_number(|number| number.authority.clear())),
        ("encounter.authority", wrong_number(|number| number.authority = long(129))),
        ("encounter.value", wrong_number(|number| number.value.clear())),
        ("encounter.value", wrong_number(|number| number.value = long(129))),
        ("encounter.value", wrong_number(|number| number.value = "\u{85}".into())),
        ("kind: must say", wrong(|event| event.kind = 0)),
        ("kind: unknown", wrong(|event| event.kind = 13)),
        ("kind: unknown", wrong(|event| event.kind = -1)),
        ("place.ward:", wrong_place(|place| place.ward.clear())),
        ("place.ward:", wrong_place(|place| place.ward = long(129))),
        ("place.ward_name", wrong_place(|place| place.ward_name = long(129))),
        ("place.ward_name", wrong_place(|place| place.ward_name = "\u{1b}[2J".into())),
        ("place.room", wrong_place(|place| place.room = long(65))),
        ("place.bed", wrong_place(|place| place.bed = long(65))),
        ("patient: must be there", wrong(|event| event.patient = None)),
        ("patient.identifiers: 0", wrong_naming(|naming| naming.identifiers.clear())),
        ("patient.identifiers: 9", wrong_naming(|naming| naming.identifiers = vec![identifier("1"); 9])),
        ("patient.identifiers.authority", wrong_naming(|naming| naming.identifiers[0].authority.clear())),
        ("patient.identifiers.value", wrong_naming(|naming| naming.identifiers[0].value = long(129))),
        ("patient.label", wrong_naming(|naming| naming.label = Some(long(257)))),
        ("patient.label", wrong_naming(|naming| naming.label = Some("J.\tDoe".into()))),
    ]
}

/// The same of the other requests.
fn wrong_others() -> Vec<(&'static str, Request)> {
    let without_place = |kind| Request::RecordEncounter(RecordEncounter { place: None, ..good("x", kind) });
    let merge =
        |survivor, retired| Request::MergePatients(MergePatients { event: event("x"), survivor, retired });
    let roster = |ward: String, users| Request::SetRoster(SetRoster { event: event("x"), ward, users });
    let team = |encounter, users| Request::SetCareTeam(SetCareTeam { event: event("x"), encounter, users });
    let of = |ward: String, page_token: &'static [u8]| {
        Request::ListContexts(ListContexts { ward, page_size: 0, page_token: page_token.into() })
    };
    let conversations = |encounter_id: &'static [u8]| {
        Request::ContextConversations(ContextConversations {
            encounter_id: encounter_id.into(),
            ..Default::default()
        })
    };
    vec![
        ("place:", without_place(EncounterEventKind::Transfer)),
        ("place:", without_place(EncounterEventKind::CancelTransfer)),
        (
            "patient: must be there",
            Request::RecordPatient(RecordPatient { event: event("x"), patient: None }),
        ),
        ("event: must be there", Request::RecordPatient(RecordPatient { event: None, patient: patient() })),
        ("survivor: must be there", merge(None, patient())),
        ("retired: must be there", merge(patient(), None)),
        ("retired.identifiers", merge(patient(), Some(PatientNaming::default()))),
        ("ward:", roster(String::new(), Vec::new())),
        ("ward:", roster(long(129), Vec::new())),
        ("users: 257", roster("4A".into(), vec!["ann".into(); 257])),
        ("users:", roster("4A".into(), vec![String::new()])),
        ("users:", roster("4A".into(), vec![long(129)])),
        ("encounter: must be there", team(None, Vec::new())),
        ("users: 257", team(Some(identifier("17")), vec!["ann".into(); 257])),
        ("users:", team(Some(identifier("17")), vec!["a\u{7}".into()])),
        ("ward:", of(long(129), b"")),
        ("page_token", of(String::new(), b"short")),
        ("encounter_id", conversations(b"short")),
        ("which:", Request::ShowEncounter(ShowEncounter { which: None })),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_out_of_bounds_is_named() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let mut raw = registrar(&site).await;
    for (field, request) in wrong_encounters().into_iter().chain(wrong_others()) {
        let error = raw.refused(request, Code::InvalidArgument).await;
        assert!(error.text.starts_with(field), "{field}: {}", error.text);
        assert!(!error.text.contains("xx") && !error.text.contains("Doe"), "{}", error.text);
    }
    let too_many = ListContexts { page_size: 100_000, ..Default::default() };
    raw.refused(Request::ListContexts(too_many), Code::PageTooLarge).await;
    // What is at its bounds is taken.
    let mut bounds = good("bounds", EncounterEventKind::Admit);
    bounds.event = Some(SourceEvent { source: long(128), event_id: long(256), time_ms: u64::MAX });
    bounds.encounter = Some(Identifier { authority: long(128), value: long(128) });
    bounds.place = Some(Place { ward: long(128), ward_name: long(128), room: long(64), bed: long(64) });
    let numbers = (0..8).map(|n| Identifier { authority: long(128), value: format!("{n}{}", long(127)) });
    bounds.patient = Some(PatientNaming { identifiers: numbers.collect(), label: Some(long(256)) });
    let taken = recorded(raw.ask(Request::RecordEncounter(bounds)).await);
    assert!(taken.made && taken.ahead);
    let users = (0..256).map(|n| format!("{n:0>128}")).collect();
    let roster = SetRoster { event: event("roster"), ward: long(128), users };
    assert!(recorded(raw.ask(Request::SetRoster(roster)).await).made);
    witness.stays_unharmed().await;
}

fn recorded(response: Response) -> Recorded {
    match response {
        Response::Recorded(recorded) => recorded,
        other => panic!("{other:?} instead of Recorded"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_is_that_of_the_latest_token() {
    let site = Site::memory().await;
    let mut raw = registrar(&site).await;
    recorded(raw.ask(Request::RecordEncounter(good("1", EncounterEventKind::Admit))).await);
    raw.ask(Request::Renew(Renew { token: token(&site, &[]) })).await;
    let event = good("2", EncounterEventKind::Discharge);
    raw.refused(Request::RecordEncounter(event), Code::Forbidden).await;
    raw.ask(Request::Renew(Renew { token: token(&site, &["nurse", "registrar"]) })).await;
    recorded(raw.ask(Request::RecordEncounter(good("3", EncounterEventKind::Discharge))).await);
}

/// The feed of a hospital is one user: so much at once, of what takes away and of the rest, fits
/// into that one's share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_may_say_a_thousand_things_at_once() {
    const COUNT: u64 = 1_000;
    let site = Site::memory().await;
    let mut raw = registrar(&site).await;
    let kinds = [EncounterEventKind::Admit, EncounterEventKind::Transfer, EncounterEventKind::Discharge];
    for id in 0..COUNT {
        let mut event = good(&id.to_string(), kinds[id as usize % kinds.len()]);
        event.encounter = Some(identifier(&format!("visit {}", id / 3)));
        event.patient =
            Some(PatientNaming { identifiers: vec![identifier(&(id / 3).to_string())], label: None });
        raw.control.send(100 + id, Request::RecordEncounter(event)).await;
    }
    let (mut made, mut answered) = (0, HashSet::new());
    for _ in 0..COUNT {
        let (id, response) = raw.control.next().await;
        made += u64::from(recorded(response).made);
        assert!(answered.insert(id), "{id} is answered twice");
    }
    assert_eq!(made, COUNT.div_ceil(3));
}
