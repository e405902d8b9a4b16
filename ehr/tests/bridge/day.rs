//! What a day of a ward comes to.

use wardline_client::Incoming;
use wardline_client::record::EncounterStatus::{Finished, InProgress, OnLeave, Planned};

use crate::program::Bridge;
use crate::sender::{Event, Sender};
use crate::site::{Site, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_one_encounter() {
    let site = Site::start().await;
    let (bridge, registrar) = (Bridge::start(&site, &[]), site.registrar().await);
    let mut sender = Sender::to(bridge.sender("his")).await;
    for (minute, (trigger, ward, status, on)) in [
        ("A05", "W1", Planned, ""),
        ("A01", "W1", InProgress, "W1"),
        ("A08", "W9", InProgress, "W1"),
        ("A02", "W2", InProgress, "W2"),
        ("A21", "W2", OnLeave, "W2"),
        ("A22", "W2", InProgress, "W2"),
        ("A12", "W1", InProgress, "W1"),
        ("A03", "W1", Finished, ""),
        ("A13", "W1", InProgress, "W1"),
        ("A03", "", Finished, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let event = Event::of(trigger, minute as u32, "V1", ward);
        assert_eq!(sender.say(&event.text()).await.as_deref(), Some("AA"), "{trigger}");
        // Acknowledged means durable, so seen by whoever asks.
        assert_eq!(registrar.stands("V1").await, (status, on.to_owned()), "{trigger}");
    }
    let state = registrar.encounter("V1").await.unwrap();
    assert_eq!(state.context.label, "Doe, Jane");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_ward_are_in_the_conversations_of_those_who_come() {
    let site = Site::start().await;
    let (bridge, registrar) = (Bridge::start(&site, &[]), site.registrar().await);
    registrar.roster("W1", &["alice"]).await;
    let (_alice, mut inbox) = site.person("alice", &[]).await;
    let mut sender = Sender::to(bridge.sender("his")).await;
    assert_eq!(sender.say(&Event::of("A01", 1, "V1", "W1").text()).await.as_deref(), Some("AA"));
    let joined = within("alice to be brought in", async {
        loop {
            if let Some(Incoming::Joined(conversation)) = inbox.next().await {
                return conversation.id;
            }
        }
    })
    .await;
    assert_eq!(sender.say(&Event::of("A02", 2, "V1", "W2").text()).await.as_deref(), Some("AA"));
    until("alice to leave", async || match inbox.next().await {
        Some(Incoming::Left(id)) if id == joined => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_numbers_of_one_patient_become_one() {
    let site = Site::start().await;
    let (bridge, registrar) = (Bridge::start(&site, &[]), site.registrar().await);
    let mut sender = Sender::to(bridge.sender("his")).await;
    for visit in ["V1", "V2"] {
        assert_eq!(sender.say(&Event::of("A01", 1, visit, "W1").text()).await.as_deref(), Some("AA"));
    }
    let patient = async |visit: &str| registrar.encounter(visit).await.unwrap().patient;
    assert_ne!(patient("V1").await, patient("V2").await);
    let merge = Event::of("A40", 2, "V1", "").text() + "MRG|PV2^^^GH^MR\r";
    let without_visit: String =
        merge.split_inclusive('\r').filter(|segment| !segment.starts_with("PV1")).collect();
    assert_eq!(sender.say(&without_visit).await.as_deref(), Some("AA"));
    assert_eq!(patient("V1").await, patient("V2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_is_acknowledged_twice_and_done_once() {
    let site = Site::start().await;
    let (bridge, registrar) = (Bridge::start(&site, &[]), site.registrar().await);
    let mut sender = Sender::to(bridge.sender("his")).await;
    let admitted = Event::of("A01", 1, "V1", "W1").text();
    let moved = Event::of("A02", 2, "V1", "W2").text();
    for message in [&admitted, &moved, &admitted, &moved] {
        assert_eq!(sender.say(message).await.as_deref(), Some("AA"));
    }
    assert_eq!(registrar.stands("V1").await, (InProgress, "W2".to_owned()));
    let told = |result: &str| {
        bridge.value(&format!("wardline_ehr_commands_total{{sender=\"his\",result=\"{result}\"}}"))
    };
    assert_eq!((told("changed"), told("repeated")), (2.0, 2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_changes_only_what_nothing_was_said_of_since() {
    let site = Site::start().await;
    let (bridge, registrar) = (Bridge::start(&site, &[]), site.registrar().await);
    let mut sender = Sender::to(bridge.sender("his")).await;
    // The transfer and the discharge overtake the admission.
    for event in
        [Event::of("A02", 2, "V1", "W2"), Event::of("A03", 3, "V1", "W2"), Event::of("A01", 1, "V1", "W1")]
    {
        assert_eq!(sender.say(&event.text()).await.as_deref(), Some("AA"));
    }
    assert_eq!(registrar.stands("V1").await, (Finished, String::new()));
}
