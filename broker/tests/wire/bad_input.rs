//! What clients should not send, said by a raw client: each gets a clear, stable answer, and nobody
//! else notices.
//!
//! Covers what an SDK would never let an application do. Never asserts on texts beyond the field
//! that they name.

use std::time::Duration;

use crate::raw::{Lane, Site, close_code, hello, now, publish, soon};
use bytes::{Bytes, BytesMut};
use wardline_broker::limits::Limits;
use wardline_proto::v1::ErrorCode::{self, *};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::{ALPN, frame, v1};

const MINUTE: Duration = Duration::from_secs(60);

fn code(error: &v1::Error) -> ErrorCode {
    error.code()
}

/// Says `bytes` on a new lane of a session; the answer is a refusal with `expected`, and so is the
/// close.
async fn violate(site: &Site, bytes: &[u8], expected: ErrorCode) {
    let mut witness = site.keys.session("witness", 9).await;
    let device = site.keys.session("anna", 1).await;
    let mut lane = Lane::open(&device.connection).await;
    lane.up.write_all(bytes).await.unwrap();
    let (id, error) = lane.refusal().await;
    assert_eq!((id, code(&error)), (0, expected));
    assert!(!error.text.is_empty() && !error.action.is_empty());
    assert_eq!(close_code(&device.connection).await, expected as u64);
    witness.direct("somebody").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none() {
    let site = Site::start(Limits::default()).await;
    let too_long = [0xff, 0xff, 0xff, 0x7f];
    violate(&site, &too_long, FrameTooLarge).await;
    violate(&site, &[3, 0xff, 0xff, 0xff], BadFrame).await;
    violate(&site, &[0xff; 6], BadFrame).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_that_are_none() {
    let site = Site::start(Limits { hello_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let endpoint = site.keys.endpoint(b"other/1", |_| {});
    let refused = soon("the refusal", endpoint.connect(site.keys.address, "localhost").unwrap()).await;
    // TLS alert 120, no_application_protocol (RFC 7301), as a QUIC error (RFC 9001, section 4.8).
    let quinn::ConnectionError::ConnectionClosed(close) = refused.unwrap_err() else { panic!("not refused") };
    assert_eq!(u64::from(close.error_code), 0x178, "an ALPN that is not ours");

    let silent = site.keys.dial().await;
    assert_eq!(close_code(&silent).await, HelloTimeout as u64);

    let token = |ttl| site.keys.token("anna", ttl);
    let publish = publish(&Bytes::from_static(&[0; 16]), 1, "early");
    let mut old = hello(token(MINUTE), 1, vec![]);
    if let Request::Hello(hello) = &mut old {
        hello.protocol_version = 99;
    }
    let mut nameless = hello(token(MINUTE), 1, vec![]);
    if let Request::Hello(hello) = &mut nameless {
        hello.device_id = Bytes::from_static(b"short");
    }
    let forged = {
        let mut forged = token(MINUTE);
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'Q' } else { 'A' });
        forged
    };
    let other = Site::start(Limits::default()).await;
    let cases = [
        (publish, HelloRequired),
        (old, UnsupportedVersion),
        (nameless, InvalidArgument),
        (hello("no token".to_owned(), 1, vec![]), Unauthenticated),
        (hello("x".repeat(9000), 1, vec![]), InvalidArgument),
        (hello(forged, 1, vec![]), Unauthenticated),
        (hello(other.keys.token("anna", MINUTE), 1, vec![]), Unauthenticated),
        (hello(token(Duration::ZERO), 1, vec![]), TokenExpired),
    ];
    for (request, expected) in cases {
        let connection = site.keys.dial().await;
        let mut control = Lane::open(&connection).await;
        control.send(7, request).await;
        let (id, error) = control.refusal().await;
        assert_eq!((id, code(&error)), (7, expected));
        assert_eq!(close_code(&connection).await, expected as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_longer_than_any_hello_but_no_longer_than_a_frame() {
    let limits = Limits::default();
    let site = Site::start(limits.clone()).await;
    let connection = site.keys.dial().await;
    let mut control = Lane::open(&connection).await;
    control.send(7, hello("x".repeat(limits.hello_bytes_max()), 1, vec![])).await;
    let (id, error) = control.refusal().await;
    assert_eq!((id, code(&error)), (0, FrameTooLarge), "told by its length, before it is decoded");
    assert_eq!(close_code(&connection).await, FrameTooLarge as u64);
    // Once welcomed, a device may send frames as long as that.
    let mut device = site.keys.session("anna", 1).await;
    let conversation = device.direct("ben").await;
    device.publish(&conversation, 1, &"x".repeat(limits.hello_bytes_max())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_twice_and_a_second_session_of_the_device() {
    let site = Site::start(Limits::default()).await;
    let mut first = site.keys.session("anna", 1).await;
    let second = site.keys.session("anna", 1).await;
    let (_, Response::Goodbye(goodbye)) = first.control.answer().await else { panic!("no goodbye") };
    assert_eq!(goodbye.code(), Superseded);
    assert_eq!(close_code(&first.connection).await, Superseded as u64);

    let mut second = second;
    let error = second.refused(hello(site.keys.token("anna", MINUTE), 1, vec![])).await;
    assert_eq!(code(&error), HelloRequired);
    assert_eq!(close_code(&second.connection).await, HelloRequired as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_begun_and_left_costs_its_lane_only() {
    let site = Site::start(Limits { frame_timeout: Duration::from_millis(200), ..Limits::default() }).await;
    let mut device = site.keys.session("anna", 1).await;
    let mut lane = Lane::open(&device.connection).await;
    lane.up.write_all(&[100, 1, 2, 3]).await.unwrap();
    assert_eq!(code(&lane.refusal().await.1), FrameTimeout);
    let stopped = soon("the stream's reset", lane.up.stopped()).await.unwrap();
    assert_eq!(stopped.map(quinn::VarInt::into_inner), Some(FrameTimeout as u64));
    device.direct("ben").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_out_of_bounds_name_the_field() {
    let site = Site::start(Limits::default()).await;
    let mut anna = site.keys.session("anna", 1).await;
    let conversation = anna.direct("ben").await;
    let sized = |size: usize| publish(&conversation, 1, &"x".repeat(size));
    assert_eq!(code(&anna.refused(sized(64 * 1024 + 1)).await), PayloadTooLarge);
    assert!(matches!(anna.ask(sized(64 * 1024)).await, Response::PublishAck(_)));

    let page = |page_size| {
        let conversation_id = conversation.clone();
        Request::History(v1::History { conversation_id, page_size, ..Default::default() })
    };
    assert_eq!(code(&anna.refused(page(201)).await), PageTooLarge);
    assert!(matches!(anna.ask(page(200)).await, Response::HistoryPage(_)));

    let acknowledge = |delivered_up_to| {
        let conversation_id = conversation.clone();
        Request::Acknowledge(v1::Acknowledge { conversation_id, delivered_up_to, ..Default::default() })
    };
    assert_eq!(code(&anna.refused(acknowledge(99)).await), ReceiptBeyondHead);
    assert!(matches!(anna.ask(sized(1)).await, Response::PublishAck(_)), "the same id: the first ack");
    assert!(matches!(anna.ask(publish(&conversation, 2, "")).await, Response::PublishAck(_)));
    assert!(matches!(anna.ask(acknowledge(2)).await, Response::Acknowledged(_)));
    let backwards = anna.refused(acknowledge(1)).await;
    assert_eq!((code(&backwards), backwards.current_sequence), (ReceiptBackwards, 2));

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
        let error = anna.refused(request).await;
        assert_eq!(code(&error), InvalidArgument);
        assert!(error.text.starts_with(field), "{}", error.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_those_who_left_see_nothing() {
    let site = Site::start(Limits::default()).await;
    let mut anna = site.keys.session("anna", 1).await;
    let mut ben = site.keys.session("ben", 2).await;
    let group = anna.create(v1::ConversationKind::Group, &["ben"], 5).await;
    assert!(matches!(ben.push().await, Push::Joined(joined) if joined.conversation_id == group));
    anna.publish(&group, 1, "for both").await;
    assert_eq!(ben.message().await.2, "for both");

    let mut eve = site.keys.session("eve", 3).await;
    let outsider = site.keys.token_of("anna", "elsewhere", &[], MINUTE);
    let mut outsider = site.keys.session_with(site.keys.dial().await, outsider, 4, vec![]).await;
    let nowhere = Bytes::from_static(&[7; 16]);
    let absent = eve.refused(publish(&nowhere, 1, "")).await;
    for device in [&mut eve, &mut outsider] {
        let error = device.refused(publish(&group, 1, "")).await;
        assert_eq!((code(&error), &error.text), (NotFound, &absent.text), "the same answer for both");
    }

    let leave = Request::LeaveConversation(v1::LeaveConversation { conversation_id: group.clone() });
    assert!(matches!(ben.ask(leave).await, Response::Done(_)));
    anna.publish(&group, 2, "not for ben").await;
    assert_eq!(code(&ben.refused(publish(&group, 3, "")).await), NotFound);
    assert!(matches!(ben.push().await, Push::LeftConversationId(left) if left == group));
    let direct = anna.direct("ben").await;
    assert!(matches!(ben.push().await, Push::Joined(joined) if joined.conversation_id == direct));
    anna.publish(&direct, 4, "for ben").await;
    assert_eq!(ben.message().await.2, "for ben", "and nothing in between");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_stops_reading_is_cut_off_and_loses_nothing() {
    let limits = Limits { write_timeout: Duration::from_millis(500), ..Limits::default() };
    let site = Site::start(limits).await;
    let mut anna = site.keys.session("anna", 1).await;
    let conversation = anna.direct("ben").await;
    let endpoint = site.keys.endpoint(ALPN, |transport| {
        transport.stream_receive_window(2000u32.into());
    });
    let connection =
        soon("a connection", endpoint.connect(site.keys.address, "localhost").unwrap()).await.unwrap();
    let mut ben = site.keys.session_with(connection, site.keys.token("ben", MINUTE), 2, vec![]).await;
    let payload = "x".repeat(1000);
    for key in 0..20 {
        anna.publish(&conversation, key, &payload).await;
    }
    let (_, Response::Goodbye(goodbye)) = ben.control.answer().await else { panic!("no goodbye") };
    assert_eq!(goodbye.code(), SlowReader);
    assert_eq!(close_code(&ben.connection).await, SlowReader as u64);
    let mut ben = site.keys.session("ben", 2).await;
    for sequence in 1..=20 {
        assert_eq!(ben.message().await.0, sequence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_token_unless_renewed() {
    let site = Site::start(Limits::default()).await;
    let short = |user: &str| site.keys.token(user, Duration::from_secs(2));
    let mut anna = site.keys.session_with(site.keys.dial().await, short("anna"), 1, vec![]).await;
    let mut ben = site.keys.session_with(site.keys.dial().await, short("ben"), 2, vec![]).await;
    let foreign = Request::Renew(v1::Renew { token: site.keys.token("eve", MINUTE) });
    assert_eq!(code(&ben.refused(foreign).await), Unauthenticated);
    let renew = Request::Renew(v1::Renew { token: site.keys.token("ben", MINUTE) });
    let Response::Welcome(welcome) = ben.ask(renew).await else { panic!("not renewed") };
    assert!(welcome.token_expires_at_ms > now().0 + 30_000);
    let (_, Response::Goodbye(goodbye)) = anna.control.answer().await else { panic!("no goodbye") };
    assert_eq!(goodbye.code(), TokenExpired);
    assert_eq!(close_code(&anna.connection).await, TokenExpired as u64);
    ben.direct("anna").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_lets_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let site = Site::start_with(Limits::default(), |settings| {
        settings.disk = Some(wardline_broker::settings::DiskWatch { path, reserve_bytes: u64::MAX });
    })
    .await;
    let mut anna = site.keys.session("anna", 1).await;
    let error = soon("the disk to be looked at", async {
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
    .await;
    assert_eq!(code(&error), StorageFull);
    assert!(error.retry_after_ms > 0);
    let list = Request::ListConversations(v1::ListConversations::default());
    assert!(matches!(anna.ask(list).await, Response::ConversationPage(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_sends_what_is_owed_then_goodbye() {
    let site = Site::start(Limits::default()).await;
    let mut anna = site.keys.session("anna", 1).await;
    let conversation = anna.direct("ben").await;
    let mut out = BytesMut::new();
    for id in 100..200u64 {
        let request = publish(&conversation, id as u8, "x");
        frame::encode(&v1::ClientFrame { request_id: id, request: Some(request) }, &mut out);
    }
    anna.control.up.write_all(&out).await.unwrap();
    // The first ack says that the broker has begun to read them.
    assert!(matches!(anna.control.answer().await, (100, Response::PublishAck(_))));
    let stopping = tokio::spawn(site.broker.stop());
    let mut acked = 1;
    loop {
        match anna.control.answer().await {
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
    assert_eq!(close_code(&anna.connection).await, ShuttingDown as u64);
    assert_eq!(soon("the stop", stopping).await.unwrap(), wardline_broker::broker::Ended::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_answered_with_retry_and_keeps_the_order() {
    let limits = Limits { waiting_commands_max: 16, group_commands_max: 2, ..Limits::default() };
    let site = Site::start(limits).await;
    let mut anna = site.keys.session("anna", 1).await;
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
        frame::encode(&v1::ClientFrame { request_id: id, request: Some(request) }, &mut out);
    }
    let mut lane = Lane::open(&anna.connection).await;
    lane.up.write_all(&out).await.unwrap();
    let (mut acked, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        match lane.answer().await {
            (id, Response::PublishAck(_)) => acked.push(id),
            (id, Response::Error(error)) => {
                assert_eq!(code(&error), Retry);
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
