//! Several messages of one connection at once.

use std::time::Duration;

use wardline_ehr::hl7::ack::Answering;

use crate::sender::{Noting, Running, Sender, about, block, message, of};

async fn eventually(is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came");
}

#[tokio::test]
async fn patients_do_not_wait_for_each_other_and_answers_keep_their_order() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let all = [about("A", "HELD1"), about("B", "2"), about("A", "3"), about("C", "4")];
    sender.send(all.map(|message| block(&message)).concat()).await;
    // The third waits for the first, which is of the same patient.
    eventually(|| sink.ids() == ["2", "4"]).await;
    assert!(sender.hears_nothing().await);
    assert_eq!(sink.ids(), ["2", "4"]);
    sink.held.add_permits(1);
    for id in ["HELD1", "2", "3", "4"] {
        assert_eq!(sender.hear_code().await, Some(format!("AA {id}")));
    }
    assert_eq!(sink.ids(), ["2", "4", "HELD1", "3"]);
}

#[tokio::test]
async fn who_is_behind_one_that_is_to_be_sent_again_is_too() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let all = [about("A", "HELD-RETRY"), about("B", "2"), about("A", "3")];
    sender.send(all.map(|message| block(&message)).concat()).await;
    eventually(|| sink.ids() == ["2"]).await;
    sink.held.add_permits(1);
    for answer in ["AE HELD-RETRY", "AA 2", "AE 3"] {
        assert_eq!(sender.hear_code().await.as_deref(), Some(answer));
    }
    // Sent again, it is done: nothing is held against it.
    sender.send(block(&about("A", "3"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 3"));
    assert_eq!(sink.ids(), ["2", "3"]);
}

#[tokio::test]
async fn no_more_than_so_many_are_under_way() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |settings| settings.limits.under_way_max = 2).await;
    let mut sender = Sender::to(running.address).await;
    let all = [about("A", "HELD1"), about("B", "2"), about("C", "3"), about("D", "4")];
    sender.send(all.map(|message| block(&message)).concat()).await;
    eventually(|| sink.ids() == ["2"]).await;
    assert!(sender.hears_nothing().await);
    assert_eq!(sink.ids(), ["2"]);
    sink.held.add_permits(1);
    for id in ["HELD1", "2", "3", "4"] {
        assert_eq!(sender.hear_code().await, Some(format!("AA {id}")));
    }
}

#[tokio::test]
async fn a_large_message_is_alone() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let large = format!("{}ZZZ|{}\r", about("B", "LARGE"), "x".repeat(100 << 10));
    let all = [about("A", "HELD1"), large, about("C", "3")];
    sender.send(all.map(|message| block(&message)).concat()).await;
    assert!(sender.hears_nothing().await);
    assert!(sink.ids().is_empty());
    sink.held.add_permits(1);
    for id in ["HELD1", "LARGE", "3"] {
        assert_eq!(sender.hear_code().await, Some(format!("AA {id}")));
    }
    assert_eq!(sink.ids(), ["HELD1", "LARGE", "3"]);
}

#[tokio::test]
async fn who_closes_gives_up_what_is_not_done() {
    let sink = Noting::passing(100);
    let running =
        Running::start(sink.clone(), |settings| settings.limits.write = Duration::from_secs(1)).await;
    let mut sender = Sender::to(running.address).await;
    sender.send(block(&about("A", "1")) + &block(&about("B", "HELD2"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    drop(sender);
    // It may be done or not: whoever sends it again is told what is so.
    sink.held.add_permits(2);
    let mut again = Sender::to(running.address).await;
    again.send(block(&about("B", "HELD2"))).await;
    assert_eq!(again.hear_code().await.as_deref(), Some("AA HELD2"));
}

#[tokio::test]
async fn the_mode_of_answers_is_the_sites_to_set() {
    for (answering, asks, answers) in [
        (Answering::Asked, "", vec!["AA 1"]),
        (Answering::Asked, "|||AL|AL", vec!["CA 1", "AA 1"]),
        (Answering::Original, "|||AL|AL", vec!["AA 1"]),
        (Answering::Original, "|||NE|NE", vec!["AA 1"]),
        (Answering::Enhanced, "", vec!["CA 1"]),
        (Answering::Enhanced, "|||NE|AL", vec!["AA 1"]),
    ] {
        let running = Running::start(Noting::passing(9), |settings| settings.answering = answering).await;
        let mut sender = Sender::to(running.address).await;
        sender.send(block(&of("ADT^A31", "1", asks)) + &block(&message("2"))).await;
        for answer in answers {
            assert_eq!(sender.hear_code().await.as_deref(), Some(answer), "{answering:?} {asks}");
        }
        let next = sender.hear_code().await.expect("it is answered");
        assert!(next.ends_with(" 2"), "{next}");
    }
}
