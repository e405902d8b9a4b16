//! Odd senders and odd messages.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use wardline_client::record::EncounterStatus::InProgress;

use crate::program::Bridge;
use crate::sender::{Event, Sender};
use crate::site::{Site, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_its_place_and_the_connection_goes_on() {
    let site = Site::start().await;
    let bridge =
        Bridge::start(&site, &["senders.strict.listen=127.0.0.1:0", "senders.strict.refuse_others=true"]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    let admitted = Event::of("A01", 1, "V1", "W1").text();
    let without_patient = admitted.replace("PV1^^^GH^MR", "");
    let without_visit = admitted.replace("V1^^^GH\r", "\r");
    let nowhere = Event::of("A02", 2, "V1", "").text();
    let huge = admitted.clone() + "ZZZ|" + &"x".repeat(10 << 20);
    for (message, place) in [
        (&without_patient, "PID^1^3"),
        (&without_visit, "PV1^1^19"),
        (&nowhere, "PV1^1^3"),
        (&huge, "longer than 1048576 bytes"),
    ] {
        assert!(sender.send(message).await);
        let answer = sender.hear().await.unwrap();
        assert!(answer.contains("\rMSA|AR|") && answer.contains(place), "{answer} does not say {place}");
    }
    assert_eq!(sender.say(&admitted).await.as_deref(), Some("AA"));

    let unknown = admitted.replace("ADT^A01", "ADT^A60");
    let results = admitted.replace("ADT^A01", "ORU^R01") + "OBR|1|||GLU^Glucose\r";
    let mut strict = Sender::to(bridge.sender("strict")).await;
    for (message, code) in [(&unknown, "201"), (&results, "201")] {
        assert_eq!(sender.say(message).await.as_deref(), Some("AA"));
        assert!(strict.send(message).await);
        let answer = strict.hear().await.unwrap();
        assert!(answer.contains("\rMSA|AR|") && answer.contains(code), "{answer}");
    }
    assert_eq!(bridge.value("wardline_ehr_results_passed_over_total{sender=\"his\"}"), 1.0);
    assert_eq!(bridge.value("wardline_ehr_messages_total{sender=\"his\",outcome=\"ignored\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_patients_encounter_is_refused_for_good() {
    let site = Site::start().await;
    let bridge = Bridge::start(&site, &[]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    let mut event = Event::of("A01", 1, "V1", "W1");
    assert_eq!(sender.say(&event.text()).await.as_deref(), Some("AA"));
    // Known, as somebody else.
    let other = Event::of("A01", 2, "V2", "W1");
    assert_eq!(sender.say(&other.text()).await.as_deref(), Some("AA"));
    event.patient = other.patient;
    event.minute = 3;
    assert!(sender.send(&event.text()).await);
    let answer = sender.hear().await.unwrap();
    assert!(answer.contains("\rMSA|AR|") && answer.contains("|205^"), "{answer}");
    assert!(!answer.contains("PV2") && !answer.contains("Doe"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_never_reads_its_answers_holds_up_nobody() {
    let site = Site::start().await;
    let (bridge, registrar) = (Bridge::start(&site, &["limits.write=2s"]), site.registrar().await);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(bridge.sender("his")).await.unwrap();
    // It sends one event after the other until it is let go, and reads nothing.
    let sending = tokio::spawn(async move {
        let mut number = 0;
        loop {
            let event = Event::of("A01", 1, &format!("D{number}"), "W9").text();
            if deaf.write_all(format!("\x0b{event}\x1c\r").as_bytes()).await.is_err() {
                return number;
            }
            number += 1;
        }
    });
    let mut sender = Sender::to(bridge.sender("his")).await;
    for minute in 0..20 {
        let event = Event::of(if minute == 0 { "A01" } else { "A02" }, minute, "V1", "W1");
        assert_eq!(sender.say(&event.text()).await.as_deref(), Some("AA"));
    }
    assert_eq!(registrar.stands("V1").await, (InProgress, "W1".to_owned()));
    within("it to be let go", sending).await.unwrap();
    until("it to be told", async || {
        let ended = "wardline_ehr_connections_ended_total{sender=\"his\",reason=\"unread\"}";
        (bridge.value(ended) == 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_second_keep_their_order_however_many_are_on_their_way() {
    let site = Site::start().await;
    let (bridge, registrar) = (Bridge::start(&site, &[]), site.registrar().await);
    let mut sender = Sender::to(bridge.sender("his")).await;
    const WARDS: [&str; 4] = ["W1", "W2", "W3", "W4"];
    for round in 0..10 {
        let visit = format!("V{round}");
        let mut messages = vec![Event::of("A01", 1, &visit, "W1").text()];
        for (number, ward) in WARDS.iter().enumerate() {
            // All in the same second, as separate events.
            let moved = Event::of("A02", 2, &visit, ward).text();
            messages.push(moved.replace(&format!("A02-{visit}-2"), &format!("A02-{visit}-{number}")));
        }
        for message in &messages {
            assert!(sender.send(message).await);
        }
    }
    for _ in 0..10 * (WARDS.len() + 1) {
        assert!(sender.hear_code().await.unwrap().starts_with("AA "));
    }
    for round in 0..10 {
        assert_eq!(registrar.stands(&format!("V{round}")).await, (InProgress, "W4".to_owned()), "{round}");
    }
}
