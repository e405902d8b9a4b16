//! `check`, `check-config`, and a token without its role.

use crate::program::{Bridge, run};
use crate::sender::{Event, Sender};
use crate::site::{Site, until};

fn said(site: &Site, verb: &str, set: &[&str]) -> (Option<i32>, String) {
    let output = run(site, verb, set);
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_of_each_thing_whether_it_is_right() {
    let mut site = Site::start().await;
    let good = tokio::task::block_in_place(|| said(&site, "check", &[]));
    assert_eq!(good.0, Some(0), "{}", good.1);
    for line in [
        "ok   [senders.his] listen: ",
        "ok   [http] listen: ",
        "ok   token: it is good for 59m",
        "takes what the bridge says",
    ] {
        assert!(good.1.contains(line), "{} does not say {line}", good.1);
    }
    site.give_token(&[]);
    let forbidden = tokio::task::block_in_place(|| said(&site, "check", &[]));
    assert_eq!(forbidden.0, Some(1));
    assert!(
        forbidden.1.contains("FAIL broker: ") && forbidden.1.contains("the role registrar"),
        "{}",
        forbidden.1
    );
    // One wrong thing hides no other.
    std::fs::write(site.path("token"), "nothing").unwrap();
    let set = ["senders.his.listen=192.0.2.1:2575", "senders.his.clear=true"];
    let wrong = tokio::task::block_in_place(|| said(&site, "check", &set));
    assert_eq!(wrong.0, Some(1));
    for line in ["FAIL [senders.his] listen: 192.0.2.1:2575 cannot be had", "FAIL token: "] {
        assert!(wrong.1.contains(line), "{} does not say {line}", wrong.1);
    }
    site.give_token(&["registrar"]);
    site.stop_broker().await;
    let away = tokio::task::block_in_place(|| said(&site, "check", &[]));
    assert_eq!(away.0, Some(1));
    assert!(away.1.contains("FAIL broker: cannot reach the broker at"), "{}", away.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_reads_what_serve_reads() {
    let site = Site::start().await;
    assert_eq!(said(&site, "check-config", &[]), (Some(0), "the configuration is right\n".to_owned()));
    for (set, says) in [
        ("broker.ca=/nowhere/ca.pem", "cannot read broker.ca /nowhere/ca.pem"),
        ("limits.aply=1s", "unknown key limits.aply; the nearest known key is limits.apply"),
        ("token.endpoint=https://id.example", "token.file and token.endpoint are both set"),
    ] {
        let (code, text) = said(&site, "check-config", &[set]);
        assert!(code == Some(2) && text.contains(says), "{text} does not say {says}");
    }
    let (code, text) = said(&site, "serve", &["broker.ca=/nowhere/ca.pem"]);
    assert!(code == Some(1) && text.contains("cannot read broker.ca"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_its_role_is_no_fault_of_the_message() {
    let site = Site::start().await;
    site.give_token(&[]);
    let bridge = Bridge::start(&site, &[]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    let admitted = Event::of("A01", 1, "V1", "W1").text();
    assert_eq!(sender.say(&admitted).await.as_deref(), Some("AE"));
    until("it to be told", async || {
        let told = bridge.value("wardline_ehr_commands_total{sender=\"his\",result=\"forbidden\"}");
        (told == 1.0).then_some(())
    })
    .await;
    drop(bridge);
    // With the role, the sender's next try is taken.
    site.give_token(&["registrar"]);
    let bridge = Bridge::start(&site, &[]);
    let mut sender = Sender::to(bridge.sender("his")).await;
    assert_eq!(sender.say(&admitted).await.as_deref(), Some("AA"));
}
