//! Urgent all the way: nothing that routine traffic uses up closes the way of an urgent message,
//! to whoever is there or comes back.
//!
//! Never looks into the broker; what it says on the lanes is all there is.

use bytes::Bytes;
use serde_json::json;
use wardline_broker::limits::{Limits, Urgent};
use wardline_client::{Body, Code, ConversationId, Entry, Incoming, NotFollowed, Outgoing, Priority};
use wardline_proto::v1;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;

use crate::raw::{Raw, hello, publish};
use crate::site::{Person, Site, TENANT, claims, until, within};

/// An urgent message under a key of its sender.
fn urgent(conversation: &Bytes, key: u8, payload: &str) -> Request {
    let Request::Publish(mut message) = publish(conversation, key, payload) else { unreachable!() };
    message.priority = v1::Priority::Urgent.into();
    Request::Publish(message)
}

async fn call(raw: &mut Raw, conversation: &Bytes, key: u8, payload: &str) -> u64 {
    match raw.ask(urgent(conversation, key, payload)).await {
        Response::PublishAck(ack) => ack.sequence,
        other => panic!("{other:?} instead of an acknowledgement"),
    }
}

/// The next message on the urgent lane.
async fn called(raw: &mut Raw) -> (Bytes, u64, Bytes) {
    let Push::Entry(entry) = raw.push_on(v1::LaneClass::Urgent).await else { panic!("no entry") };
    let Some(v1::entry::Body::Message(message)) = entry.body else { panic!("no message") };
    assert_eq!(message.priority(), v1::Priority::Urgent);
    (entry.conversation_id, entry.sequence, message.payload)
}

async fn caught_up(raw: &mut Raw) -> v1::CaughtUp {
    loop {
        if let Push::CaughtUp(end) = raw.push_on(v1::LaneClass::Ordered).await {
            return end;
        }
    }
}

fn text(conversation: ConversationId, text: &str, priority: Priority) -> Outgoing {
    Outgoing { priority, ..Outgoing::text(conversation, text) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_others_use_up_does_not_close_the_urgent_lane() {
    let (kept, none) = ((32 * 1024, 32 * 1024), (0, 0));
    for (tail_bytes_max, tails_bytes_max) in [kept, none] {
        let site = Site::limited(Limits { tail_bytes_max, tails_bytes_max, ..Limits::default() }).await;
        let mut anna = Raw::session(&site, "anna", 1).await;
        let mut ben = Raw::session(&site, "ben", 2).await;
        let (busy, quiet) =
            (anna.direct("ben").await, anna.create(v1::ConversationKind::Group, &["ben"], 1).await);
        for key in 0..100 {
            anna.publish(&busy, key, &"x".repeat(1000)).await;
        }
        for key in 0..40 {
            let sequence = call(&mut anna, &quiet, key, "code blue").await;
            assert_eq!(called(&mut ben).await, (quiet.clone(), sequence, Bytes::from_static(b"code blue")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urgent_messages_that_are_not_in_memory_any_more_come_all_the_same() {
    let site = Site::limited(Limits {
        ahead_bytes_max: 0,
        tails_bytes_max: 0,
        tail_bytes_max: 0,
        ..Limits::default()
    })
    .await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let mut ben = Raw::session(&site, "ben", 2).await;
    let conversation = anna.direct("ben").await;
    for key in 0..20 {
        let sequence = call(&mut anna, &conversation, key, "code blue").await;
        assert_eq!(called(&mut ben).await.1, sequence);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_back_is_called_first_the_newest_first() {
    for restart in [false, true] {
        let site = Site::rocksdb().await;
        let anna = site.person("anna").await;
        let (ward, team) = (anna.group(&["ben"]).await, anna.group(&["ben"]).await);
        let mut acks = Vec::new();
        for number in 0..3_000 {
            acks.push(anna.client.enqueue(text(ward, "routine", Priority::Routine)).await.unwrap());
            if number == 100 {
                within("a call", anna.client.publish(text(team, "first", Priority::Urgent))).await.unwrap();
            }
        }
        for ack in acks {
            within("the ack", ack.wait()).await.unwrap();
        }
        // Times are in milliseconds: which of two in one is newer nobody knows.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        within("a call", anna.client.publish(text(ward, "second", Priority::Urgent))).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        within("a call", anna.client.publish(text(team, "third", Priority::Urgent))).await.unwrap();
        let site = if restart { site.restart().await } else { site };

        let mut ben = site.person("ben").await;
        let backlog = ben.backlog().await;
        let words: Vec<_> = backlog.iter().take(3).map(payload).collect();
        assert_eq!(words, ["third", "second", "first"], "before anything else");
        let routine: Vec<_> = backlog.iter().skip(3).map(|entry| entry.sequence).collect();
        assert!(routine.is_sorted() && routine.len() == 3_000, "then the backlog, each once");

        // What was received does not call again.
        ben.leave().await;
        let mut ben = Raw::session(&site, "ben", 1).await;
        let again = text(ward, "fourth", Priority::Urgent);
        within("a call", anna.client.publish(again)).await.unwrap();
        assert_eq!(called(&mut ben).await.2, "fourth");
    }
}

fn payload(entry: &Entry) -> String {
    match &entry.body {
        Body::Message { payload, .. } => String::from_utf8(payload.to_vec()).unwrap(),
        _ => panic!("{entry:?} is no message"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_silences_nobody() {
    let site = Site::limited(Limits { conversations_max: 3, ..Limits::default() }).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let mut ben = Raw::session(&site, "ben", 2).await;
    let ward = ben.create(v1::ConversationKind::Group, &["anna"], 7).await;
    ben.publish(&ward, 1, "I am here").await;
    drop(ben);
    let mut mallory = Raw::session(&site, "mallory", 3).await;
    let mut made = Vec::new();
    for key in 0..40 {
        made.push(mallory.create(v1::ConversationKind::Group, &["ben"], key).await);
    }
    let team = anna.create(v1::ConversationKind::Group, &["ben"], 1).await;
    let waits = call(&mut anna, &team, 1, "waits").await;

    let mut ben = Raw::session(&site, "ben", 2).await;
    assert_eq!(called(&mut ben).await, (team.clone(), waits, Bytes::from_static(b"waits")));
    assert_eq!(caught_up(&mut ben).await.not_followed, 42 - 3, "what is not followed is told");
    anna.publish(&ward, 2, "where he takes part").await;
    loop {
        if ben.message().await.2 == "where he takes part" {
            break;
        }
    }
    for key in 2..22 {
        let sequence = call(&mut anna, &team, key, "live").await;
        assert_eq!(called(&mut ben).await, (team.clone(), sequence, Bytes::from_static(b"live")));
    }
    // One more, while he is there.
    let late = mallory.create(v1::ConversationKind::Group, &["ben"], 99).await;
    loop {
        if let Push::NotFollowedConversationId(id) = ben.push_on(v1::LaneClass::Ordered).await {
            assert_eq!(id, late);
            break;
        }
    }
    call(&mut mallory, &late, 100, "also there").await;
    assert_eq!(called(&mut ben).await.2, "also there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invitations_in_a_flood_end_no_session() {
    let site = Site::limited(Limits { conversations_max: 2, ..Limits::default() }).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let mut ben = site.person("ben").await;
    let team = anna.create(v1::ConversationKind::Group, &["ben"], 1).await;
    let mut lane = anna.lane().await;
    for number in 0..600_u64 {
        let mut key = [9; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        let create = v1::CreateConversation {
            kind: v1::ConversationKind::Group.into(),
            members: vec!["ben".into()],
            client_conversation_id: Bytes::copy_from_slice(&key),
            ..Default::default()
        };
        lane.send(number + 1, Request::CreateConversation(create)).await;
    }
    for _ in 0..600 {
        assert!(matches!(lane.next().await.1, Response::Conversation(_)));
    }
    call(&mut anna, &team, 1, "code blue").await;
    assert_eq!(payload(&ben.entry().await), "code blue");
    assert_eq!(ben.session().await.generation, 0, "it is the first session still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_routine_messages_do_not_hold_up_an_own_urgent_one() {
    let site = Site::limited(Limits { lane_requests_max: 1, lanes_max: 3, ..Limits::default() }).await;
    let anna = site.person("anna").await;
    let mut ben = site.person("ben").await;
    let ward = anna.group(&["ben"]).await;
    let flood = anna.client.clone();
    let routine = tokio::spawn(async move {
        let mut acks = Vec::new();
        for _ in 0..2_000 {
            acks.push(flood.enqueue(text(ward, "routine", Priority::Routine)).await.unwrap());
        }
        for ack in acks {
            ack.wait().await.unwrap();
        }
    });
    ben.entries(50).await;
    let ack =
        within("the call", anna.client.publish(text(ward, "code blue", Priority::Urgent))).await.unwrap();
    assert_eq!(ack.priority, Priority::Urgent);
    assert!(ack.sequence < 2_000, "{} is behind all of one's own", ack.sequence);
    within("the flood", routine).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_many_urgent_messages_is_told_and_sends_routine() {
    let may = Urgent { burst: 2, per_minute: 1 };
    let site = Site::limited(Limits { urgent: may, ..Limits::default() }).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    for key in 1..=2 {
        call(&mut anna, &conversation, key, "code blue").await;
    }
    let refusal = anna.refused(urgent(&conversation, 3, "code blue"), Code::UrgencySpent).await;
    assert!(refusal.retry_after_ms > 0);
    // Another device is the same principal; another lane as well.
    let mut other = Raw::session(&site, "anna", 2).await;
    other.refused(urgent(&conversation, 3, "code blue"), Code::UrgencySpent).await;
    anna.publish(&conversation, 3, "as routine").await;

    let (cy, mut ben) = (site.person("cy").await, site.person("ben").await);
    ben.backlog().await;
    let direct = cy.client.direct("ben").await.unwrap().id;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(
            within("an ack", cy.client.publish(text(direct, "?", Priority::Urgent))).await.unwrap().priority,
        );
    }
    assert_eq!(taken, [Priority::Urgent, Priority::Urgent, Priority::Routine, Priority::Routine]);
    let mut arrived = Vec::new();
    while arrived.len() < 4 {
        let entry = ben.entry().await;
        let Body::Message { priority, .. } = entry.body else { continue };
        arrived.push((entry.sequence, priority));
    }
    arrived.sort_unstable_by_key(|(sequence, _)| *sequence);
    assert!(arrived.iter().map(|(_, priority)| *priority).eq(taken), "as they were told: {arrived:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_makes_the_bucket_wider() {
    let (urgent_may, wider) = (Urgent { burst: 1, per_minute: 1 }, Urgent { burst: 5, per_minute: 1 });
    let site =
        Site::limited(Limits { urgent: urgent_may, urgent_broadcaster: wider, ..Limits::default() }).await;
    let token = site.issuer.sign(&claims(TENANT, "anna", json!(["broadcaster"])));
    let mut anna = Raw::silent(&site).await.says(hello(token, "anna", 1)).await;
    let conversation = anna.direct("ben").await;
    for key in 1..=5 {
        call(&mut anna, &conversation, key, "code blue").await;
    }
    anna.refused(urgent(&conversation, 6, "code blue"), Code::UrgencySpent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_beyond_the_limit_are_told_and_get_what_they_missed() {
    let site = Site::memory_with(|settings| settings.policy.devices_max = 2).await;
    let anna = site.person("anna").await;
    let ward = anna.group(&["ben"]).await;
    for device in 1..=5 {
        let ben = Person::connect(site.options("ben", device)).await;
        assert!(!ben.session().await.device_gave_way || device > 3, "device {device} is new");
        ben.leave().await;
    }
    for _ in 0..10 {
        within("publishing", anna.client.publish(text(ward, "for all devices", Priority::Routine)))
            .await
            .unwrap();
    }
    for round in 0..2 {
        for device in 1..=5 {
            let mut ben = Person::connect(site.options("ben", device)).await;
            let session = ben.session().await;
            assert!(session.device_since_ms > 0);
            assert!(session.device_gave_way, "device {device} is told, round {round}");
            let backlog = ben.backlog().await;
            let messages = backlog.iter().filter(|entry| matches!(entry.body, Body::Message { .. }));
            assert_eq!(messages.count(), 10, "device {device}, round {round}");
            ben.leave().await;
        }
    }
}

/// The SDK tells the application what is not followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_tells_what_is_not_followed() {
    let site = Site::limited(Limits { conversations_max: 1, ..Limits::default() }).await;
    let anna = site.person("anna").await;
    for _ in 0..3 {
        anna.group(&["ben"]).await;
    }
    let mut ben = site.person("ben").await;
    assert!(matches!(ben.next().await, Incoming::NotFollowed(NotFollowed::Some(2))));
    assert!(matches!(ben.next().await, Incoming::CaughtUp));
    let late = anna.group(&["ben"]).await;
    let told = until("what is not followed", async || match ben.next().await {
        Incoming::NotFollowed(NotFollowed::One(id)) => Some(id),
        _ => None,
    });
    assert_eq!(told.await, late);
}
