//! Opening, losing, resuming, renewing and ending sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::*;
use prost::Message as _;
use wardline_client::{
    Acknowledging, Body, Code, ConnectError, ConversationId, Incoming, RequestError, Status, TokenSource,
};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{CaughtUp, LaneClass};

const C: ConversationId = ConversationId([7; 16]);

#[tokio::test]
async fn publishes_and_receives() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, mut session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, mut inbox) = connected.unwrap();
    assert_eq!(session.hello.token, "token");
    assert!(matches!(&*client.status().borrow(), Status::Connected(session) if session.generation == 0));

    let publish = tokio::spawn({
        let client = client.clone();
        async move { client.publish(numbered(C, 1)).await }
    });
    let mut lane = session.publish_lane().await;
    let (id, publish_frame) = lane.publish().await;
    assert_eq!(number_of(&publish_frame), 1);
    lane.ack(id, 42).await;
    assert_eq!(publish.await.unwrap().unwrap().sequence, 42);

    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    ordered.entry(C, 42).await;
    ordered.push(Push::CaughtUp(CaughtUp { entries: 1, not_followed: 0 })).await;
    assert_eq!(next_sequence(&mut inbox).await, 42);
    assert!(matches!(soon("CaughtUp", inbox.next()).await, Some(Incoming::CaughtUp)));

    let (_, acknowledge) = session.control.acknowledge().await;
    assert_eq!(acknowledge.delivered_up_to, 42);
}

#[tokio::test]
async fn resumes_where_the_application_stands() {
    let broker = Broker::start();
    let mut options = broker.options("token".to_owned());
    let other = ConversationId([9; 16]);
    options.resume = vec![(other, 5)];
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, mut inbox) = connected.unwrap();
    assert_eq!(session.positions(), vec![(other, 5)]);
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    for sequence in [3, 4, 6] {
        ordered.entry(C, sequence).await;
        assert_eq!(next_sequence(&mut inbox).await, sequence);
    }
    session.cut();

    let session = broker.welcome().await;
    assert_eq!(session.positions(), vec![(C, 6), (other, 5)]);
    until(
        &client,
        "the second session",
        |status| matches!(status, Status::Connected(s) if s.generation == 1),
    )
    .await;
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    for sequence in [4, 6, 7] {
        ordered.entry(C, sequence).await;
    }
    assert_eq!(next_sequence(&mut inbox).await, 7);
}

#[tokio::test]
async fn names_the_most_recently_active_conversations() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (_client, mut inbox) = connected.unwrap();
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    for number in 1..=6 {
        ordered.entry(ConversationId([number; 16]), u64::from(number)).await;
        next_sequence(&mut inbox).await;
    }
    session.cut();
    let session = broker.welcome().await;
    let wanted: Vec<_> =
        [6u8, 5, 4, 3].into_iter().map(|n| (ConversationId([n; 16]), u64::from(n))).collect();
    assert_eq!(session.positions(), wanted, "as many as the broker takes");
}

#[tokio::test]
async fn an_urgent_message_comes_once() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, mut session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (_client, mut inbox) = connected.unwrap();
    let mut urgent = session.delivery_lane(LaneClass::Urgent).await;
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    urgent.entry(C, 3).await;
    assert_eq!(next_sequence(&mut inbox).await, 3);
    let (id, acknowledge) = session.control.acknowledge().await;
    assert_eq!((acknowledge.delivered_up_to, acknowledge.delivered_only), (0, vec![3]));
    session.control.answer(id, Response::Acknowledged(Default::default())).await;

    ordered.entry(C, 1).await;
    assert_eq!(next_sequence(&mut inbox).await, 1);
    let (id, acknowledge) = session.control.acknowledge().await;
    assert_eq!(acknowledge.delivered_up_to, 1);
    session.control.answer(id, Response::Acknowledged(Default::default())).await;

    // Its turn comes: the application does not see it, but the watermark passes it.
    ordered.entry(C, 3).await;
    let waiting = tokio::spawn(async move { next_sequence(&mut inbox).await });
    let (_, acknowledge) = session.control.acknowledge().await;
    assert_eq!(acknowledge.delivered_up_to, 3);
    ordered.entry(C, 4).await;
    assert_eq!(waiting.await.unwrap(), 4);
}

#[tokio::test]
async fn a_slow_application_stops_the_broker() {
    let broker = Broker::start();
    let mut options = broker.options("token".to_owned());
    options.inbox_max = 8;
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (_client, mut inbox) = connected.unwrap();
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    let payload = vec![1; 16 * 1024];
    // Windows of both sides, the inbox, and one frame on each side of it: far less than what is
    // sent.
    let bound = (64 + 64 + 8 * 16 + 64) / 16;
    let mut written = 0;
    let stalled = Duration::from_millis(500);
    while let Ok(pushed) =
        tokio::time::timeout(stalled, ordered.try_push(entry(C, written + 1, &payload))).await
    {
        pushed.unwrap();
        written += 1;
        assert!(written <= bound, "{written} frames of 16 KiB were taken without being read");
    }
    // The frame that was cut short by the time-out cannot be told apart: take what was whole.
    for sequence in 1..=written {
        assert_eq!(next_sequence(&mut inbox).await, sequence);
    }
    // An urgent message does not wait behind them.
    let mut urgent = session.delivery_lane(LaneClass::Urgent).await;
    urgent.entry(C, 9_999).await;
    assert_eq!(next_sequence(&mut inbox).await, 9_999);
}

#[tokio::test]
async fn entries_of_all_sizes_arrive_whole() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (_client, mut inbox) = connected.unwrap();
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    // However they lie in packets: many in one, across two, across many.
    let sizes = (0..400).chain((0..12).map(|power| (1 << power) * 30)).chain([60_000, 1, 60_000]);
    let payloads: Vec<Vec<u8>> = sizes
        .enumerate()
        .map(|(place, size)| (0..size).map(|at| (place * 31 + at) as u8).collect())
        .collect();
    let sending = async {
        for (place, payload) in payloads.iter().enumerate() {
            ordered.push(entry(C, place as u64 + 1, payload)).await;
        }
    };
    let taking = async {
        for (place, payload) in payloads.iter().enumerate() {
            let Some(Incoming::Entry(entry)) = soon("an entry", inbox.next()).await else {
                panic!("no entry")
            };
            let Body::Message { payload: arrived, content_type, .. } = &entry.body else {
                panic!("no message")
            };
            assert_eq!((entry.sequence, &entry.sender), (place as u64 + 1, &"somebody".into()));
            assert_eq!(*content_type, "text/plain");
            assert!(arrived == payload, "{} bytes arrived otherwise", payload.len());
        }
    };
    tokio::join!(sending, taking);
}

#[tokio::test]
async fn an_entry_in_another_spelling_arrives() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (_client, mut inbox) = connected.unwrap();
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    let Push::Entry(plain) = entry(C, 1, b"payload") else { panic!("no entry") };
    // The sequence comes again, behind the body, with another value: the last one holds.
    let mut content = plain.encode_to_vec();
    content.extend([2 << 3, 5]);
    let mut frame = vec![2 << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut frame);
    frame.extend(content);
    ordered.raw(&frame).await;
    assert_eq!(next_sequence(&mut inbox).await, 5);
}

#[tokio::test]
async fn goodbye_spaces_the_next_attempt() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, _inbox) = connected.unwrap();
    let wait = Duration::from_millis(700);
    let said = tokio::time::Instant::now();
    session.goodbye(Code::ShuttingDown, wait).await;
    until(
        &client,
        "reconnecting",
        |status| matches!(status, Status::Reconnecting { next_in, .. } if *next_in >= wait),
    )
    .await;
    broker.welcome().await;
    assert!(said.elapsed() >= wait);
}

#[tokio::test]
async fn superseded_is_final() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, mut inbox) = connected.unwrap();
    session.goodbye(Code::Superseded, Duration::ZERO).await;
    until(&client, "the end", |status| matches!(status, Status::Closed { .. })).await;
    assert!(soon("the inbox's end", inbox.next()).await.is_none());
    assert!(matches!(client.publish(numbered(C, 1)).await, Err(RequestError::Closed(_))));
    assert!(matches!(client.conversations(0, None).await, Err(RequestError::Closed(_))));
    assert!(matches!(client.flush().await, Err(RequestError::Closed(_))));
}

/// Numbers the tokens that it gives.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU32>);

impl TokenSource for Counting {
    fn token(&self) -> Result<String, String> {
        Ok(format!("token {}", self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

#[tokio::test]
async fn renews_the_token_and_asks_for_a_fresh_one_on_reconnect() {
    let broker = Broker::start();
    let options = broker.options(Counting::default());
    let accept = async {
        let mut session = broker.accept().await;
        session.welcome(Duration::from_millis(1500)).await;
        session
    };
    let (connected, mut session) = tokio::join!(wardline_client::connect(options), accept);
    let (client, _inbox) = connected.unwrap();
    assert_eq!(session.hello.token, "token 0");
    let frame = session.control.next().await;
    let Some(Request::Renew(renew)) = frame.request else { panic!("not a renewal") };
    assert_eq!(renew.token, "token 1");
    let renewed = welcome(Duration::from_secs(9000));
    let expires = renewed.token_expires_at_ms;
    session.control.answer(frame.request_id, Response::Welcome(renewed)).await;
    until(
        &client,
        "the new expiry",
        |status| matches!(status, Status::Connected(session) if session.token_expires_at_ms == expires),
    )
    .await;
    session.cut();
    assert_eq!(broker.accept().await.hello.token, "token 2");
}

#[tokio::test]
async fn gives_up_when_tokens_stay_refused() {
    let broker = Broker::start();
    let tokens = Counting::default();
    let options = broker.options(tokens.clone());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, _inbox) = connected.unwrap();
    session.cut();
    let refusing = async {
        loop {
            let mut session = broker.accept().await;
            let id = session.hello_id;
            session.control.refuse(id, Code::Unauthenticated, Duration::ZERO).await;
            session.connection.closed().await;
        }
    };
    tokio::select! {
        () = refusing => {}
        () = until(&client, "the end", |status| matches!(status, Status::Closed { .. })) => {}
    }
    assert!(tokens.0.load(Ordering::Relaxed) > 3, "each attempt asks for a token");
}

#[tokio::test]
async fn connect_tells_what_is_wrong() {
    let broker = Broker::start();
    let refuse = async {
        let mut session = broker.accept().await;
        let id = session.hello_id;
        session.control.refuse(id, Code::Unauthenticated, Duration::ZERO).await;
        session.connection.closed().await;
    };
    let options = broker.options("token".to_owned());
    let (refused, ()) = tokio::join!(wardline_client::connect(options), refuse);
    assert!(matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.code == Code::Unauthenticated));

    let detail = |error: ConnectError| match error {
        ConnectError::Unreachable { detail, .. } => detail,
        other => panic!("{other:?}"),
    };
    let mut options = broker.options("token".to_owned());
    options.trust = wardline_client::Trust::Pem(Broker::start().ca);
    let accept = async { broker.endpoint.accept().await.unwrap().await.unwrap_err() };
    let (untrusted, _) = tokio::join!(wardline_client::connect(options), accept);
    assert!(detail(untrusted.unwrap_err()).contains("not trusted"));

    let stranger = Broker::with_alpn(b"h3");
    let accept = async { stranger.endpoint.accept().await.unwrap().await.unwrap_err() };
    let options = stranger.options("token".to_owned());
    let (wrong, _) = tokio::join!(wardline_client::connect(options), accept);
    assert!(detail(wrong.unwrap_err()).contains("does not speak wardline/1"));

    let mut options = broker.options("token".to_owned());
    options.trust = wardline_client::Trust::Pem(b"nothing".to_vec());
    assert!(matches!(wardline_client::connect(options).await, Err(ConnectError::Options(_))));

    struct Mute;
    impl TokenSource for Mute {
        fn token(&self) -> Result<String, String> {
            Err("the key is gone".into())
        }
    }
    let refused = wardline_client::connect(broker.options(Mute)).await;
    assert!(matches!(refused, Err(ConnectError::Token(why)) if why == "the key is gone"));
}

#[tokio::test]
async fn a_silent_broker_is_given_up() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let broker = Broker::start();
    let mut options = broker.options("token".to_owned());
    options.address = silent.local_addr().unwrap().into();
    options.connect_timeout = Duration::from_millis(300);
    let error = soon("the time-out", wardline_client::connect(options)).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
}

#[tokio::test]
async fn dropping_the_handles_ends_the_session() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, mut inbox) = connected.unwrap();
    let second = client.clone();
    drop(client);
    let status = second.status();
    drop(second);
    soon("the connection's end", session.connection.closed()).await;
    assert!(soon("the inbox's end", inbox.next()).await.is_none());
    assert!(matches!(&*status.borrow(), Status::Closed { .. }));
}

#[tokio::test]
async fn a_dropped_inbox_blocks_nobody() {
    let broker = Broker::start();
    let mut options = broker.options("token".to_owned());
    options.inbox_max = 1;
    options.acknowledging = Acknowledging::Manual;
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, inbox) = connected.unwrap();
    drop(inbox);
    let mut ordered = session.delivery_lane(LaneClass::Ordered).await;
    let payload = vec![1; 16 * 1024];
    for sequence in 1..=64 {
        soon("a push", ordered.push(entry(C, sequence, &payload))).await;
    }
    drop(client);
}

#[tokio::test]
async fn who_comes_back_shows_a_ticket_instead_of_checking_the_certificate_again() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, mut session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, _inbox) = connected.unwrap();
    for generation in 1..3 {
        broker.show_another_certificate();
        session.cut();
        session = broker.welcome().await;
        let back =
            move |status: &Status| matches!(status, Status::Connected(s) if s.generation == generation);
        until(&client, "the next session", back).await;
    }
    // Who was never there has no ticket.
    let mut stranger = broker.options("token".to_owned());
    stranger.connect_timeout = Duration::from_secs(2);
    let refused = async { broker.endpoint.accept().await.unwrap().await.unwrap_err() };
    let (connected, _) = tokio::join!(wardline_client::connect(stranger), refused);
    assert!(matches!(connected, Err(ConnectError::Unreachable { .. })));
}

#[tokio::test]
async fn the_longest_packet_of_a_path_is_found_by_one_probe() {
    let broker = Broker::start();
    let options = broker.options("token".to_owned());
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (_client, _inbox) = connected.unwrap();
    let probes = || session.connection.stats().frame_rx.ping;
    soon("a probe", async {
        while probes() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(probes(), 1);
}
