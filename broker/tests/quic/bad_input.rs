//! What no client should send: each gets its stable code, and none of it concerns anybody else.

use bytes::{Bytes, BytesMut};
use quinn::ConnectionError;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use wardline_client::{Code, ConnectError, ConversationId, DeviceId, Outgoing};
use wardline_proto::frame;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{
    Acknowledge, ClientFrame, Hello, History, ListConversations, ListMembers, ListReceipts, Publish,
};

use crate::raw::{Raw, connect, hello};
use crate::site::{Site, TENANT, TokenIssuer, claims, now_ms, refused, within};
use crate::witness::Witness;

/// How long a frame may be announced; over every bound.
const HUGE: [u8; 4] = [0x80, 0x80, 0x80, 0x01];

/// A client that is past Hello, with a conversation in which something was said.
struct Intruder {
    raw: Raw,
    conversation: ConversationId,
}

impl Intruder {
    async fn enter(site: &Site) -> Self {
        let owner = site.person("owner").await;
        let conversation = owner.group(&["intruder"]).await;
        for text in ["one", "two", "three"] {
            within("publishing", owner.client.publish(Outgoing::text(conversation, text))).await.unwrap();
        }
        let raw = Raw::session(site, "intruder", 1).await;
        Self { raw, conversation }
    }

    fn id(&self) -> Bytes {
        self.conversation.0.to_vec().into()
    }

    async fn ask(&mut self, request: Request) -> Response {
        self.raw.control.send(9, request).await;
        self.raw.control.answer(9).await
    }

    async fn refused(&mut self, request: Request, code: Code) -> wardline_proto::v1::Error {
        self.raw.control.send(9, request).await;
        self.raw.control.refused(9, code).await
    }

    /// Asserts that the session goes on.
    async fn goes_on(&mut self) {
        let page =
            self.ask(Request::History(History { conversation_id: self.id(), ..Default::default() })).await;
        let Response::HistoryPage(page) = page else { panic!("{page:?}") };
        assert_eq!(page.entries.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_too_long() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let mut before_hello = Raw::silent(&site).await;
    before_hello.control.send_bytes(&HUGE).await;
    before_hello.closed(Code::FrameTooLarge).await;

    let on_control = &mut Intruder::enter(&site).await.raw;
    on_control.control.send_bytes(&HUGE).await;
    on_control.closed(Code::FrameTooLarge).await;

    let on_a_lane = Intruder::enter(&site).await.raw;
    on_a_lane.lane().await.send_bytes(&HUGE).await;
    on_a_lane.closed(Code::FrameTooLarge).await;

    // One byte over the bound that Welcome told.
    let intruder = Intruder::enter(&site).await;
    let mut out = BytesMut::new();
    let payload = vec![0; site.settings.limits.frame_bytes_max];
    let publish = Publish { conversation_id: intruder.id(), payload: payload.into(), ..Default::default() };
    frame::encode(
        &ClientFrame { request_id: 2, request: Some(Request::Publish(publish)), ..ClientFrame::default() },
        &mut out,
    );
    let mut raw = intruder.raw;
    raw.control.send_bytes(&out).await;
    raw.closed(Code::FrameTooLarge).await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_instead_of_protobuf() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let mut garbage = vec![
        vec![4, 0xff, 0xff, 0xff, 0xff],
        // A length of more than five bytes, and one that is not the shortest.
        vec![0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        vec![0x81, 0x00, 0x00],
    ];
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..20 {
        // Wire type 7 does not exist, so whatever follows is no message.
        let length = random.random_range(1..100);
        let mut frame = vec![length + 1, 0x0f];
        frame.extend((0..length).map(|_| random.random::<u8>()));
        garbage.push(frame);
    }
    for bytes in &garbage {
        let mut before_hello = Raw::silent(&site).await;
        before_hello.control.send_bytes(bytes).await;
        before_hello.closed(Code::BadFrame).await;
    }
    for bytes in &garbage[..4] {
        let raw = Raw::session(&site, "intruder", 1).await;
        raw.lane().await.send_bytes(bytes).await;
        raw.closed(Code::BadFrame).await;
    }
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_within_a_frame() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let mut intruder = Intruder::enter(&site).await;
    intruder.goes_on().await;
    let mut lane = intruder.raw.lane().await;
    lane.send_bytes(&[100, 8, 1]).await;
    lane.finish();
    intruder.raw.closed(Code::BadFrame).await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_protocol() {
    /// RFC 9001, section 4.8, and RFC 8446, section 6: a crypto error with the alert
    /// no_application_protocol.
    const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    for alpn in [&b"h3"[..], b"wardline/2", b"wardline"] {
        match connect(&site, alpn).await {
            Err(ConnectionError::ConnectionClosed(close)) => {
                assert_eq!(u64::from(close.error_code), NO_APPLICATION_PROTOCOL, "{close:?}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        }
    }
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_good() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let now_s = now_ms() / 1000;
    let with = |key: &str, value: Value| {
        let mut claims = claims(TENANT, "ann", json!([]));
        claims[key] = value;
        site.issuer.sign(&claims)
    };
    let good = site.issuer.token("ann");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{}.", message);
    let flipped =
        format!("{message}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    for (token, code) in [
        (with("exp", json!(now_s - 10)), Code::TokenExpired),
        (with("nbf", json!(now_s + 600)), Code::Unauthenticated),
        (with("iss", json!("https://elsewhere.example")), Code::Unauthenticated),
        (with("aud", json!("another service")), Code::Unauthenticated),
        (with("tenant", Value::Null), Code::Unauthenticated),
        (TokenIssuer::new().token("ann"), Code::Unauthenticated),
        (flipped, Code::Unauthenticated),
        (unsigned, Code::Unauthenticated),
        (String::new(), Code::Unauthenticated),
        ("not a token".into(), Code::Unauthenticated),
    ] {
        let mut raw = Raw::silent(&site).await;
        raw.control.send(1, Request::Hello(hello(token.clone(), "ann", 1))).await;
        raw.control.refused(1, code).await;
        raw.closed(code).await;
        match wardline_client::connect(site.options_with(token, DeviceId::random())).await {
            Err(ConnectError::Refused(refusal)) => assert_eq!(refusal.code, code, "{refusal}"),
            other => panic!("{:?} instead of {code:?}", other.err()),
        }
    }
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_is_none() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let good = || hello(site.issuer.token("ann"), "ann", 1);
    let long = "x".repeat(100);
    for (request, code) in [
        (Request::ListConversations(ListConversations::default()), Code::HelloRequired),
        (Request::Hello(Hello { protocol_version: 2, ..good() }), Code::UnsupportedVersion),
        (Request::Hello(Hello { device_id: Bytes::from_static(b"short"), ..good() }), Code::InvalidArgument),
        (Request::Hello(Hello { client_name: long.clone(), ..good() }), Code::InvalidArgument),
        (Request::Hello(Hello { client_version: "1\n2".into(), ..good() }), Code::InvalidArgument),
        (Request::Hello(Hello { token: "t".repeat(8193), ..good() }), Code::InvalidArgument),
    ] {
        let mut raw = Raw::silent(&site).await;
        raw.control.send(1, request).await;
        raw.control.refused(1, code).await;
        raw.closed(code).await;
    }
    let mut twice = Intruder::enter(&site).await;
    let again = Request::Hello(hello(site.issuer.token("intruder"), "intruder", 1));
    twice.refused(again, Code::HelloRequired).await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_does_not_exist_or_was_left() {
    let site = Site::rocksdb().await;
    let witness = Witness::start(&site).await;
    let mut intruder = Intruder::enter(&site).await;
    let publish = |conversation_id: Bytes| {
        Request::Publish(Publish {
            conversation_id,
            client_message_id: vec![1; 16].into(),
            ..Default::default()
        })
    };
    intruder.refused(publish(vec![9; 16].into()), Code::NotFound).await;
    intruder.refused(publish(vec![9; 15].into()), Code::InvalidArgument).await;
    intruder.goes_on().await;

    let bob = site.person("bob").await;
    let owner = site.person("owner").await;
    let group = owner.group(&["bob"]).await;
    within("leaving", bob.client.leave(group)).await.unwrap();
    refused(Code::NotFound, bob.client.publish(Outgoing::text(group, "after leaving"))).await;
    assert_eq!(owner.history(group).await.len(), 1, "only the notice that he left");
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_limits_allow() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let mut intruder = Intruder::enter(&site).await;
    let limits = &site.settings.limits;
    let payload = vec![0; limits.payload_bytes_max + 1];
    let publish = Publish {
        conversation_id: intruder.id(),
        client_message_id: vec![1; 16].into(),
        payload: payload.into(),
        ..Default::default()
    };
    intruder.refused(Request::Publish(publish), Code::PayloadTooLarge).await;

    let (conversation_id, page_size) = (intruder.id(), limits.page_entries_max as u32 + 1);
    let id = || conversation_id.clone();
    for request in [
        Request::History(History { conversation_id: id(), page_size, ..Default::default() }),
        Request::ListConversations(ListConversations { page_size, ..Default::default() }),
        Request::ListMembers(ListMembers { conversation_id: id(), page_size, ..Default::default() }),
        Request::ListReceipts(ListReceipts {
            conversation_id: id(),
            sequence: 1,
            page_size,
            ..Default::default()
        }),
    ] {
        intruder.refused(request, Code::PageTooLarge).await;
    }
    intruder.goes_on().await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_outside_their_bounds() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let mut intruder = Intruder::enter(&site).await;
    let publish = Publish {
        conversation_id: intruder.id(),
        client_message_id: vec![1; 16].into(),
        ..Default::default()
    };
    let history = History { conversation_id: intruder.id(), ..Default::default() };
    for request in [
        Request::Publish(Publish { client_message_id: vec![1; 8].into(), ..publish.clone() }),
        Request::Publish(Publish { content_type: "text/plain\n".into(), ..publish.clone() }),
        Request::Publish(Publish { content_type: "t".repeat(129), ..publish.clone() }),
        Request::Publish(Publish { priority: 7, ..publish.clone() }),
        Request::Publish(Publish { reply_to_sequence: 99, ..publish }),
        Request::History(History { direction: 7, ..history }),
        Request::ListConversations(ListConversations { page_token: vec![1].into(), ..Default::default() }),
        Request::ListReceipts(ListReceipts { conversation_id: intruder.id(), ..Default::default() }),
    ] {
        intruder.refused(request, Code::InvalidArgument).await;
    }
    // No request id, and a request of a kind that is not known: there is still an answer.
    intruder.raw.control.send(0, Request::ListConversations(ListConversations::default())).await;
    intruder.raw.control.refused(0, Code::InvalidArgument).await;
    intruder.raw.control.send_bytes(&[5, 0x08, 0x09, 0xa2, 0x06, 0x00]).await;
    intruder.raw.control.refused(9, Code::InvalidArgument).await;
    intruder.goes_on().await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_beyond_the_head_and_backwards() {
    let site = Site::memory().await;
    let witness = Witness::start(&site).await;
    let mut intruder = Intruder::enter(&site).await;
    let conversation_id = intruder.id();
    let marks = |delivered_up_to, read_up_to| {
        let conversation_id = conversation_id.clone();
        Request::Acknowledge(Acknowledge {
            conversation_id,
            delivered_up_to,
            read_up_to,
            ..Default::default()
        })
    };
    for beyond in [marks(4, 0), marks(0, 4), marks(u64::MAX, 0)] {
        intruder.refused(beyond, Code::ReceiptBeyondHead).await;
    }
    let Response::Acknowledged(known) = intruder.ask(marks(3, 2)).await else { panic!("refused") };
    assert_eq!((known.delivered_up_to, known.read_up_to), (3, 2));
    let backwards = intruder.refused(marks(1, 0), Code::ReceiptBackwards).await;
    assert_eq!(backwards.current_sequence, 3);
    let backwards = intruder.refused(marks(0, 1), Code::ReceiptBackwards).await;
    assert_eq!(backwards.current_sequence, 2);
    // Nothing was changed, and saying the same again is fine.
    let Response::Acknowledged(known) = intruder.ask(marks(3, 2)).await else { panic!("refused") };
    assert_eq!((known.delivered_up_to, known.read_up_to), (3, 2));
    intruder.goes_on().await;
    witness.stays_unharmed().await;
}
