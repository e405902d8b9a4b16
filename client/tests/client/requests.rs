//! Requests and receipts, through refusals and lost connections.

use std::time::{Duration, Instant};

use crate::support::*;
use wardline_client::record::{Effect, Identifier, Merge, Naming, PatientId, SourceEvent};
use wardline_client::{Client, Code, ConversationId, Inbox, NewConversation, Options, RequestError};
use wardline_proto::v1;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{Acknowledged, ClientFrame, Conversation, ConversationPage, Done};

const C: ConversationId = ConversationId([7; 16]);

async fn open(broker: &Broker, change: impl FnOnce(&mut Options)) -> (Client, Inbox, Session) {
    let mut options = broker.options("token".to_owned());
    change(&mut options);
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, inbox) = connected.unwrap();
    (client, inbox, session)
}

fn is_list(frame: &ClientFrame) -> bool {
    matches!(frame.request, Some(Request::ListConversations(_)))
}

#[tokio::test]
async fn a_read_is_asked_again_after_a_lost_connection() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    let asked = tokio::spawn(async move { client.conversations(0, None).await });
    assert!(is_list(&session.control.next().await));
    session.cut();
    let mut session = broker.welcome().await;
    let frame = session.control.next().await;
    assert!(is_list(&frame));
    session.control.answer(frame.request_id, Response::ConversationPage(ConversationPage::default())).await;
    assert!(soon("the page", asked).await.unwrap().unwrap().items.is_empty());
}

#[tokio::test]
async fn a_change_is_not_asked_again() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    let asked = tokio::spawn(async move { client.rename(C, "ward 7").await });
    session.control.next().await;
    session.cut();
    let outcome = soon("the outcome", asked).await.unwrap();
    assert!(matches!(outcome, Err(RequestError::Unknown(_))), "{outcome:?}");
}

fn merge() -> Merge {
    let naming = |value: &str| Naming { identifiers: vec![Identifier::new("MRN", value)], label: None };
    let source = SourceEvent { source: "adt".into(), event_id: "A40".into(), time_ms: 1 };
    Merge { source, survivor: naming("1"), retired: naming("2") }
}

#[tokio::test]
async fn a_source_event_is_told_again_as_the_same() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    let asked = tokio::spawn(async move { client.merge_patients(&merge()).await });
    let told = session.control.next().await.request;
    session.cut();
    let mut session = broker.welcome().await;
    let frame = session.control.next().await;
    assert_eq!(frame.request, told);
    let recorded = v1::Recorded {
        effect: v1::RecordEffect::Repeated.into(),
        patient_id: vec![1; 16].into(),
        ..Default::default()
    };
    session.control.answer(frame.request_id, Response::Recorded(recorded)).await;
    let recorded = soon("the answer", asked).await.unwrap().unwrap();
    assert_eq!((recorded.effect, recorded.patient), (Effect::Repeated, Some(PatientId([1; 16]))));
    assert_eq!((recorded.encounter, recorded.bed_also_held_by), (None, None));
}

#[tokio::test]
async fn an_answer_about_the_record_that_is_none_is_not_taken_for_one() {
    let id = |bytes| vec![7; bytes].into();
    let changed = v1::RecordEffect::Changed.into();
    let wrong = [
        Response::Recorded(v1::Recorded::default()),
        Response::Recorded(v1::Recorded { effect: changed, patient_id: id(15), ..Default::default() }),
        Response::Recorded(v1::Recorded { effect: changed, encounter_id: id(17), ..Default::default() }),
        Response::Done(Done::default()),
    ];
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    for response in wrong {
        let client = client.clone();
        let asked = tokio::spawn(async move { client.merge_patients(&merge()).await });
        let frame = session.control.next().await;
        session.control.answer(frame.request_id, response).await;
        let outcome = soon("the outcome", asked).await.unwrap();
        assert!(matches!(outcome, Err(RequestError::Unknown(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn creating_is_asked_again_under_the_same_key() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    let asked = tokio::spawn(async move { client.create_group(NewConversation::default()).await });
    let key = |frame: ClientFrame| match frame.request {
        Some(Request::CreateConversation(create)) => (frame.request_id, create.client_conversation_id),
        _ => panic!("not a create"),
    };
    let (_, first) = key(session.control.next().await);
    session.cut();
    let mut session = broker.welcome().await;
    let (id, second) = key(session.control.next().await);
    assert_eq!(first, second);
    assert_eq!(first.len(), 16);
    let made = Conversation { conversation_id: C.0.to_vec().into(), kind: 2, ..Default::default() };
    session.control.answer(id, Response::Conversation(made)).await;
    assert_eq!(soon("the conversation", asked).await.unwrap().unwrap().id, C);
}

#[tokio::test]
async fn a_refusal_that_passes_is_waited_out_within_the_time() {
    let broker = Broker::start();
    let (client, _inbox, mut session) =
        open(&broker, |options| options.request_timeout = Duration::from_secs(5)).await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.leave(C).await }
    });
    let wait = Duration::from_millis(200);
    let id = session.control.next().await.request_id;
    session.control.refuse(id, Code::Retry, wait).await;
    let refused = tokio::time::Instant::now();
    let id = session.control.next().await.request_id;
    assert!(refused.elapsed() >= wait - Duration::from_millis(20));
    session.control.answer(id, Response::Done(Done { sequence: 8 })).await;
    assert_eq!(soon("the answer", asked).await.unwrap().unwrap(), Some(8));

    // A delay beyond the time: the refusal is told at once.
    let asked = tokio::spawn(async move { client.leave(C).await });
    let id = session.control.next().await.request_id;
    session.control.refuse(id, Code::Retry, Duration::from_secs(60)).await;
    let outcome = soon("the refusal", asked).await.unwrap();
    assert!(matches!(outcome, Err(RequestError::Refused(refusal)) if refusal.code == Code::Retry));
}

#[tokio::test]
async fn a_request_without_an_answer_ends_at_its_time() {
    let broker = Broker::start();
    let (client, _inbox, mut session) =
        open(&broker, |options| options.request_timeout = Duration::from_millis(200)).await;
    let (outcome, frame) = tokio::join!(client.conversations(0, None), session.control.next());
    assert!(is_list(&frame));
    assert!(matches!(outcome, Err(RequestError::Unknown(_))));
    // The late answer harms nobody.
    session.control.answer(frame.request_id, Response::ConversationPage(ConversationPage::default())).await;
    let (outcome, ()) = tokio::join!(client.conversations(0, None), async {
        let id = session.control.next().await.request_id;
        session.control.answer(id, Response::ConversationPage(ConversationPage::default())).await;
    });
    outcome.unwrap();
}

#[tokio::test]
async fn receipts_are_coalesced_and_sent_again_after_a_lost_connection() {
    let broker = Broker::start();
    let (client, _inbox, mut session) =
        open(&broker, |options| options.receipt_delay = Duration::from_millis(100)).await;
    for sequence in 1..=50 {
        client.delivered(C, sequence);
        client.read(C, sequence - 1);
    }
    client.read_only(C, 60);
    let flushed = tokio::spawn(async move { client.flush().await });
    let (_, first) = session.control.acknowledge().await;
    assert_eq!((first.delivered_up_to, first.read_up_to, first.read_only.as_slice()), (50, 49, &[60][..]));
    session.cut();
    let mut session = broker.welcome().await;
    let (id, again) = session.control.acknowledge().await;
    assert_eq!(first, again);
    assert!(!flushed.is_finished());
    session.control.answer(id, Response::Acknowledged(Acknowledged::default())).await;
    soon("the flush", flushed).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_crowds_receipts_do_not_come_together() {
    const DELAY: Duration = Duration::from_millis(800);
    let broker = Broker::start();
    let mut crowd = Vec::new();
    for _ in 0..12 {
        crowd.push(open(&broker, |options| options.receipt_delay = DELAY).await);
    }
    let told = Instant::now();
    for (client, ..) in &crowd {
        client.delivered(C, 1);
    }
    let mut waits = Vec::new();
    for (_, _, session) in &mut crowd {
        waits.push(async {
            session.control.acknowledge().await;
            told.elapsed()
        });
    }
    let waits = futures_util::future::join_all(waits).await;
    let (soonest, latest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*soonest >= DELAY / 2, "{waits:?}");
    assert!(*latest - *soonest >= DELAY / 8, "{waits:?}");
}

#[tokio::test]
async fn a_receipt_behind_the_record_does_not_take_others_with_it() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    client.delivered(C, 5);
    client.read(C, 5);
    let flushed = tokio::spawn(async move { client.flush().await });
    let (id, both) = session.control.acknowledge().await;
    assert_eq!((both.delivered_up_to, both.read_up_to), (5, 5));
    session.control.refuse(id, Code::ReceiptBackwards, Duration::ZERO).await;
    let (id, one) = session.control.acknowledge().await;
    assert_eq!((one.delivered_up_to, one.read_up_to), (5, 0));
    session.control.answer(id, Response::Acknowledged(Acknowledged::default())).await;
    let (id, other) = session.control.acknowledge().await;
    assert_eq!((other.delivered_up_to, other.read_up_to), (0, 5));
    session.control.refuse(id, Code::ReceiptBackwards, Duration::ZERO).await;
    soon("the flush", flushed).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_explicit_acknowledgement_tells_the_refusal() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    let (outcome, ()) = tokio::join!(client.acknowledge(C, Some(9), None), async {
        let (id, acknowledge) = session.control.acknowledge().await;
        assert_eq!(acknowledge.delivered_up_to, 9);
        session.control.refuse(id, Code::ReceiptBeyondHead, Duration::ZERO).await;
    });
    assert!(
        matches!(outcome, Err(RequestError::Refused(refusal)) if refusal.code == Code::ReceiptBeyondHead)
    );
}

#[tokio::test]
async fn an_answer_to_nothing_ends_the_session_not_the_client() {
    let broker = Broker::start();
    let (_client, _inbox, mut session) = open(&broker, |_| {}).await;
    session.control.answer(99, Response::Done(Done { sequence: 1 })).await;
    let error = soon("the connection's end", session.connection.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(close) = error else { panic!("{error}") };
    assert_eq!(close.error_code.into_inner(), Code::BadFrame as u64);
    broker.welcome().await;
}
