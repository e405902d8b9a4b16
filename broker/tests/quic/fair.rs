//! One user uses up their share of something: they are told so, with when to come back, and nobody
//! else feels it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{TransportConfig, VarInt};
use tokio::time::timeout;
use wardline_client::{Code, ConversationId, Outgoing, PendingAck};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{ConversationKind, History, ListConversations};
use wardline_storage::hooked::{CommitGate, Commits, HookedEngine};

use crate::raw::{self, Lane, Raw, hello, publish};
use crate::site::{Person, Site, until, within};
use crate::witness::Witness;

fn create(key: u8, members: &[&str]) -> Request {
    raw::create(ConversationKind::Group, members, key)
}

fn history(group: ConversationId) -> Request {
    Request::History(History { conversation_id: group.0.to_vec().into(), ..History::default() })
}

/// Says Hello and is told to come back.
async fn has_no_session(site: &Site, user: &str, device: u8) {
    let mut raw = Raw::silent(site).await;
    raw.control.send(1, Request::Hello(hello(site.issuer.token(user), user, device))).await;
    let refused = raw.control.refused(1, Code::ResourceExhausted).await;
    assert!(refused.retry_after_ms > 0, "{refused:?}");
    raw.closed(Code::ResourceExhausted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_has_so_many_sessions_and_others_have_theirs() {
    let site = Site::memory_with(|settings| settings.limits.principal_sessions_max = 3).await;
    let witness = Witness::start(&site).await;
    let mut mine = Vec::new();
    for device in 1..=3 {
        mine.push(Raw::session(&site, "mallory", device).await);
    }
    for device in 4..10 {
        has_no_session(&site, "mallory", device).await;
    }
    Raw::session(&site, "bob", 1).await;
    // One that ends makes room for another.
    mine.pop().unwrap().connection.close(VarInt::from_u32(0), b"");
    until("room for a session", async || {
        let mut raw = Raw::silent(&site).await;
        raw.control.send(1, Request::Hello(hello(site.issuer.token("mallory"), "mallory", 4))).await;
        matches!(raw.control.answer(1).await, Response::Welcome(_)).then_some(())
    })
    .await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_leaves_room_for_sessions_of_others() {
    let site = Site::memory_with(|settings| {
        settings.limits.connections_max = 20;
        settings.limits.tenant_percent = 20;
    })
    .await;
    let mut theirs = Vec::new();
    for user in ["a", "b", "c", "d"] {
        theirs.push(Raw::session(&site, user, 1).await);
    }
    has_no_session(&site, "e", 1).await;
    let stranger = site.stranger("st-paul", "ann").await;
    stranger.session().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_brings_in_many_people_is_told_when_to_come_back() {
    let site = Site::memory_with(|settings| {
        settings.limits.principal_people_max = 6;
        settings.limits.principal_people_per_hour = 3600;
    })
    .await;
    let witness = Witness::start(&site).await;
    let mut mallory = Raw::session(&site, "mallory", 1).await;
    // Each counts as its people and itself.
    let made = mallory.create(ConversationKind::Group, &["x", "y", "z"], 1).await;
    let refused = mallory.refused(create(2, &["p", "q", "r", "s"]), Code::ResourceExhausted).await;
    assert!((1..=4_000).contains(&refused.retry_after_ms), "{refused:?}");
    mallory.publish(&made, 1, "what is there can be used").await;
    site.person("bob").await.group(&["x", "y", "z", "ann"]).await;
    let wait = Duration::from_millis(refused.retry_after_ms);
    tokio::time::sleep(wait).await;
    mallory.create(ConversationKind::Group, &["p", "q", "r", "s"], 2).await;
    witness.stays_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_commands_is_refused_and_others_are_taken_in() {
    const SENT: u8 = 100;
    let engine = Arc::new(HookedEngine::new(CommitGate::default()));
    let site = Site::start(Arc::clone(&engine) as _, None, |settings| {
        settings.limits.principal_commands_max = 8;
    })
    .await;
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob", "mallory"]).await;
    let conversation = Bytes::copy_from_slice(&group.0);
    let mut mallory = Raw::session(&site, "mallory", 1).await;
    engine.hooks.set(Commits::Hold);
    for number in 1..=SENT {
        mallory.control.send(1 + u64::from(number), publish(&conversation, number, "")).await;
    }
    // Refusals come at once, while nothing is committed.
    let mut refused = 0;
    while refused < SENT - 20 {
        match mallory.control.next().await {
            (_, Response::Error(error)) => {
                assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
                assert!(error.retry_after_ms > 0);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let taken = within("a place", bob.client.enqueue(Outgoing::text(group, "let me through"))).await.unwrap();
    engine.hooks.set(Commits::Pass);
    within("the ack", taken.wait()).await.unwrap();
}

/// To be refused costs the broker something, too: who goes on all the same is answered ever slower.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_on_though_refused_is_left_alone_for_a_while() {
    const SENT: u64 = 4_000;
    let site = Site::memory_with(|settings| {
        settings.limits.principal_people_max = 3;
        settings.limits.principal_people_per_hour = 1;
    })
    .await;
    let witness = Witness::start(&site).await;
    let mut mallory = Raw::session(&site, "mallory", 1).await;
    let made = mallory.create(ConversationKind::Group, &["ann", "bob"], 1).await;
    let began = Instant::now();
    for number in 1..=SENT {
        mallory.control.send(9 + number, create(2, &["x", "y"])).await;
        mallory.control.refused(9 + number, Code::ResourceExhausted).await;
    }
    // The first two thousand at once, then a thousand a second.
    assert!(began.elapsed() >= Duration::from_millis(1_900), "{:?}", began.elapsed());
    // Nobody else feels it, and what is no flood is not held up.
    site.person("bob").await.group(&["ann"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    mallory.publish(&made, 1, "what is no flood").await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    witness.stays_unharmed().await;
}

/// Somebody whose windows are so small that a page waits in the broker until it is read.
async fn narrow(site: &Site, user: &str) -> Raw {
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(16 * 1024)).receive_window(VarInt::from_u32(64 * 1024));
    let raw = Raw::silent_with(site, transport).await;
    let mut hello = hello(site.issuer.token(user), user, 1);
    hello.publish_only = true;
    raw.says(hello).await
}

async fn is_answered(lane: &mut Lane, id: u64) -> bool {
    matches!(timeout(Duration::from_millis(500), lane.answer(id)).await, Ok(Response::HistoryPage(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_wait_for_earlier_ones_to_be_read() {
    let site = Site::memory_with(|settings| {
        let limits = &mut settings.limits;
        limits.principal_pages_bytes_max = limits.history_bytes_max();
        limits.send_window = 64 * 1024;
    })
    .await;
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob", "mallory"]).await;
    for _ in 0..10 {
        let message = Outgoing::new(group, "", vec![0x5a; 60_000]);
        within("publishing", ann.client.publish(message)).await.unwrap();
    }
    let mallory = narrow(&site, "mallory").await;
    let (mut first, mut second) = (mallory.lane().await, mallory.lane().await);
    first.send(1, history(group)).await;
    // Once it is being written.
    tokio::time::sleep(Duration::from_millis(200)).await;
    second.send(2, history(group)).await;
    assert!(!is_answered(&mut second, 2).await, "there is no room for another page of theirs");
    assert_eq!(bob.history(group).await.len(), 10, "others have theirs");
    assert!(is_answered(&mut first, 1).await);
    assert!(is_answered(&mut second, 2).await, "now there is room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_of_one_hold_up_nobody_elses_history() {
    let site = Site::memory_with(|settings| settings.limits.principal_read_cost = 20_000).await;
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let quiet = bob.group(&["ann"]).await;
    for _ in 0..20 {
        let group = ann.group(&["mallory"]).await;
        for ack in pipelined(&ann, group, 100).await {
            within("the ack", ack.wait()).await.unwrap();
        }
    }
    let mallory = Raw::session(&site, "mallory", 1).await;
    let mut lanes = Vec::new();
    for _ in 0..4 {
        let mut lane = mallory.lane().await;
        for id in 1..=30 {
            lane.send(id, Request::ListConversations(ListConversations::default())).await;
        }
        lanes.push(lane);
    }
    // All together cost minutes of what one user may read; others do not wait for them.
    for _ in 0..50 {
        timeout(Duration::from_secs(2), bob.history(quiet)).await.expect("others have their turn");
    }
    let mut answered = 0;
    for lane in &mut lanes {
        while timeout(Duration::from_millis(1), lane.next()).await.is_ok() {
            answered += 1;
        }
    }
    assert!(answered < 120, "whoever lists so much waits behind themselves");
}

/// Messages of somebody that are on their way.
async fn pipelined(person: &Person, group: ConversationId, count: usize) -> Vec<PendingAck> {
    let mut acks = Vec::with_capacity(count);
    for _ in 0..count {
        acks.push(within("a place", person.client.enqueue(Outgoing::text(group, "x"))).await.unwrap());
    }
    acks
}
