//! The bridge is killed, the broker goes away, and the bridge is told to stop.

use std::time::Duration;

use wardline_client::record::EncounterStatus::InProgress;

use crate::program::Bridge;
use crate::sender::{Event, Sender};
use crate::site::{Site, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_comes_again_and_nothing_is_lost_or_done_twice() {
    const ENCOUNTERS: usize = 120;
    let site = Site::start().await;
    let registrar = site.registrar().await;
    let events: Vec<String> = (0..ENCOUNTERS)
        .flat_map(|n| {
            let visit = format!("V{n}");
            [Event::of("A01", 1, &visit, "W1").text(), Event::of("A02", 2, &visit, "W2").text()]
        })
        .collect();
    let mut next = 0;
    // Killed in the middle of its work, twice; the sender goes on where it was not answered.
    for kill_after in [70, 150] {
        let bridge = Bridge::start(&site, &[]);
        let mut sender = Sender::to(bridge.sender("his")).await;
        // Some are on their way, unanswered, when it dies.
        for event in &events[next..(kill_after + 9).min(events.len())] {
            assert!(sender.send(event).await);
        }
        while next < kill_after {
            assert!(sender.hear_code().await.unwrap().starts_with("AA "));
            next += 1;
        }
        bridge.kill();
        while let Some(answer) = sender.hear_code().await {
            assert!(answer.starts_with("AA "));
            next += 1;
        }
    }
    let bridge = Bridge::start(&site, &[]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    for event in &events[next..] {
        assert_eq!(sender.say(event).await.as_deref(), Some("AA"));
    }
    assert_eq!((registrar.count_on("W1").await, registrar.count_on("W2").await), (0, ENCOUNTERS));
    // All over again: everything is known already.
    let before = bridge.value("wardline_ehr_commands_total{sender=\"his\",result=\"repeated\"}");
    for event in &events {
        assert_eq!(sender.say(event).await.as_deref(), Some("AA"));
    }
    let repeated = bridge.value("wardline_ehr_commands_total{sender=\"his\",result=\"repeated\"}") - before;
    assert_eq!(repeated, events.len() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_messages_are_to_be_sent_again() {
    let mut site = Site::start().await;
    let bridge = Bridge::start(&site, &["limits.apply=2s"]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    assert_eq!(sender.say(&Event::of("A01", 1, "V1", "W1").text()).await.as_deref(), Some("AA"));
    until("it to be ready", async || (bridge.page("/readyz").0 == 200).then_some(())).await;
    site.stop_broker().await;
    let moved = Event::of("A02", 2, "V1", "W2").text();
    assert_eq!(sender.say(&moved).await.as_deref(), Some("AE"));
    until("it to say so", async || {
        let (status, page) = bridge.page("/readyz");
        (status == 503 && page.contains("FAIL broker: ")).then_some(())
    })
    .await;
    // What nobody need ask the broker for is answered meanwhile.
    let other = moved.replace("ADT^A02", "SIU^S12");
    assert_eq!(sender.say(&other).await.as_deref(), Some("AA"));
    site.start_broker().await;
    until("it to be done", async || (sender.say(&moved).await.as_deref() == Some("AA")).then_some(())).await;
    assert_eq!(site.registrar().await.stands("V1").await, (InProgress, "W2".to_owned()));
    until("it to be ready", async || (bridge.page("/readyz").0 == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_without_a_broker_and_without_a_token() {
    let mut site = Site::start().await;
    site.stop_broker().await;
    std::fs::remove_file(site.path("token")).unwrap();
    let bridge = Bridge::start(&site, &["limits.apply=1s"]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    let admitted = Event::of("A01", 1, "V1", "W1").text();
    assert_eq!(sender.say(&admitted).await.as_deref(), Some("AE"));
    site.start_broker().await;
    assert_eq!(sender.say(&admitted).await.as_deref(), Some("AE"));
    site.give_token(&["registrar"]);
    until("it to be done", async || (sender.say(&admitted).await.as_deref() == Some("AA")).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_answers_what_it_took_in() {
    let mut site = Site::start().await;
    let bridge = Bridge::start(&site, &["limits.apply=30s"]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    assert_eq!(sender.say(&Event::of("A01", 1, "V1", "W1").text()).await.as_deref(), Some("AA"));
    site.stop_broker().await;
    // It waits for the broker with this one.
    assert!(sender.send(&Event::of("A02", 2, "V1", "W2").text()).await);
    until("it to be taken in", async || {
        let under_way = bridge.value("wardline_ehr_messages_under_way{sender=\"his\"}");
        (under_way == 1.0).then_some(())
    })
    .await;
    bridge.terminate();
    until("it to stop", async || (bridge.page("/readyz").1.contains("FAIL draining")).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    site.start_broker().await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA A02-V1-2"));
    assert_eq!(sender.hear_code().await, None);
    assert_eq!(bridge.ended(), Some(0));
    assert_eq!(site.registrar().await.stands("V1").await, (InProgress, "W2".to_owned()));
}
