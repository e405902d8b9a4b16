//! What senders are answered, and when.

use metrics_exporter_prometheus::PrometheusBuilder;

use crate::sender::{Noting, Running, Sender, block, message, of};

#[tokio::test]
async fn nothing_is_acknowledged_before_the_sink_has_it() {
    let sink = Noting::passing(0);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    sender.send(block(&message("1"))).await;
    assert!(sender.hears_nothing().await);
    sink.gate.add_permits(1);
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    assert_eq!(sink.ids(), ["1"]);
}

#[tokio::test]
async fn messages_of_a_sender_are_done_in_order() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let all = ["1", "2", "3", "4"].map(|id| block(&message(id))).join("\n");
    let (now, later) = all.split_at(all.len() - 40);
    sender.send(now).await;
    for id in ["1", "2", "3"] {
        assert_eq!(sender.hear_code().await, Some(format!("AA {id}")));
    }
    assert!(sender.hears_nothing().await);
    sender.send(later).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 4"));
    assert_eq!(sink.ids(), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn what_became_of_it_is_what_is_answered() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let without_patient = message("5").replace("|1^^^GH", "|");
    for (message, answer) in [
        (message("1"), "AA 1"),
        (message("RETRY2"), "AE RETRY2"),
        (message("NEVER3"), "AR NEVER3"),
        (of("SIU^S12", "4", ""), "AA 4"),
        (without_patient, "AR 5"),
        (of("ADT^A31", "6", "|||AL|NE"), "CA 6"),
        (of("ADT^A31", "RETRY7", "|||AL|NE"), "CE RETRY7"),
        ("no header".to_owned(), "AR "),
        (message("8"), "AA 8"),
    ] {
        sender.send(block(&message)).await;
        assert_eq!(sender.hear_code().await.as_deref(), Some(answer));
    }
    assert_eq!(sink.ids(), ["1", "6", "8"]);
}

#[tokio::test]
async fn a_refusal_says_where_and_why() {
    let running = Running::start(Noting::passing(100), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    sender
        .send(block(&message("5").replace("|1^^^GH", "|ZEBRA^^^GH").replace("EVN||2026", "EVN||ZEBRA")))
        .await;
    let answer = sender.hear().await.expect("there is an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.contains("\rERR||EVN^1^2|102^Data type error^HL70357|E||||EVN-2, byte "), "{text}");
    assert!(text.contains("section 2.A.22") && !text.contains("ZEBRA"), "{text}");
    assert!(text.starts_with("MSH|^~\\&|WL|GH|HIS|GH|"), "{text}");
}

#[tokio::test]
async fn who_asks_for_both_answers_gets_both() {
    let running = Running::start(Noting::passing(100), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    sender.send(block(&of("ADT^A31", "1", "|||AL|AL"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("CA 1"));
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    sender.send(block(&of("ADT^A31", "2", "|||NE|NE"))).await;
    assert!(sender.hears_nothing().await);
}

#[tokio::test]
async fn acknowledgements_and_keep_alives_get_no_answer() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let ack = "MSH|^~\\&|HIS|GH|WL|GH|20260101||ACK|9|P|2.5\rMSA|AA|7\r";
    sender.send(["\0\0\r\n", &block(ack), &block(""), &block("\r"), "\n"].concat()).await;
    assert!(sender.hears_nothing().await);
    sender.send(block(&message("1"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
}

#[tokio::test]
async fn a_batch_is_answered_message_by_message() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let batch = format!("BHS|^~\\&\r{}{}BTS|2\r", message("1"), message("2"));
    sender.send(block(&batch)).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 2"));
    // One that was cut off is told, and by no message's name: each has its answer.
    sender.send(block(&batch.replace("BTS|2", "BTS|3"))).await;
    for answer in ["AA 1", "AA 2", "AR "] {
        assert_eq!(sender.hear_code().await.as_deref(), Some(answer));
    }
}

#[tokio::test]
async fn ten_megabytes_are_refused_and_the_connection_goes_on() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let long = message("BIG") + "ZZZ|" + &"x".repeat(10 << 20);
    sender.send(block(&long)).await;
    let answer = sender.hear().await.expect("there is an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.contains("\rMSA|AR|BIG\r") && text.contains("longer than 1048576 bytes"), "{text}");
    sender.send(block(&message("1"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    assert_eq!(sink.ids(), ["1"]);
}

#[tokio::test]
async fn a_message_that_was_cut_off_is_asked_for_again() {
    let sink = Noting::passing(100);
    let running = Running::start(sink.clone(), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    let whole = block(&message("1"));
    sender.send(format!("{}{whole}", &whole[..whole.len() - 10])).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AE 1"));
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    assert_eq!(sink.ids(), ["1"]);
}

#[tokio::test]
async fn a_sender_without_the_last_cr_gets_its_answer() {
    let running = Running::start(Noting::passing(100), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    for id in ["1", "2"] {
        sender.send(format!("\x0b{}\x1c", message(id))).await;
        assert_eq!(sender.hear_code().await, Some(format!("AA {id}")));
    }
}

#[tokio::test]
async fn senders_do_not_wait_for_each_other() {
    let sink = Noting::passing(0);
    let running = Running::start(sink.clone(), |_| {}).await;
    let (mut stuck, mut other) = (Sender::to(running.address).await, Sender::to(running.address).await);
    stuck.send(block(&message("1"))).await;
    assert!(stuck.hears_nothing().await);
    // Passed over before the sink, so without a pass.
    other.send(block(&of("ADT", "2", ""))).await;
    assert_eq!(other.hear_code().await.as_deref(), Some("AA 2"));
    sink.gate.add_permits(1);
    assert_eq!(stuck.hear_code().await.as_deref(), Some("AA 1"));
}

#[tokio::test]
async fn who_stops_answers_what_the_sink_has() {
    let sink = Noting::passing(0);
    let running = Running::start(sink.clone(), |_| {}).await;
    let (mut busy, mut idle) = (Sender::to(running.address).await, Sender::to(running.address).await);
    busy.send(block(&message("1")) + &block(&message("2"))).await;
    idle.send("\x0bMSH|").await;
    assert!(busy.hears_nothing().await);
    running.stop.cancel();
    assert_eq!(idle.hear_code().await, None);
    sink.gate.add_permits(9);
    assert_eq!(busy.hear_code().await.as_deref(), Some("AA 1"));
    running.ended().await;
    // What is answered is applied, and the other way round.
    let second = busy.hear_code().await;
    assert_eq!(sink.ids().len(), if second.is_some() { 2 } else { 1 });
}

#[tokio::test]
async fn what_became_of_messages_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    // All tasks of this test run on its own thread.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let running = Running::start(Noting::passing(100), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    for (message, answer) in [
        (block(&message("1")), "AA 1"),
        (block(&message("RETRY2")), "AE RETRY2"),
        (block(&message("3").replace("|1^^^GH", "|")), "AR 3"),
        (block(&of("SIU^S12", "4", "")), "AA 4"),
        ("stray".to_owned() + &block("") + &block(&message("5")), "AA 5"),
    ] {
        sender.send(message).await;
        assert_eq!(sender.hear_code().await.as_deref(), Some(answer));
    }
    let page = page.render();
    for line in [
        "wardline_ehr_connections{sender=\"his\"} 1",
        "wardline_ehr_connections_total{sender=\"his\",result=\"accepted\"} 1",
        "wardline_ehr_messages_total{sender=\"his\",outcome=\"applied\"} 2",
        "wardline_ehr_messages_total{sender=\"his\",outcome=\"retry\"} 1",
        "wardline_ehr_messages_total{sender=\"his\",outcome=\"refused\"} 1",
        "wardline_ehr_messages_total{sender=\"his\",outcome=\"ignored\"} 1",
        "wardline_ehr_messages_total{sender=\"his\",outcome=\"keep_alive\"} 1",
        "wardline_ehr_refusals_total{sender=\"his\",reason=\"no-patient\"} 1",
        "wardline_ehr_odd_blocks_total{sender=\"his\",sort=\"stray\"} 1",
        "wardline_ehr_apply_seconds_count{sender=\"his\"} 3",
    ] {
        assert!(page.lines().any(|there| there == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("RETRY2"), "an id is in a metric");
}
