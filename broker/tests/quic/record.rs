//! The patients' record by way of its registrars: encounters, care conversations, and who sees
//! what.
//!
//! A ward is 4A or 5B, its roster is set first. What is waited for is what people see: who is in a
//! conversation follows the record in steps of its own.

use std::collections::BTreeSet;

use wardline_client::record::{
    CareTeam, Context, Effect, EncounterEvent, EncounterId, EncounterStatus, Identifier, Merge, Naming,
    PatientEvent, Place, Recorded, Roster, SourceEvent, Subject, What, Which,
};
use wardline_client::{Body, Code, ConversationId, Notice, Outgoing, Page, RequestError, Role};

use crate::site::{Person, Site, TENANT, now_ms, refused, until, within};

/// Who may ask what, for people.
const PAGE: &str = include_str!("../../../docs/registrars.md");

on_all_engines![
    an_encounter_is_followed_from_plan_to_cancelled_discharge,
    answers_say_what_came_of_an_event,
    two_patients_become_one,
    who_is_no_registrar_says_nothing,
    an_encounter_is_shown_to_those_whom_the_record_names,
    hospitals_have_records_of_their_own,
];

/// The hospital's feed, with a clock of its own.
struct Feed {
    person: Person,
    clock: u64,
}

impl Feed {
    async fn connect(site: &Site) -> Self {
        Self::of(site, TENANT).await
    }

    async fn of(site: &Site, tenant: &str) -> Self {
        let person = site.with_roles(tenant, "adt", &["registrar"]).await;
        // So that every event lies before now, and after the one before.
        Self { person, clock: now_ms() - 1_000_000 }
    }

    /// The next event.
    fn next(&mut self) -> SourceEvent {
        self.clock += 1_000;
        event(&format!("event {}", self.clock), self.clock)
    }

    async fn says(&mut self, what: What, number: &str, place: Option<Place>) -> Recorded {
        let event = encounter_event(self.next(), what, number, place, &["1"]);
        self.tells(&event).await
    }

    async fn tells(&self, event: &EncounterEvent) -> Recorded {
        within("recording", self.person.client.record_encounter(event)).await.unwrap()
    }

    async fn roster(&mut self, ward: &str, users: &[&str]) -> Recorded {
        let roster = Roster { source: self.next(), ward: ward.into(), users: names(users) };
        within("a roster", self.person.client.set_roster(&roster)).await.unwrap()
    }

    async fn team(&mut self, number: &str, users: &[&str]) -> Recorded {
        let encounter = Identifier::new("VN", number);
        let team = CareTeam { source: self.next(), encounter, users: names(users) };
        within("a team", self.person.client.set_care_team(&team)).await.unwrap()
    }

    async fn stands(&self, id: EncounterId, status: EncounterStatus, ward: &str) {
        let state = within("showing", self.person.client.show_encounter(&Which::Id(id))).await.unwrap();
        assert_eq!((state.context.status, state.context.ward.as_str()), (status, ward));
    }
}

fn names(users: &[&str]) -> Vec<String> {
    users.iter().map(ToString::to_string).collect()
}

fn event(id: &str, time_ms: u64) -> SourceEvent {
    SourceEvent { source: "adt".into(), event_id: id.into(), time_ms }
}

fn named(numbers: &[&str], label: Option<&str>) -> Naming {
    let identifiers = numbers.iter().map(|number| Identifier::new("MRN", *number)).collect();
    Naming { identifiers, label: label.map(Into::into) }
}

fn encounter_event(
    source: SourceEvent,
    what: What,
    number: &str,
    place: Option<Place>,
    patient: &[&str],
) -> EncounterEvent {
    EncounterEvent {
        source,
        encounter: Identifier::new("VN", number),
        what,
        place,
        patient: named(patient, Some("J. Doe")),
    }
}

fn on(ward: &str) -> Option<Place> {
    Some(Place { ward: ward.into(), ward_name: format!("Ward {ward}"), ..Place::default() })
}

fn in_bed(ward: &str, bed: &str) -> Option<Place> {
    Some(Place { room: "12".into(), bed: bed.into(), ..on(ward).unwrap() })
}

/// Waits until these, and nobody else, are in a conversation, as one of them sees it.
async fn until_members(person: &Person, conversation: ConversationId, users: &[&str]) {
    let wanted: BTreeSet<String> = users.iter().map(ToString::to_string).collect();
    until("the members to follow", async || {
        let page = within("members", person.client.members(conversation, 0, None)).await.ok()?;
        let found: BTreeSet<String> = page.items.into_iter().map(|member| member.user).collect();
        (found == wanted).then_some(())
    })
    .await;
}

async fn an_encounter_is_followed_from_plan_to_cancelled_discharge(site: Site) {
    let mut feed = Feed::connect(&site).await;
    let (mut ann, mut cy) = (site.person("ann").await, site.person("cy").await);
    feed.roster("4A", &["ann", "bob"]).await;
    feed.roster("5B", &["cy"]).await;

    let planned = feed.says(What::Plan, "17", on("4A")).await;
    let id = planned.encounter.unwrap();
    assert!(planned.made && planned.effect == Effect::Changed);
    feed.stands(id, EncounterStatus::Planned, "").await;

    let admitted = feed.says(What::Admit, "17", in_bed("4A", "2")).await;
    assert_eq!((admitted.encounter, admitted.made), (Some(id), false));
    let care = ann.joined().await;
    assert_eq!(care.id, id.care_conversation());
    assert_eq!((care.context, care.care, care.role), (Some(id), true, Role::Member));
    assert!(care.title.is_empty() && !care.without_admin);
    until_members(&ann, care.id, &["ann", "bob"]).await;
    within("publishing", ann.client.publish(Outgoing::text(care.id, "NPO from midnight"))).await.unwrap();
    // Nobody manages it.
    refused(Code::Forbidden, ann.client.add_members(care.id, &names(&["eve"]), Role::Member, true)).await;
    refused(Code::Forbidden, ann.client.leave(care.id)).await;

    feed.says(What::Transfer, "17", on("5B")).await;
    let before = ann.left(care.id).await;
    assert_eq!(cy.joined().await.id, care.id);
    assert!(!before.iter().any(|entry| matches!(&entry.body, Body::Notice(Notice::Removed(_)))));
    until_members(&cy, care.id, &["cy"]).await;
    let history = cy.history(care.id).await;
    assert!(history.iter().any(|entry| matches!(&entry.body, Body::Message { .. })), "{history:?}");
    let left = history.iter().find_map(|entry| match &entry.body {
        Body::Notice(Notice::Left(users)) => Some(users.clone()),
        _ => None,
    });
    assert_eq!(left.map(BTreeSet::from_iter), Some(BTreeSet::from(["ann".to_owned(), "bob".to_owned()])));

    feed.team("17", &["dan"]).await;
    until_members(&cy, care.id, &["cy", "dan"]).await;
    feed.says(What::CancelTransfer, "17", in_bed("4A", "2")).await;
    until_members(&ann, care.id, &["ann", "bob", "dan"]).await;

    for (what, status) in [
        (What::Leave, EncounterStatus::OnLeave),
        (What::CancelLeave, EncounterStatus::InProgress),
        (What::Leave, EncounterStatus::OnLeave),
        (What::Return, EncounterStatus::InProgress),
        (What::CancelReturn, EncounterStatus::OnLeave),
        (What::Return, EncounterStatus::InProgress),
        (What::Update, EncounterStatus::InProgress),
    ] {
        feed.says(what, "17", None).await;
        feed.stands(id, status, "Ward 4A").await;
    }
    feed.says(What::Discharge, "17", None).await;
    feed.stands(id, EncounterStatus::Finished, "").await;
    feed.says(What::CancelDischarge, "17", on("4A")).await;
    feed.stands(id, EncounterStatus::InProgress, "Ward 4A").await;
    until_members(&ann, care.id, &["ann", "bob", "dan"]).await;
    feed.says(What::CancelAdmit, "17", None).await;
    feed.stands(id, EncounterStatus::Cancelled, "").await;
}

async fn answers_say_what_came_of_an_event(site: Site) {
    let feed = Feed::connect(&site).await;
    let now = now_ms();
    let admit = encounter_event(event("A01", now - 9_000), What::Admit, "1", in_bed("4A", "1"), &["1"]);
    let first = feed.tells(&admit).await;
    let id = first.encounter;
    assert!(first.made && !first.ahead && !first.disputed && first.bed_also_held_by.is_none());
    assert_eq!(first.effect, Effect::Changed);

    // The same event again, though it says something else now.
    let repeated = encounter_event(event("A01", now), What::Discharge, "1", None, &["1"]);
    let repeated = feed.tells(&repeated).await;
    assert_eq!(
        (repeated.effect, repeated.encounter, repeated.patient),
        (Effect::Repeated, id, first.patient)
    );
    // The same id of another source is another event.
    let mut of_another = encounter_event(event("A01", now - 8_000), What::Admit, "1", None, &["1"]);
    of_another.source.source = "adt 2".into();
    assert_eq!(feed.tells(&of_another).await.effect, Effect::Unchanged);

    let moved = encounter_event(event("A02", now - 5_000), What::Transfer, "1", in_bed("5B", "1"), &["1"]);
    assert_eq!(feed.tells(&moved).await.effect, Effect::Changed);
    let mut late = encounter_event(event("late", now - 6_000), What::Transfer, "1", on("4A"), &["1"]);
    late.patient.label = None;
    assert_eq!(feed.tells(&late).await.effect, Effect::Late);
    feed.stands(id.unwrap(), EncounterStatus::InProgress, "Ward 5B").await;

    let ahead = encounter_event(event("ahead", now + 86_400_000), What::Leave, "1", None, &["1"]);
    assert!(feed.tells(&ahead).await.ahead);
    feed.stands(id.unwrap(), EncounterStatus::OnLeave, "Ward 5B").await;

    // Somebody else in the same bed: both stand there.
    let other = encounter_event(event("bed", now_ms()), What::Admit, "2", in_bed("5B", "1"), &["2"]);
    let other = feed.tells(&other).await;
    assert_eq!(other.bed_also_held_by, id);
    let state = feed.person.client.show_encounter(&Which::Number(Identifier::new("VN", "2"))).await.unwrap();
    assert_eq!((state.bed_also_held_by, state.context.bed.as_str()), (id, "12/1"));

    // A transfer of an encounter that nobody spoke of makes it.
    let unknown = encounter_event(event("unknown", now_ms()), What::Transfer, "3", on("4A"), &["3"]);
    assert!(feed.tells(&unknown).await.made);

    // Numbers of two patients: the first decides.
    let both = PatientEvent { source: event("both", now_ms()), patient: named(&["1", "2"], None) };
    let both = within("a patient", feed.person.client.record_patient(&both)).await.unwrap();
    assert!(both.disputed && both.patient == first.patient && both.encounter.is_none());
}

async fn two_patients_become_one(site: Site) {
    let mut feed = Feed::connect(&site).await;
    let first = encounter_event(feed.next(), What::Admit, "1", on("4A"), &["1"]);
    let second = encounter_event(feed.next(), What::Admit, "2", on("4A"), &["2"]);
    let (first, second) = (feed.tells(&first).await, feed.tells(&second).await);
    // The encounter is of somebody else, as long as they are two.
    let other = encounter_event(feed.next(), What::Leave, "2", None, &["1"]);
    refused(Code::Conflict, feed.person.client.record_encounter(&other)).await;

    let merge = async |feed: &mut Feed, survivor: &[&str], retired: &[&str]| {
        let (survivor, retired) = (named(survivor, None), named(retired, None));
        let merge = Merge { source: feed.next(), survivor, retired };
        feed.person.client.merge_patients(&merge).await
    };
    refused(Code::Conflict, merge(&mut feed, &["1"], &["1"])).await;
    let merged = within("a merge", merge(&mut feed, &["1"], &["2"])).await.unwrap();
    assert_eq!((merged.effect, merged.patient), (Effect::Changed, first.patient));
    let again = within("a merge", merge(&mut feed, &["1"], &["2"])).await.unwrap();
    assert_eq!(again.effect, Effect::Unchanged);
    refused(Code::Conflict, merge(&mut feed, &["2"], &["1"])).await;

    // Both numbers lead to the survivor now, and the encounter is theirs.
    let after = encounter_event(feed.next(), What::Leave, "2", None, &["1"]);
    let after = feed.tells(&after).await;
    assert_eq!((after.encounter, after.patient), (second.encounter, first.patient));
    let state = feed.person.client.show_encounter(&Which::Id(second.encounter.unwrap())).await.unwrap();
    assert_eq!(Some(state.patient), first.patient);

    // More numbers than a patient may have.
    for part in [["3", "4", "5", "6", "7", "8", "9"], ["10", "11", "12", "13", "14", "15", "16"]] {
        let numbers = [&["1"][..], &part].concat();
        let more = PatientEvent { source: feed.next(), patient: named(&numbers, None) };
        within("a patient", feed.person.client.record_patient(&more)).await.unwrap();
    }
    let numbers = ["1", "17", "18"];
    let more = PatientEvent { source: feed.next(), patient: named(&numbers, None) };
    refused(Code::LimitExceeded, feed.person.client.record_patient(&more)).await;
}

async fn who_is_no_registrar_says_nothing(site: Site) {
    let mut feed = Feed::connect(&site).await;
    let mut ann = site.person("ann").await;
    feed.roster("4A", &["ann"]).await;
    let id = feed.says(What::Admit, "1", on("4A")).await.encounter.unwrap();
    ann.joined().await;
    let chief = site.with_roles(TENANT, "chief", &["administrator", "broadcaster"]).await;
    for person in [&ann, &chief] {
        let client = &person.client;
        for what in [What::Plan, What::Admit, What::Transfer, What::Discharge, What::CancelAdmit] {
            let event = encounter_event(feed.next(), what, "1", on("5B"), &["1"]);
            refused(Code::Forbidden, client.record_encounter(&event)).await;
        }
        let patient = PatientEvent { source: feed.next(), patient: named(&["1"], Some("else")) };
        refused(Code::Forbidden, client.record_patient(&patient)).await;
        let merge =
            Merge { source: feed.next(), survivor: named(&["2"], None), retired: named(&["1"], None) };
        refused(Code::Forbidden, client.merge_patients(&merge)).await;
        let roster = Roster { source: feed.next(), ward: "4A".into(), users: names(&["eve"]) };
        refused(Code::Forbidden, client.set_roster(&roster)).await;
        let encounter = Identifier::new("VN", "1");
        let team = CareTeam { source: feed.next(), encounter, users: names(&["eve"]) };
        refused(Code::Forbidden, client.set_care_team(&team)).await;
    }
    feed.stands(id, EncounterStatus::InProgress, "Ward 4A").await;
}

async fn an_encounter_is_shown_to_those_whom_the_record_names(site: Site) {
    let mut feed = Feed::connect(&site).await;
    let mut ann = site.person("ann").await;
    let eve = site.person("eve").await;
    feed.roster("4A", &["ann"]).await;
    let id = feed.says(What::Admit, "1", in_bed("4A", "2")).await.encounter.unwrap();
    feed.team("1", &["dan"]).await;
    let elsewhere = encounter_event(feed.next(), What::Admit, "2", on("5B"), &["2"]);
    let elsewhere = feed.tells(&elsewhere).await;
    ann.joined().await;

    let state = within("showing", ann.client.show_encounter(&Which::Id(id))).await.unwrap();
    let by_number = Which::Number(Identifier::new("VN", "1"));
    assert_eq!(state, within("showing", ann.client.show_encounter(&by_number)).await.unwrap());
    assert_eq!((state.context.label.as_str(), state.context.ward.as_str()), ("J. Doe", "Ward 4A"));
    assert_eq!(state.context.bed, "12/2");
    assert_eq!(state.identifiers, [Identifier::new("MRN", "1")]);
    assert_eq!(state.number, Identifier::new("VN", "1"));
    let subjects: Vec<_> = state.words.iter().map(|word| word.subject).collect();
    assert_eq!(subjects, [Subject::Life, Subject::Place, Subject::Label, Subject::CareTeam, Subject::Roster]);
    let about = within("conversations", ann.client.context_conversations(id, 0, None)).await.unwrap();
    assert_eq!(about.items.iter().map(|item| item.id).collect::<Vec<_>>(), [id.care_conversation()]);

    let contexts = async |person: &Person, ward| {
        let page = within("contexts", person.client.contexts(ward, 0, None)).await.unwrap();
        assert!(page.next.is_none());
        page.items.into_iter().map(|context| context.encounter).collect::<Vec<_>>()
    };
    assert_eq!(contexts(&ann, None).await, [id]);
    assert_eq!(contexts(&ann, Some("4A")).await, [id]);
    assert!(contexts(&ann, Some("5B")).await.is_empty());
    assert_eq!(contexts(&feed.person, Some("4A")).await, [id]);
    assert_eq!(contexts(&feed.person, Some("5B")).await, [elsewhere.encounter.unwrap()]);
    assert!(contexts(&feed.person, Some("nowhere")).await.is_empty());

    // To others it is as if it were not there.
    let nothing = Which::Id(EncounterId([7; 16]));
    for which in [&Which::Id(id), &by_number, &nothing] {
        refused(Code::NotFound, eve.client.show_encounter(which)).await;
    }
    refused(Code::NotFound, feed.person.client.show_encounter(&nothing)).await;
    refused(Code::NotFound, eve.client.context_conversations(id, 0, None)).await;
    refused(Code::NotFound, feed.person.client.context_conversations(id, 0, None)).await;
    assert!(contexts(&eve, None).await.is_empty());
    assert!(contexts(&eve, Some("4A")).await.is_empty());

    // Whoever the record names no more sees it no more, at once.
    feed.roster("4A", &["bob"]).await;
    refused(Code::NotFound, ann.client.show_encounter(&Which::Id(id))).await;
    assert!(contexts(&ann, None).await.is_empty());
}

async fn hospitals_have_records_of_their_own(site: Site) {
    let mut here = Feed::connect(&site).await;
    let mut there = Feed::of(&site, "north").await;
    let ann = site.stranger("north", "ann").await;
    here.roster("4A", &["ann"]).await;
    let one = here.says(What::Admit, "1", in_bed("4A", "1")).await;
    // The same numbers, ward, bed, and event ids.
    there.clock = here.clock - 2_000;
    there.roster("4A", &["bob"]).await;
    let other = there.says(What::Admit, "1", in_bed("4A", "1")).await;
    assert!(other.made && other.effect == Effect::Changed && other.bed_also_held_by.is_none());
    assert_ne!((one.encounter, one.patient), (other.encounter, other.patient));
    refused(Code::NotFound, there.person.client.show_encounter(&Which::Id(one.encounter.unwrap()))).await;
    refused(Code::NotFound, ann.client.show_encounter(&Which::Id(one.encounter.unwrap()))).await;
    let page = within("contexts", there.person.client.contexts(Some("4A"), 0, None)).await.unwrap();
    assert_eq!(
        page.items.iter().map(|context| context.encounter).collect::<Vec<_>>(),
        [other.encounter.unwrap()]
    );
}

/// What somebody is answered to each request about encounter 1, on ward 4A.
async fn answers(person: &Person, feed: &mut Feed, id: EncounterId) -> Vec<(&'static str, &'static str)> {
    let client = &person.client;
    let update = encounter_event(feed.next(), What::Update, "1", None, &["1"]);
    let patient = PatientEvent { source: feed.next(), patient: named(&["1"], Some("J. Doe")) };
    let merge = Merge { source: feed.next(), survivor: named(&["1"], None), retired: named(&["9"], None) };
    let roster = Roster { source: feed.next(), ward: "4A".into(), users: names(&["ann"]) };
    let encounter = Identifier::new("VN", "1");
    let team = CareTeam { source: feed.next(), encounter, users: names(&["dan"]) };
    vec![
        ("`RecordEncounter`", word(client.record_encounter(&update).await)),
        ("`RecordPatient`", word(client.record_patient(&patient).await)),
        ("`MergePatients`", word(client.merge_patients(&merge).await)),
        ("`SetRoster`", word(client.set_roster(&roster).await)),
        ("`SetCareTeam`", word(client.set_care_team(&team).await)),
        ("`ShowEncounter`", word(client.show_encounter(&Which::Id(id)).await)),
        ("`ListContexts`", listed(client.contexts(None, 0, None).await)),
        ("`ListContexts` of a ward", listed(client.contexts(Some("4A"), 0, None).await)),
        ("`ContextConversations`", word(client.context_conversations(id, 0, None).await)),
    ]
}

fn word<T>(answer: Result<T, RequestError>) -> &'static str {
    match answer {
        Ok(_) => "done",
        Err(RequestError::Refused(refusal)) if refusal.code == Code::Forbidden => "forbidden",
        Err(RequestError::Refused(refusal)) if refusal.code == Code::NotFound => "not found",
        Err(other) => panic!("{other}"),
    }
}

/// On the ward there are two encounters; of one the person may be named.
fn listed(answer: Result<Page<Context>, RequestError>) -> &'static str {
    match answer.unwrap().items.len() {
        0 => "none",
        1 => "theirs",
        _ => "all",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_who_may_ask_what() {
    let site = Site::memory().await;
    let mut feed = Feed::connect(&site).await;
    let mut named = site.person("cy").await;
    let id = feed.says(What::Admit, "1", on("4A")).await.encounter.unwrap();
    feed.team("1", &["cy"]).await;
    let other = encounter_event(feed.next(), What::Admit, "2", on("4A"), &["2"]);
    feed.tells(&other).await;
    named.joined().await;
    let anybody = site.with_roles(TENANT, "chief", &["administrator", "broadcaster"]).await;

    // The registrar last: what they say is carried out, and names somebody else.
    let who_is_named = answers(&named, &mut feed, id).await;
    let others = answers(&anybody, &mut feed, id).await;
    let registrar = site.with_roles(TENANT, "adt 2", &["registrar"]).await;
    let registrars = answers(&registrar, &mut feed, id).await;
    let rows = PAGE.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 6);
    let found: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    assert_eq!(found.len(), registrars.len(), "{found:?}");
    for (at, (request, answer)) in registrars.iter().enumerate() {
        let expected = [*answer, who_is_named[at].1, others[at].1];
        assert_eq!((found[at][1], &found[at][3..6]), (*request, &expected[..]));
    }
}
