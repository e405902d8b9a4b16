//! What requests cost is shared, too: who asks for more than their share of the broker's work while
//! others want something is read from more slowly, and refused nothing.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use wardline_client::{Outgoing, Priority};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{Acknowledge, RemoveMember, Renew};

use crate::raw::{Lane, Raw, hello};
use crate::site::{Person, Site, within};
use crate::witness::Witness;

/// What one may ask for in a second.
const WORK: u64 = 2_000;
/// Receipts, each of which names so many messages and costs one more.
const RECEIPTS: u64 = 300;
const MESSAGES: u64 = 16;

/// A broker where somebody may do so much.
async fn site(work: u64) -> Site {
    Site::memory_with(|settings| settings.limits.principal_work = work).await
}

/// Somebody who asks for something again and again, until dropped; the longest that it took.
fn talks(person: Person) -> JoinHandle<Duration> {
    tokio::spawn(async move {
        let group = person.group(&["ann"]).await;
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            within("an ack", person.client.publish(Outgoing::text(group, "x"))).await.unwrap();
            longest = longest.max(asked.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
        longest
    })
}

/// Mallory, and receipts of theirs to send; the group has urgent messages.
async fn flooder(site: &Site) -> (Raw, Request, Vec<u8>) {
    let ann = site.person("ann").await;
    let group = ann.group(&["mallory", "bob"]).await;
    let mut delivered_only = Vec::new();
    for _ in 0..MESSAGES {
        let urgent = Outgoing { priority: Priority::Urgent, ..Outgoing::text(group, "now") };
        delivered_only.push(within("an ack", ann.client.publish(urgent)).await.unwrap().sequence);
    }
    let receipts = Request::Acknowledge(Acknowledge {
        conversation_id: group.0.to_vec().into(),
        delivered_only,
        ..Acknowledge::default()
    });
    (Raw::session(site, "mallory", 1).await, receipts, group.0.to_vec())
}

/// Sends many receipts at once, and has each answered as asked; how long that took.
async fn flood(lane: &mut Lane, receipts: &Request) -> Duration {
    let begun = Instant::now();
    for id in 1..=RECEIPTS {
        lane.send(id, receipts.clone()).await;
    }
    for id in 1..=RECEIPTS {
        assert!(matches!(lane.answer(id).await, Response::Acknowledged(_)), "nothing is refused");
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_too_much_beside_others_is_read_from_more_slowly() {
    let site = site(WORK).await;
    let (mallory, receipts, _) = flooder(&site).await;
    let mut lane = mallory.lane().await;
    let alone = flood(&mut lane, &receipts).await;
    let others = talks(site.person("bob").await);
    sleep(Duration::from_millis(100)).await;
    let beside = flood(&mut lane, &receipts).await;
    // What is beyond an allowance at once takes as long as it costs.
    let cost = RECEIPTS * (1 + MESSAGES);
    let least = Duration::from_secs_f64((cost - WORK - 600) as f64 / WORK as f64);
    assert!(beside >= least, "{beside:?} of at least {least:?}");
    assert!(alone < least, "who is alone need not wait: {alone:?}");
    let longest = others.await.unwrap();
    assert!(longest < Duration::from_millis(500), "others feel it: {longest:?}");
}

/// What no command comes of costs as much as any request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_malformed_and_renewals_count_as_well() {
    let site = site(WORK / 8).await;
    let mut mallory = Raw::session(&site, "mallory", 1).await;
    let lane = &mut mallory.control;
    let _others = talks(site.person("bob").await);
    sleep(Duration::from_millis(100)).await;
    let malformed = Request::Acknowledge(Acknowledge::default());
    let renewal = Request::Renew(Renew { token: "no token".into() });
    let begun = Instant::now();
    for id in 1..=350 {
        lane.send(2 * id - 1, malformed.clone()).await;
        lane.send(2 * id, renewal.clone()).await;
    }
    for id in 1..=700 {
        assert!(matches!(lane.answer(id).await, Response::Error(_)));
    }
    // Had either cost nothing, it would have been 400 ms at most.
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
}

/// A new lane, and a new session, owe what the old ones do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_owes_much_gains_nothing_by_another_lane() {
    // What each lane does at a time is about as much as they may.
    let site = site(WORK / 8).await;
    let (mallory, receipts, _) = flooder(&site).await;
    let _others = talks(site.person("bob").await);
    sleep(Duration::from_millis(100)).await;
    let mut lanes = Vec::new();
    for _ in 0..6 {
        let mut lane = mallory.lane().await;
        for id in 1..=RECEIPTS {
            lane.send(id, receipts.clone()).await;
        }
        lanes.push(lane);
    }
    sleep(Duration::from_millis(100)).await;
    let more = Raw::session(&site, "mallory", 2).await;
    let mut lane = more.lane().await;
    lane.send(1, receipts).await;
    assert!(timeout(Duration::from_millis(100), lane.next()).await.is_err(), "all their lanes wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_receipts_hold_up_no_removal_and_nothing_urgent() {
    let site = site(WORK).await;
    let (mallory, receipts, group) = flooder(&site).await;
    let _others = talks(site.person("bob").await);
    let (mut flooded, mut quiet) = (mallory.lane().await, mallory.lane().await);
    quiet.send(1, receipts.clone()).await;
    quiet.answer(1).await;
    sleep(Duration::from_millis(100)).await;
    for id in 1..=RECEIPTS {
        flooded.send(id, receipts.clone()).await;
    }
    sleep(Duration::from_millis(100)).await;
    for id in 2..50 {
        let (conversation_id, member) = (group.clone().into(), "nobody".into());
        quiet.send(id, Request::RemoveMember(RemoveMember { conversation_id, member })).await;
        let answered = timeout(Duration::from_millis(500), quiet.answer(id)).await;
        assert!(answered.is_ok(), "removal {id} waits for own receipts");
    }
}

/// The dearest that somebody can ask for is a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_sessions_over_and_over_waits_with_their_hello() {
    let site = Site::memory_with(|settings| settings.limits.principal_sessions_max = 2).await;
    let witness = Witness::start(&site).await;
    let open = async |user: &'static str, device| {
        let mut raw = Raw::silent(&site).await;
        raw.control.send(1, Request::Hello(hello(site.issuer.token(user), user, device))).await;
        let answer = raw.control.answer(1).await;
        (raw, answer)
    };
    let mut held = Vec::new();
    let begun = Instant::now();
    for device in 0..4 {
        held.push(open("mallory", device).await);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let begun = Instant::now();
    for device in 4..12 {
        let (_, answer) = open("mallory", device).await;
        assert!(matches!(answer, Response::Error(_)), "{answer:?}");
    }
    // Four a second.
    assert!(begun.elapsed() >= Duration::from_millis(1_700), "{:?}", begun.elapsed());
    let begun = Instant::now();
    open("bob", 1).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    witness.stays_unharmed().await;
}
