//! Clients that dawdle, more work than fits, a full disk, a failing store.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use wardline_broker::broker::Ended;
use wardline_broker::settings::DiskWatch;
use wardline_client::{Code, ConversationId, Direction, Outgoing, RequestError, Status};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{History, Publish};
use wardline_storage::hooked::{CommitGate, Commits, HookedEngine};

use crate::raw::{Lane, Raw};
use crate::site::{Person, Site, start_again, until, within};
use crate::witness::Witness;

fn publish(conversation: ConversationId, number: u64, epoch: u32, payload: usize) -> Request {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Request::Publish(Publish {
        conversation_id: conversation.0.to_vec().into(),
        client_message_id: id.to_vec().into(),
        payload: vec![0; payload].into(),
        epoch,
        ..Publish::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_before_hello() {
    let site = Site::memory_with(|settings| {
        settings.limits.hello_timeout = Duration::from_secs(1);
        settings.limits.frame_timeout = Duration::from_secs(5);
    })
    .await;
    let witness = Witness::start(&site).await;
    // No stream at all (quinn tells the peer of a stream with its first byte), and half a Hello.
    let silent = Raw::silent(&site).await;
    let mut half = Raw::silent(&site).await;
    half.control.send_bytes(&[50, 8]).await;
    silent.closed(Code::HelloTimeout).await;
    half.closed(Code::HelloTimeout).await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_frame_on_a_lane() {
    let site = Site::memory_with(|settings| {
        settings.limits.frame_timeout = Duration::from_secs(1);
    })
    .await;
    let witness = Witness::start(&site).await;
    let mut raw = Raw::session(&site, "ann", 1).await;
    let mut lane = raw.lane().await;
    lane.send_bytes(&[50, 8]).await;
    lane.reset(Code::FrameTimeout).await;
    // The stream, not the session: another lane does, and so does a silent one.
    let silent: Lane = raw.lane().await;
    raw.control.send(2, Request::ListConversations(Default::default())).await;
    assert!(matches!(raw.control.answer(2).await, Response::ConversationPage(_)));
    let mut other = raw.lane().await;
    other.send(3, Request::ListConversations(Default::default())).await;
    assert!(matches!(other.answer(3).await, Response::ConversationPage(_)));
    drop(silent);
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_lanes_than_allowed() {
    let site = Site::memory().await;
    let raw = Raw::session(&site, "ann", 1).await;
    let mut lanes = Vec::new();
    for _ in 1..raw.welcome.limits.unwrap().lanes_max {
        lanes.push(raw.lane().await);
    }
    let one_more = tokio::time::timeout(Duration::from_millis(200), raw.connection.open_bi()).await;
    assert!(one_more.is_err(), "QUIC itself holds it back");
    assert!(
        tokio::time::timeout(Duration::from_millis(200), raw.connection.open_uni()).await.is_err(),
        "no stream of this kind is ever read"
    );
}

/// Publishes more than all windows towards a client hold, and checks that `reader` gets it
/// meanwhile.
async fn flood(writer: &Person, reader: &mut Person, group: ConversationId, messages: u64) {
    let mut acks = Vec::new();
    for _ in 0..messages {
        let message = Outgoing::new(group, "", vec![0x5a; 16 * 1024]);
        acks.push(within("a place in the window", writer.client.enqueue(message)).await.unwrap());
        if acks.len() == 64 {
            for ack in acks.drain(..) {
                within("the ack", ack.wait()).await.unwrap();
            }
        }
    }
    for ack in acks {
        within("the ack", ack.wait()).await.unwrap();
    }
    let arrived = reader.entries(messages as usize).await;
    assert!(arrived.iter().map(|entry| entry.sequence).eq(1..=messages), "somebody else's delay is not ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_deliveries() {
    const MESSAGES: u64 = 400;
    let site = Site::rocksdb_with(|settings| {
        settings.limits.write_timeout = Duration::from_secs(2);
    })
    .await;
    let witness = Witness::start(&site).await;
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let mut sloth = Raw::session(&site, "sloth", 1).await;
    let group = ann.group(&["bob", "sloth"]).await;
    flood(&ann, &mut bob, group, MESSAGES).await;
    assert_eq!(sloth.control.goodbye().await.code(), Code::SlowReader);
    sloth.closed(Code::SlowReader).await;
    // What the broker sent it stays within the windows: the rest waited in the store, not in
    // memory.
    let received = sloth.connection.stats().udp_rx.bytes;
    assert!(received < 2 * 1024 * 1024, "{received} bytes of {} MiB", MESSAGES * 16 / 1024);

    let mut awake = site.person("sloth").await;
    let backlog = awake.backlog().await;
    assert!(backlog.iter().map(|entry| entry.sequence).eq(1..=MESSAGES), "nothing was lost");
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_answers() {
    let site = Site::memory_with(|settings| {
        settings.limits.write_timeout = Duration::from_secs(2);
    })
    .await;
    let witness = Witness::start(&site).await;
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob", "sloth"]).await;
    flood(&ann, &mut bob, group, 100).await;
    let sloth = Raw::session(&site, "sloth", 1).await;
    let mut lane = sloth.lane().await;
    for request_id in 1..=500 {
        let history = History { conversation_id: group.0.to_vec().into(), ..History::default() };
        lane.send(request_id, Request::History(history)).await;
    }
    sloth.closed(Code::SlowReader).await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_work_than_fits() {
    const PIPELINED: u64 = 200;
    let engine = Arc::new(HookedEngine::new(CommitGate::default()));
    let site = Site::start(Arc::clone(&engine) as _, None, |settings| {
        settings.limits.waiting_commands_max = 32;
        settings.limits.group_commands_max = 8;
    })
    .await;
    let witness = Witness::start(&site).await;
    let ann = site.person("ann").await;
    let group = ann.group(&["raw"]).await;
    let mut raw = Raw::session(&site, "raw", 1).await;
    engine.hooks.set(Commits::Hold);
    for number in 1..=PIPELINED {
        raw.control.send(number, publish(group, number, 0, 100)).await;
    }
    // Refusals come at once, while the store stands still.
    let mut refused_from = u64::MAX;
    let mut refusals = 0;
    let first = raw.control.frame().await.expect("an answer");
    let Some(Response::Error(error)) = first.response else { panic!("{first:?}") };
    assert_eq!(error.code(), Code::Retry);
    assert!(error.retry_after_ms > 0);
    refusals += 1;
    refused_from = refused_from.min(first.request_id);
    engine.hooks.set(Commits::Pass);
    let mut acked = Vec::new();
    while acked.len() as u64 + refusals < PIPELINED {
        let frame = raw.control.frame().await.expect("every request is answered");
        match frame.response {
            Some(Response::PublishAck(ack)) => acked.push((frame.request_id, ack.sequence)),
            Some(Response::Error(error)) => {
                assert_eq!(error.code(), Code::Retry);
                assert!(error.retry_after_ms > 0);
                refusals += 1;
                refused_from = refused_from.min(frame.request_id);
            }
            other => panic!("{other:?}"),
        }
    }
    // Order is kept: once one was refused, all behind it are, until they come with a higher epoch.
    let accepted = acked.len() as u64;
    assert!((1..PIPELINED).contains(&accepted), "{accepted} taken in");
    assert!(acked.iter().copied().eq((1..=accepted).map(|number| (number, number))), "{acked:?}");
    assert_eq!(refused_from, accepted + 1);
    raw.control.send(1000, publish(group, accepted + 1, 0, 100)).await;
    raw.control.refused(1000, Code::Retry).await;
    for number in accepted + 1..=PIPELINED {
        raw.control.send(number, publish(group, number, number as u32, 100)).await;
        let answer = raw.control.answer(number).await;
        assert!(matches!(&answer, Response::PublishAck(ack) if ack.sequence == number), "{answer:?}");
    }
    assert_eq!(ann.history(group).await.len() as u64, PIPELINED);
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_keeps_order_through_overload() {
    const MESSAGES: u64 = 600;
    let site = Site::memory_with(|settings| {
        settings.limits.waiting_commands_max = 16;
        settings.limits.group_commands_max = 4;
        settings.limits.retry_after = Duration::from_millis(10);
    })
    .await;
    let mut ann = site.person("ann").await;
    let others = [site.person("bob").await, site.person("cy").await];
    let group = ann.group(&["bob", "cy"]).await;
    let noise = others.map(|person| {
        tokio::spawn(async move {
            let mut acks = Vec::new();
            for _ in 0..MESSAGES / 2 {
                acks.push(person.client.enqueue(Outgoing::text(group, "noise")).await.unwrap());
            }
            for ack in acks {
                within("the ack", ack.wait()).await.unwrap();
            }
        })
    });
    let mut acks = Vec::new();
    for number in 0..MESSAGES {
        let message = Outgoing::text(group, number.to_string());
        acks.push(within("a place in the window", ann.client.enqueue(message)).await.unwrap());
    }
    let mut before = 0;
    for ack in acks {
        let sequence = within("the ack", ack.wait()).await.unwrap().sequence;
        assert!(sequence > before, "{sequence} after {before}");
        before = sequence;
    }
    for speaker in noise {
        within("the others", speaker).await.unwrap();
    }
    let arrived = ann.entries(2 * MESSAGES as usize).await;
    assert!(arrived.iter().map(|entry| entry.sequence).eq(1..=2 * MESSAGES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_nearly_full() {
    let mut site = Site::rocksdb().await;
    let witness = Witness::start(&site).await;
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    within("publishing", ann.client.publish(Outgoing::text(group, "before"))).await.unwrap();
    bob.entry().await;
    let path = site.folder.as_ref().map(TempDir::path).unwrap().to_owned();
    site.settings.disk = Some(DiskWatch { path, reserve_bytes: u64::MAX, ballast: None });
    let mut site = site.restart().await;

    let mut number = 0;
    let mut raw = until("a session", async || Some(Raw::session(&site, "ann", 2).await)).await;
    let error = loop {
        number += 1;
        raw.control.send(number + 1, publish(group, number, 0, 10)).await;
        match raw.control.answer(number + 1).await {
            Response::Error(error) => break error,
            // The disk is looked at soon after the start.
            Response::PublishAck(_) if number < 1000 => tokio::time::sleep(Duration::from_millis(5)).await,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.code(), Code::StorageFull);
    assert!(error.retry_after_ms > 0);
    // Reads work, and so does opening a session.
    let taken = number;
    assert_eq!(bob.history(group).await.len() as u64, taken);
    witness.looks_back().await;
    let fresh = Person::connect(site.options("bob", 2)).await;
    assert_eq!(fresh.listed(group).await.head, taken);
    assert_eq!(fresh.client.members(group, 0, None).await.unwrap().items.len(), 2);

    // What protects or takes away is done all the same, and stays done.
    let control = async {
        ann.client.delete(group, 1).await.unwrap();
        ann.client.set_retention(group, Some(Duration::from_secs(7 * 86_400))).await.unwrap();
        ann.client.remove_member(group, "bob").await.unwrap();
    };
    within("control commands", control).await;
    let taken = taken + 3;

    // With room again, writes go on.
    site.settings.disk = None;
    let site = site.restart().await;
    assert_eq!(ann.client.members(group, 0, None).await.unwrap().items.len(), 1);
    let kept = ann.listed(group).await.retention;
    assert_eq!(kept, Duration::from_secs(7 * 86_400));
    let again = ann.client.publish(Outgoing::text(group, "after"));
    assert_eq!(within("publishing", again).await.unwrap().sequence, taken + 1);
    drop(site);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails() {
    let engine = Arc::new(HookedEngine::new(CommitGate::default()));
    let site = Site::start(Arc::clone(&engine) as _, None, |_| ()).await;
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let before = within("publishing", ann.client.publish(Outgoing::text(group, "before"))).await.unwrap();
    let mut raw = Raw::session(&site, "raw", 1).await;
    let mut lane = raw.lane().await;
    engine.hooks.set(Commits::Fail);

    let direct = ann.client.direct("raw");
    match within("an outcome", direct).await {
        Err(RequestError::Unknown(_)) => {}
        Err(RequestError::Refused(refusal)) => assert_eq!(refusal.code, Code::Unavailable, "{refusal}"),
        other => panic!("acknowledged after the store failed: {:?}", other.map(|c| c.id)),
    }
    let why = within("the broker to say so", site.broker.failed()).await;
    assert!(why.contains("planted failure"), "{why}");
    // Whoever asks now is told, and nobody is told that anything was stored.
    lane.send(2, publish(group, 1, 0, 10)).await;
    lane.refused(2, Code::Unavailable).await;

    // The machine is repaired: what was acknowledged is there, the rest is not; clients come back
    // by themselves.
    let Site { broker, mut settings, ca, issuer, .. } = site;
    settings.listen = broker.address();
    let ended = within("stopping", broker.stop()).await;
    assert!(matches!(ended, Ended::StorageFailed(why) if why.contains("planted")));
    assert_eq!(raw.control.goodbye().await.code(), Code::Unavailable);
    raw.closed(Code::Unavailable).await;
    engine.hooks.set(Commits::Pass);
    let broker = start_again(&settings, Arc::clone(&engine) as _).await;
    let _site = Site { broker, engine, settings, ca, issuer, folder: None };
    let history = within("history", bob.client.history(group, 0, Direction::Forward, 0)).await.unwrap();
    assert_eq!(history.entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [before.sequence]);
    let after = within("publishing", ann.client.publish(Outgoing::text(group, "after"))).await.unwrap();
    assert_eq!(after.sequence, before.sequence + 1);
    assert!(matches!(&*ann.client.status().borrow(), Status::Connected(session) if session.generation >= 1));
}
