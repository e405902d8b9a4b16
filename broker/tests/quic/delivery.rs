//! What is pushed to devices: in order, after their cursor, ahead of its turn if urgent, and never
//! what is gone.
//!
//! Never looks into the broker; what it says on the lanes is all there is.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use wardline_broker::limits::Limits;
use wardline_proto::v1;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_storage::engine::{Engine, EngineError, Table};
use wardline_storage::hooked::{HookedEngine, Hooks};
use wardline_storage::id::Timestamp;

use crate::raw::{Raw, hello, publish};
use crate::site::{Site, now_ms, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_delivered_and_its_receipt_comes_back() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    assert_eq!((anna.welcome.user.as_str(), anna.welcome.session_id.len()), ("anna", 16));
    let mut ben = Raw::session(&site, "ben", 2).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_delivered_after_the_devices_cursor() {
    let site = Site::limited(Limits { tail_bytes_max: 2000, ..Limits::default() }).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    for key in 0..200 {
        anna.publish(&conversation, key, &"x".repeat(usize::from(key) + 1)).await;
    }
    let mut ben = Raw::session(&site, "ben", 2).await;
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
    let mut ben = Raw::session(&site, "ben", 2).await;
    assert_eq!(ben.message().await.0, 151);
    let position = v1::Position { conversation_id: conversation.clone(), after_sequence: 199 };
    let resume = Some(v1::Resume { positions: vec![position] });
    let hello = v1::Hello { resume, ..hello(site.issuer.token("ben"), "ben", 2) };
    let mut ben = Raw::silent(&site).await.says(hello).await;
    assert_eq!(ben.message().await.0, 200);
    anna.publish(&conversation, 250, "live").await;
    assert_eq!(ben.message().await.2, Bytes::from_static(b"live"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urgent_messages_come_on_their_lane_and_again_in_order() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    let mut ben = Raw::session(&site, "ben", 2).await;
    anna.publish(&conversation, 1, "routine").await;
    // What is sent before ben's session follows the conversation comes in its turn alone.
    assert_eq!(ben.message().await.2, "routine");
    let Request::Publish(mut urgent) = publish(&conversation, 2, "urgent") else { unreachable!() };
    urgent.priority = v1::Priority::Urgent.into();
    assert!(matches!(anna.ask(Request::Publish(urgent)).await, Response::PublishAck(_)));
    let Push::Entry(entry) = ben.push_on(v1::LaneClass::Urgent).await else { panic!("no entry") };
    assert_eq!(entry.sequence, 2);
    assert_eq!(ben.message().await.2, "urgent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_message_is_a_tombstone_for_those_who_come_later() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let mut carl = Raw::session(&site, "carl", 3).await;
    let group = anna.create(v1::ConversationKind::Group, &["ben", "carl"], 1).await;
    let gone = anna.publish(&group, 1, "gone soon").await.sequence;
    assert_eq!(carl.message().await.2, "gone soon", "the tail has it");
    let delete = Request::DeleteMessage(v1::DeleteMessage { conversation_id: group.clone(), sequence: gone });
    assert!(matches!(anna.ask(delete).await, Response::Done(_)));
    let mut ben = Raw::session(&site, "ben", 2).await;
    loop {
        let Push::Entry(entry) = ben.push().await else { continue };
        match entry.body {
            Some(v1::entry::Body::Tombstone(tombstone)) => {
                assert_eq!((entry.sequence, tombstone.deleted_by.as_str()), (gone, "anna"));
            }
            Some(v1::entry::Body::Notice(v1::Notice {
                change: Some(v1::notice::Change::DeletedSequence(deleted)),
            })) => {
                assert_eq!(deleted, gone);
                break;
            }
            Some(v1::entry::Body::Message(_)) => panic!("its content left again"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_while_a_device_was_away_is_not_sent() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    let Request::Publish(mut short) = publish(&conversation, 1, "short-lived") else { unreachable!() };
    short.expires_in_ms = 50;
    let Response::PublishAck(ack) = anna.ask(Request::Publish(short)).await else { panic!("no ack") };
    anna.publish(&conversation, 2, "lasting").await;
    within("the clock", async {
        while now_ms() <= ack.time_ms + 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut ben = Raw::session(&site, "ben", 2).await;
    assert_eq!(ben.message().await.2, "lasting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_hear_of_each_change_with_its_names() {
    let site = Site::memory().await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let group = anna.create(v1::ConversationKind::Group, &["ben"], 1).await;
    let mut ben = Raw::session(&site, "ben", 2).await;
    let add = Request::AddMembers(v1::AddMembers {
        conversation_id: group.clone(),
        members: vec!["carl".to_owned(), "dora".to_owned()],
        ..Default::default()
    });
    assert!(matches!(anna.ask(add).await, Response::Done(done) if done.sequence > 0));
    let remove = v1::RemoveMember { conversation_id: group.clone(), member: "dora".to_owned() };
    assert!(matches!(anna.ask(Request::RemoveMember(remove)).await, Response::Done(_)));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let Push::Entry(entry) = ben.push().await else { continue };
        let Some(v1::entry::Body::Notice(notice)) = entry.body else { continue };
        match notice.change {
            Some(v1::notice::Change::MembersAdded(added)) if added.users.len() > 1 => {
                let mut users = added.users;
                users.sort();
                assert_eq!(users, ["carl", "dora"]);
                seen.push("added");
            }
            Some(v1::notice::Change::MemberRemoved(name)) => {
                assert_eq!(name, "dora");
                seen.push("removed");
            }
            _ => {}
        }
    }
    assert_eq!(seen, ["added", "removed"]);
}

/// While it is held, no cursor can be read.
#[derive(Default)]
struct CursorGate {
    is_held: Mutex<bool>,
    changed: Condvar,
}

impl CursorGate {
    fn hold(&self, is_held: bool) {
        *self.is_held.lock() = is_held;
        self.changed.notify_all();
    }
}

impl Hooks for CursorGate {
    fn get(
        &self,
        below: &dyn Engine,
        table: Table,
        key: &[u8],
        now: Timestamp,
    ) -> Result<Option<Bytes>, EngineError> {
        if table == Table::Cursor {
            self.changed.wait_while(&mut self.is_held.lock(), |is_held| *is_held);
        }
        below.get(table, key, now)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_a_session_attaches_is_delivered() {
    let engine = Arc::new(HookedEngine::new(CursorGate::default()));
    let site = Site::start(Arc::clone(&engine) as _, None, |_| ()).await;
    let mut anna = Raw::session(&site, "anna", 1).await;
    let conversation = anna.direct("ben").await;
    engine.hooks.hold(true);
    // Ben's session has attached and is about to find out where his device stands.
    let mut ben = Raw::session(&site, "ben", 2).await;
    for key in 1..=20 {
        anna.publish(&conversation, key, "early").await;
        // Time for his bell to be heard.
        ben.refused(publish(&Bytes::from_static(&[9; 16]), key, ""), v1::ErrorCode::NotFound).await;
    }
    engine.hooks.hold(false);
    for sequence in 1..=20 {
        assert_eq!(ben.message().await.0, sequence);
    }
    anna.publish(&conversation, 21, "late").await;
    assert_eq!(ben.message().await.2, "late");
}
