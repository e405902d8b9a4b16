//! The broker over real QUIC: a session, a conversation, a message, its delivery and its receipt.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod raw;

use bytes::Bytes;
use raw::Site;
use wardline_broker::limits::Limits;
use wardline_proto::v1;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_delivered_and_its_receipt_comes_back() {
    let site = Site::start(Limits::default()).await;
    let mut anna = site.keys.session("anna", 1).await;
    let mut ben = site.keys.session("ben", 2).await;
    let conversation = anna.direct("ben").await;
    assert_eq!(ben.direct("anna").await, conversation, "one conversation a pair");

    let ack = anna.publish(&conversation, 1, "hello").await;
    assert_eq!(anna.publish(&conversation, 1, "hello").await, ack, "the same id gives the same ack");
    let (sequence, sender, payload) = ben.message().await;
    assert_eq!((sequence, sender.as_str(), &payload[..]), (ack.sequence, "anna", &b"hello"[..]));

    let read = Request::Acknowledge(v1::Acknowledge {
        conversation_id: conversation.clone(),
        read_up_to: sequence,
        ..Default::default()
    });
    let Response::Acknowledged(marks) = ben.ask(read).await else { panic!("not acknowledged") };
    assert_eq!((marks.delivered_up_to, marks.read_up_to), (sequence, sequence));
    loop {
        let Push::Receipt(receipt) = anna.push().await else { continue };
        assert_eq!((receipt.user.as_str(), receipt.sequence), ("ben", sequence));
        if receipt.kind() == v1::ReceiptKind::Read {
            break;
        }
    }
    assert_eq!(site.broker.stop().await, wardline_broker::broker::Ended::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_delivered_after_the_devices_cursor() {
    let site = Site::start(Limits { tail_bytes_max: 2000, ..Limits::default() }).await;
    let mut anna = site.keys.session("anna", 1).await;
    let conversation = anna.direct("ben").await;
    for key in 0..200 {
        anna.publish(&conversation, key, &"x".repeat(usize::from(key) + 1)).await;
    }
    let mut ben = site.keys.session("ben", 2).await;
    for key in 0..200u64 {
        let (sequence, _, payload) = ben.message().await;
        assert_eq!((sequence, payload.len() as u64), (key + 1, key + 1));
    }
    let Push::CaughtUp(end) = ben.push_on(v1::LaneClass::Ordered).await else { panic!("not caught up") };
    assert_eq!(end.entries, 200);

    let acknowledge = Request::Acknowledge(v1::Acknowledge {
        conversation_id: conversation.clone(),
        delivered_up_to: 150,
        ..Default::default()
    });
    assert!(matches!(ben.ask(acknowledge).await, Response::Acknowledged(_)));
    drop(ben);
    let mut ben = site.keys.session("ben", 2).await;
    assert_eq!(ben.message().await.0, 151);
    let token = site.keys.token("ben", std::time::Duration::from_secs(60));
    let position = v1::Position { conversation_id: conversation.clone(), after_sequence: 199 };
    let mut ben = site.keys.session_with(site.keys.dial().await, token, 2, vec![position]).await;
    assert_eq!(ben.message().await.0, 200);
    anna.publish(&conversation, 250, "live").await;
    assert_eq!(ben.message().await.2, Bytes::from_static(b"live"));
}
