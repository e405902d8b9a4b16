//! Publishing in order, once, through refusals and lost connections.

use std::time::Duration;

use crate::support::*;
use wardline_client::{Client, Code, ConversationId, Inbox, Options, Outgoing, Priority, RequestError};
use wardline_proto::v1::server_frame::Response;

const C: ConversationId = ConversationId([7; 16]);

async fn open(broker: &Broker, change: impl FnOnce(&mut Options)) -> (Client, Inbox, Session) {
    let mut options = broker.options("token".to_owned());
    change(&mut options);
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, inbox) = connected.unwrap();
    (client, inbox, session)
}

#[tokio::test]
async fn sends_again_in_order_after_retry() {
    let broker = Broker::start();
    let (client, _inbox, session) = open(&broker, |_| {}).await;
    let mut pending = Vec::new();
    for number in 0..4 {
        pending.push(client.enqueue(numbered(C, number)).await.unwrap());
    }
    let mut lane = session.publish_lane().await;
    let mut first = Vec::new();
    for number in 0..4 {
        let (id, publish) = lane.publish().await;
        assert_eq!(number_of(&publish), number);
        first.push((id, publish));
    }
    let pause = Duration::from_millis(300);
    let refused = tokio::time::Instant::now();
    // The answers come in another order than the requests.
    lane.refuse(first[3].0, Code::Retry, pause).await;
    lane.refuse(first[1].0, Code::Retry, pause).await;
    lane.refuse(first[2].0, Code::Retry, pause).await;
    lane.ack(first[0].0, 1).await;
    for (number, first) in (1..4).zip(&first[1..]) {
        let (id, publish) = lane.publish().await;
        assert!(refused.elapsed() >= pause, "sent again before the delay was over");
        assert_eq!(number_of(&publish), number);
        assert_eq!(publish.client_message_id, first.1.client_message_id);
        assert!(publish.epoch > first.1.epoch);
        lane.ack(id, number + 1).await;
    }
    for (number, pending) in (0..4).zip(pending) {
        assert_eq!(pending.wait().await.unwrap().sequence, number + 1);
    }
}

#[tokio::test]
async fn sends_again_in_order_after_a_lost_connection() {
    let broker = Broker::start();
    let (client, _inbox, session) = open(&broker, |_| {}).await;
    let mut pending = Vec::new();
    for number in 0..3 {
        pending.push(client.enqueue(numbered(C, number)).await.unwrap());
    }
    let mut lane = session.publish_lane().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(lane.publish().await);
    }
    lane.ack(ids[1].0, 2).await;
    assert_eq!(pending.remove(1).wait().await.unwrap().sequence, 2);
    session.cut();
    // Taken in while there is no session.
    pending.push(client.enqueue(numbered(C, 3)).await.unwrap());

    let session = broker.welcome().await;
    let mut lane = session.publish_lane().await;
    for number in [0, 2, 3] {
        let (id, publish) = lane.publish().await;
        assert_eq!(number_of(&publish), number);
        if let Some((_, first)) = ids.get(number as usize) {
            assert_eq!(publish.client_message_id, first.client_message_id);
        }
        lane.ack(id, number + 1).await;
    }
    for (number, pending) in [0, 2, 3].into_iter().zip(pending) {
        assert_eq!(pending.wait().await.unwrap().sequence, number + 1);
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_told_and_holds_up_nobody() {
    let broker = Broker::start();
    let (client, _inbox, session) = open(&broker, |_| {}).await;
    let first = client.enqueue(numbered(C, 0)).await.unwrap();
    let second = client.enqueue(numbered(C, 1)).await.unwrap();
    let mut lane = session.publish_lane().await;
    let (id, _) = lane.publish().await;
    lane.refuse(id, Code::NotFound, Duration::ZERO).await;
    let (id, _) = lane.publish().await;
    lane.ack(id, 1).await;
    let Err(RequestError::Refused(refusal)) = first.wait().await else { panic!("not refused") };
    assert_eq!(refusal.code, Code::NotFound);
    assert_eq!(second.wait().await.unwrap().sequence, 1);
}

#[tokio::test]
async fn the_window_bounds_what_is_unanswered_and_keeps_the_order() {
    let broker = Broker::start();
    let (client, _inbox, session) = open(&broker, |options| options.publish_window = 2).await;
    // All at once, from as many tasks as messages, in the order of first polling.
    let all = futures_util::future::join_all((0..6).map(|number| client.publish(numbered(C, number))));
    let answer = async {
        let mut lane = session.publish_lane().await;
        let mut due = Vec::new();
        for number in 0..6 {
            let (id, publish) = lane.publish().await;
            assert_eq!(number_of(&publish), number);
            due.push((id, number));
            if due.len() == 2 {
                let more = tokio::time::timeout(Duration::from_millis(50), lane.try_next()).await;
                assert!(number == 5 || more.is_err(), "more than the window was sent");
                let (id, number) = due.remove(0);
                lane.ack(id, number + 1).await;
            }
        }
        let (id, number) = due.remove(0);
        lane.ack(id, number + 1).await;
        session
    };
    let (acks, _session) = soon("all acknowledgements", async { tokio::join!(all, answer) }).await;
    let sequences: Vec<_> = acks.into_iter().map(|ack| ack.unwrap().sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn closing_waits_for_what_is_in_line() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    let pending = client.enqueue(numbered(C, 0)).await.unwrap();
    client.read(C, 3);
    let closing = tokio::spawn(async move { client.close(PATIENCE).await });
    let mut lane = session.publish_lane().await;
    let (id, _) = lane.publish().await;
    let (receipt, acknowledge) = session.control.acknowledge().await;
    assert_eq!(acknowledge.read_up_to, 3);
    session.control.answer(receipt, Response::Acknowledged(Default::default())).await;
    assert!(!closing.is_finished());
    lane.ack(id, 1).await;
    soon("the close", closing).await.unwrap();
    assert_eq!(pending.wait().await.unwrap().sequence, 1);
    soon("the connection's end", session.connection.closed()).await;
}

#[tokio::test]
async fn closing_gives_up_at_its_deadline() {
    let broker = Broker::start();
    let (client, mut inbox, session) = open(&broker, |_| {}).await;
    let pending = client.enqueue(numbered(C, 0)).await.unwrap();
    soon("the close", client.close(Duration::from_millis(100))).await;
    assert!(matches!(soon("the answer", pending.wait()).await, Err(RequestError::Closed(_))));
    assert!(matches!(client.enqueue(numbered(C, 1)).await, Err(RequestError::Closed(_))));
    assert!(soon("the inbox's end", inbox.next()).await.is_none());
    soon("the connection's end", session.connection.closed()).await;
}

#[tokio::test]
async fn answers_that_follow_goodbye_count() {
    let broker = Broker::start();
    let (client, _inbox, mut session) = open(&broker, |_| {}).await;
    let pending = client.enqueue(numbered(C, 0)).await.unwrap();
    let mut lane = session.publish_lane().await;
    let (id, _) = lane.publish().await;
    let goodbye = wardline_proto::v1::Goodbye {
        code: Code::ShuttingDown.into(),
        text: "stopping".into(),
        retry_after_ms: 60_000,
    };
    session.control.answer(0, Response::Goodbye(goodbye)).await;
    session.control.stream.finish().unwrap();
    let _ = soon("Goodbye to be read", session.control.stream.stopped()).await;
    lane.ack(id, 9).await;
    assert_eq!(soon("the answer", pending.wait()).await.unwrap().sequence, 9);
}

#[tokio::test]
async fn an_urgent_message_has_a_lane_and_a_window_of_its_own() {
    let broker = Broker::start();
    let (client, _inbox, session) = open(&broker, |options| options.publish_window = 2).await;
    let mut routine = Vec::new();
    for number in 0..2 {
        routine.push(client.enqueue(numbered(C, number)).await.unwrap());
    }
    // The window is full, and somebody waits for a seat.
    let waits = client.enqueue(numbered(C, 2));
    tokio::pin!(waits);
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut waits).await.is_err());
    let mut lane = session.publish_lane().await;
    let (first, _) = lane.publish().await;
    lane.refuse(first, Code::Retry, Duration::from_secs(600)).await;

    let urgent = Outgoing { priority: Priority::Urgent, ..numbered(C, 9) };
    let urgent = soon("a seat", client.enqueue(urgent)).await.unwrap();
    let mut own = session.publish_lane().await;
    let (id, publish) = own.publish().await;
    assert_eq!((number_of(&publish), publish.epoch), (9, 0));
    own.ack(id, 1).await;
    assert_eq!(soon("the answer", urgent.wait()).await.unwrap().priority, Priority::Urgent);
}

#[tokio::test]
async fn where_lanes_are_few_urgent_messages_go_first_on_the_one_there_is() {
    let broker = Broker::start();
    let mut options = broker.options("token".to_owned());
    options.publish_window = 4;
    let welcome = async {
        let mut session = broker.accept().await;
        let mut welcome = welcome(Duration::from_secs(3600));
        let limits = welcome.limits.as_mut().unwrap();
        (limits.lanes_max, limits.lane_requests_max) = (2, 1);
        let id = session.hello_id;
        session.control.answer(id, Response::Welcome(welcome)).await;
        session
    };
    let (connected, session) = tokio::join!(wardline_client::connect(options), welcome);
    let (client, _inbox) = connected.unwrap();
    let mut pending = Vec::new();
    for number in 0..3 {
        pending.push(client.enqueue(numbered(C, number)).await.unwrap());
    }
    let mut lane = session.publish_lane().await;
    let (first, publish) = lane.publish().await;
    assert_eq!(number_of(&publish), 0);
    pending.push(client.enqueue(Outgoing { priority: Priority::Urgent, ..numbered(C, 9) }).await.unwrap());
    let (urgent, publish) = lane.publish().await;
    assert_eq!(number_of(&publish), 9, "before the routine ones that wait");
    lane.ack(urgent, 2).await;
    lane.ack(first, 1).await;
    for number in 1..3 {
        let (id, publish) = lane.publish().await;
        assert_eq!(number_of(&publish), number);
        lane.ack(id, number + 2).await;
    }
    for pending in pending {
        soon("the answer", pending.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_may_not_be_urgent_goes_as_routine_and_says_so() {
    let broker = Broker::start();
    let (client, _inbox, session) = open(&broker, |_| {}).await;
    let pending = client.enqueue(Outgoing { priority: Priority::Urgent, ..numbered(C, 9) }).await.unwrap();
    let mut lane = session.publish_lane().await;
    let (id, urgent) = lane.publish().await;
    lane.refuse(id, Code::UrgencySpent, Duration::from_secs(60)).await;
    let mut lane = session.publish_lane().await;
    let (id, routine) = lane.publish().await;
    assert_eq!(routine.client_message_id, urgent.client_message_id);
    assert_eq!(routine.priority(), wardline_proto::v1::Priority::Routine);
    lane.ack(id, 1).await;
    assert_eq!(soon("the answer", pending.wait()).await.unwrap().priority, Priority::Routine);
}
