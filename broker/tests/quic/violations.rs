//! What clients should not send, said by a raw client: each gets a clear, stable answer, and nobody
//! else notices.
//!
//! Covers what an SDK would never let an application do. Never asserts on texts beyond the field
//! that they name.

use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::TransportConfig;
use serde_json::json;
use wardline_broker::broker::Ended;
use wardline_broker::limits::Limits;
use wardline_broker::settings::DiskWatch;
use wardline_proto::v1::ErrorCode::{self, *};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::{frame, v1};
use wardline_storage::engine::{Direction, KeyRange, Row, Table};
use wardline_storage::id::Timestamp;

use crate::raw::{Raw, connect, hello, publish};
use crate::site::{Site, claims, now_ms, until, within};

const MINUTE: Duration = Duration::from_secs(60);

/// Says `bytes` on a new lane of a session; the answer is a refusal with `expected`, and so is the
/// close.
async fn violate(site: &Site, bytes: &[u8], expected: ErrorCode) {
    let mut witness = Raw::session(site, "witness", 9).await;
    let device = Raw::session(site, "anna", 1).await;
    let mut lane = device.lane().await;
    lane.send_bytes(bytes).await;
    lane.refused(0, expected).await;
    device.closed(expected).await;
    witness.direct("somebody").await;
}

/// The next answer, which must be Goodbye.
async fn says_goodbye(raw: &mut Raw) -> v1::Goodbye {
    match raw.control.next().await {
        (_, Response::Goodbye(goodbye)) => goodbye,
        (_, other) => panic!("{other:?} instead of Goodbye"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_none() {
    let site = Site::memory().await;
    let too_long = [0xff, 0xff, 0xff, 0x7f];
    violate(&site, &too_long, FrameTooLarge).await;
    violate(&site, &[3, 0xff, 0xff, 0xff], BadFrame).await;
    violate(&site, &[0xff; 6], BadFrame).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_that_are_none() {
    let site = Site::limited(Limits { hello_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let refused = connect(&site, b"other/1").await;
    // TLS alert 120, no_application_protocol (RFC 7301), as a QUIC error (RFC 9001, section 4.8).
    let quinn::ConnectionError::ConnectionClosed(close) = refused.unwrap_err() else { panic!("not refused") };
    assert_eq!(u64::from(close.error_code), 0x178, "an ALPN that is not ours");

    Raw::silent(&site).await.closed(HelloTimeout).await;

    let good = || hello(site.issuer.token("anna"), "anna", 1);
    let says = |token: String| Request::Hello(v1::Hello { token, ..good() });
    let forged = {
        let mut forged = site.issuer.token("anna");
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'Q' } else { 'A' });
        forged
    };
    let other = Site::memory().await;
    let cases = [
        (publish(&Bytes::from_static(&[0; 16]), 1, "early"), HelloRequired),
        (Request::Hello(v1::Hello { protocol_version: 99, ..good() }), UnsupportedVersion),
        (Request::Hello(v1::Hello { device_id: Bytes::from_static(b"short"), ..good() }), InvalidArgument),
        (says("no token".to_owned()), Unauthenticated),
        (says("x".repeat(9000)), InvalidArgument),
        (says(forged), Unauthenticated),
        (says(other.issuer.token("anna")), Unauthenticated),
        (says(site.issuer.token_for("anna", Duration::ZERO)), TokenExpired),
    ];
    for (request, expected) in cases {
        let mut raw = Raw::silent(&site).await;
        raw.control.send(7, request).await;
        raw.control.refused(7, expected).await;
        raw.closed(expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_longer_than_any_hello_but_no_longer_than_a_frame() {
    let limits = Limits::default();
    let site = Site::limited(limits.clone()).await;
    let mut raw = Raw::silent(&site).await;
    let long = hello("x".repeat(limits.hello_bytes_max()), "anna", 1);
    raw.control.send(7, Request::Hello(long)).await;
    // Told by its length, before it is decoded.
    raw.control.refused(0, FrameTooLarge).await;
    raw.closed(FrameTooLarge).await;
    // Once welcomed, a device may send frames as long as that.
    let mut device = Raw::session(&site, "anna", 1).await;
    let conversation = device.direct("ben").await;
    device.publish(&conversation, 1, &"x".repeat(limits.hello_bytes_max())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_twice_and_a_second_session_of_the_device() {
    let site = Site::memory().await;
    let mut first = Raw::session(&site, "anna", 1).await;
    let mut second = Raw::session(&site, "anna", 1).await;
    assert_eq!(says_goodbye(&mut first).await.code(), Superseded);
    first.closed(Superseded).await;

    let again = Request::Hello(hello(site.issuer.token("anna"), "anna", 1));
    second.refused(again, HelloRequired).await;
    second.closed(HelloRequired).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_begun_and_left_costs_its_lane_only() {
    let site = Site::limited(Limits { frame_timeout: Duration::from_millis(200), ..Limits::default() }).await;
    let mut device = Raw::session(&site, "anna", 1).await;
    let mut lane = device.lane().await;
    lane.send_bytes(&[100, 1, 2, 3]).await;
    let (_, Response::Error(error)) = lane.next().await else { panic!("no refusal") };
    assert_eq!(error.code(), FrameTimeout);
    lane.reset(FrameTimeout).await;
    device.direct("ben").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_out_of_bounds_name_the_field() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    let sized = |size: usize| publish(&conversation, 1, &"x".repeat(size));
    anna.refused(sized(64 * 1024 + 1), PayloadTooLarge).await;
    assert!(matches!(anna.ask(sized(64 * 1024)).await, Response::PublishAck(_)));

    let page = |page_size| {
        let conversation_id = conversation.clone();
        Request::History(v1::History { conversation_id, page_size, ..Default::default() })
    };
    anna.refused(page(201), PageTooLarge).await;
    assert!(matches!(anna.ask(page(200)).await, Response::HistoryPage(_)));

    let acknowledge = |delivered_up_to| {
        let conversation_id = conversation.clone();
        Request::Acknowledge(v1::Acknowledge { conversation_id, delivered_up_to, ..Default::default() })
    };
    anna.refused(acknowledge(99), ReceiptBeyondHead).await;
    assert!(matches!(anna.ask(sized(1)).await, Response::PublishAck(_)), "the same id: the first ack");
    assert!(matches!(anna.ask(publish(&conversation, 2, "")).await, Response::PublishAck(_)));
    assert!(matches!(anna.ask(acknowledge(2)).await, Response::Acknowledged(_)));
    let backwards = anna.refused(acknowledge(1), ReceiptBackwards).await;
    assert_eq!(backwards.current_sequence, 2);

    let short = Bytes::from_static(b"short");
    let named = [
        (publish(&short, 1, ""), "conversation_id"),
        (Request::CreateConversation(v1::CreateConversation { kind: 99, ..Default::default() }), "kind"),
        (
            Request::ListConversations(v1::ListConversations { page_token: short, ..Default::default() }),
            "page_token",
        ),
        (
            Request::SetRetention(v1::SetRetention {
                conversation_id: conversation.clone(),
                retention_ms: 1,
            }),
            "retention_ms",
        ),
    ];
    for (request, field) in named {
        let error = anna.refused(request, InvalidArgument).await;
        assert!(error.text.starts_with(field), "{}", error.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_those_who_left_see_nothing() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let mut ben = Raw::session(&site, "ben", 2).await;
    let group = anna.create(v1::ConversationKind::Group, &["ben"], 5).await;
    assert!(matches!(ben.push().await, Push::Joined(joined) if joined.conversation_id == group));
    anna.publish(&group, 1, "for both").await;
    assert_eq!(ben.message().await.2, "for both");

    let mut eve = Raw::session(&site, "eve", 3).await;
    let token = site.issuer.sign(&claims("elsewhere", "anna", json!([])));
    let mut outsider = Raw::silent(&site).await.says(hello(token, "anna", 4)).await;
    let nowhere = Bytes::from_static(&[7; 16]);
    let absent = eve.refused(publish(&nowhere, 1, ""), NotFound).await;
    for device in [&mut eve, &mut outsider] {
        let error = device.refused(publish(&group, 1, ""), NotFound).await;
        assert_eq!(error.text, absent.text, "the same answer for both");
    }

    let leave = Request::LeaveConversation(v1::LeaveConversation { conversation_id: group.clone() });
    assert!(matches!(ben.ask(leave).await, Response::Done(_)));
    anna.publish(&group, 2, "not for ben").await;
    ben.refused(publish(&group, 3, ""), NotFound).await;
    assert!(matches!(ben.push().await, Push::LeftConversationId(left) if left == group));
    let direct = anna.direct("ben").await;
    assert!(matches!(ben.push().await, Push::Joined(joined) if joined.conversation_id == direct));
    anna.publish(&direct, 4, "for ben").await;
    assert_eq!(ben.message().await.2, "for ben", "and nothing in between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_stops_reading_is_cut_off_and_loses_nothing() {
    let limits = Limits { write_timeout: Duration::from_millis(500), ..Limits::default() };
    let site = Site::limited(limits).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(2000u32.into());
    let slow = Raw::silent_with(&site, transport).await;
    let mut ben = slow.says(hello(site.issuer.token("ben"), "ben", 2)).await;
    let payload = "x".repeat(1000);
    for key in 0..20 {
        anna.publish(&conversation, key, &payload).await;
    }
    assert_eq!(says_goodbye(&mut ben).await.code(), SlowReader);
    ben.closed(SlowReader).await;
    let mut ben = Raw::session(&site, "ben", 2).await;
    for sequence in 1..=20 {
        assert_eq!(ben.message().await.0, sequence);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_token_unless_renewed() {
    let site = Site::memory().await;
    let short = async |user: &str, device| {
        let token = site.issuer.token_for(user, Duration::from_secs(3));
        Raw::silent(&site).await.says(hello(token, user, device)).await
    };
    let (mut anna, mut ben) = (short("anna", 1).await, short("ben", 2).await);
    let renewed = |user: &str| Request::Renew(v1::Renew { token: site.issuer.token_for(user, MINUTE) });
    ben.refused(renewed("eve"), Unauthenticated).await;
    let Response::Welcome(welcome) = ben.ask(renewed("ben")).await else { panic!("not renewed") };
    assert!(welcome.token_expires_at_ms > now_ms() + 30_000);
    assert_eq!(says_goodbye(&mut anna).await.code(), TokenExpired);
    anna.closed(TokenExpired).await;
    ben.direct("anna").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_lets_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let watch = DiskWatch { path, reserve_bytes: u64::MAX, ballast: None };
    let site = Site::memory_with(|settings| settings.disk = Some(watch)).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let error = refused_for_the_disk(&mut anna).await;
    assert_eq!(error.code(), StorageFull);
    assert!(error.retry_after_ms > 0);
    let list = Request::ListConversations(v1::ListConversations::default());
    assert!(matches!(anna.ask(list).await, Response::ConversationPage(_)));
}

/// Asks for something to be written until the broker has seen that the disk is full.
async fn refused_for_the_disk(anna: &mut Raw) -> v1::Error {
    within("the disk to be looked at", async {
        loop {
            let request = Request::CreateConversation(v1::CreateConversation {
                kind: v1::ConversationKind::Direct.into(),
                members: vec!["ben".to_owned()],
                ..Default::default()
            });
            if let Response::Error(error) = anna.ask(request).await {
                break error;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_new_is_registered_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let watch = DiskWatch { path: folder.path().to_owned(), reserve_bytes: u64::MAX, ballast: None };
    let site = Site::memory_with(|settings| settings.disk = Some(watch)).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    assert_eq!(refused_for_the_disk(&mut anna).await.code(), StorageFull);
    let before = devices(&site);
    let _new = Raw::session(&site, "anna", 2).await;
    assert_eq!(devices(&site), before + 1, "its session is open, and the store does not know it");
}

/// How many the store knows.
fn devices(site: &Site) -> usize {
    let mut devices = 0;
    let mut count = |_: Row<'_>| {
        devices += 1;
        ControlFlow::Continue(())
    };
    let (all, now) = (KeyRange::ALL, Timestamp::ZERO);
    site.engine.scan(Table::Device, all, Direction::Forward, now, &mut count).unwrap();
    devices
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_found_no_room_is_registered_when_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let (path, room) = (folder.path().join("disk"), folder.path().join("room"));
    // A file system that never has any.
    symlink("/proc", &path).unwrap();
    let watch = DiskWatch { path: path.clone(), reserve_bytes: 1 << 20, ballast: None };
    let site = Site::memory_with(|settings| {
        settings.disk = Some(watch);
        settings.limits.retry_after = Duration::from_millis(10);
    })
    .await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    assert_eq!(refused_for_the_disk(&mut anna).await.code(), StorageFull);
    let before = devices(&site);
    let mut new = Raw::session(&site, "anna", 2).await;
    let listed = new.ask(Request::ListConversations(v1::ListConversations::default())).await;
    assert!(matches!(listed, Response::ConversationPage(_)), "it reads all the same: {listed:?}");
    assert_eq!(devices(&site), before, "the store has no room for it");
    symlink(folder.path(), &room).unwrap();
    std::fs::rename(&room, &path).unwrap();
    // The first one may have come before the broker looked at the disk, or have found no room, too.
    until("the devices to be registered", async || (devices(&site) == 2).then_some(())).await;
    new.direct("ben").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_sends_what_is_owed_then_goodbye() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    let mut out = BytesMut::new();
    for id in 100..200u64 {
        let request = publish(&conversation, id as u8, "x");
        frame::encode(&v1::ClientFrame { request_id: id, request: Some(request), at_least: 0 }, &mut out);
    }
    anna.control.send_bytes(&out).await;
    // The first ack says that the broker has begun to read them.
    assert!(matches!(anna.control.next().await, (100, Response::PublishAck(_))));
    let stopping = tokio::spawn(site.broker.stop());
    let mut acked = 1;
    loop {
        match anna.control.next().await {
            (id, Response::PublishAck(ack)) => {
                acked += 1;
                assert_eq!(id, 99 + acked);
                assert_eq!(ack.sequence, acked);
            }
            (0, Response::Goodbye(goodbye)) => {
                assert_eq!(goodbye.code(), ShuttingDown);
                assert!(goodbye.retry_after_ms > 0);
                break;
            }
            (_, other) => panic!("neither ack nor goodbye but {other:?}"),
        }
    }
    anna.closed(ShuttingDown).await;
    assert_eq!(within("the stop", stopping).await.unwrap(), Ended::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_answered_with_retry_and_keeps_the_order() {
    let limits = Limits { waiting_commands_max: 16, group_commands_max: 2, ..Limits::default() };
    let site = Site::limited(limits).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    let mut out = BytesMut::new();
    for id in 1..=1000u64 {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&id.to_be_bytes());
        let request = Request::Publish(v1::Publish {
            conversation_id: conversation.clone(),
            client_message_id: Bytes::copy_from_slice(&key),
            epoch: 1,
            ..Default::default()
        });
        frame::encode(&v1::ClientFrame { request_id: id, request: Some(request), at_least: 0 }, &mut out);
    }
    let mut lane = anna.lane().await;
    lane.send_bytes(&out).await;
    let (mut acked, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        match lane.next().await {
            (id, Response::PublishAck(_)) => acked.push(id),
            (id, Response::Error(error)) => {
                assert_eq!(error.code(), Retry);
                assert!(error.retry_after_ms > 0);
                refused.push(id);
            }
            (_, other) => panic!("neither ack nor refusal but {other:?}"),
        }
    }
    assert!(!refused.is_empty(), "a queue of 16 does not hold 1,000");
    refused.sort_unstable();
    let first = refused[0];
    assert!(acked.iter().all(|id| *id < first), "nothing after the first refusal was taken in");
}
