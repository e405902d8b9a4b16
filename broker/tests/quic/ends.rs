//! The end of a great many sessions whose access is taken back: how long after the order it comes,
//! and that no byte of content follows it.
//!
//! Each session has content waiting that its client does not take. Once the order was carried out
//! the client takes whatever comes, and nothing may: that it ends is said in no stream.
//! `WARDLINE_SESSIONS` says how many sessions of each kind there are; the figures are printed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TransportConfig, VarInt};
use tokio::task::JoinSet;
use wardline_broker::operator::revoke::{Done, Order, Whose};
use wardline_client::{Code, DeviceId, Outgoing, Role};
use wardline_proto::ALPN;
use wardline_proto::v1::Hello;

use crate::raw::{Raw, config, endpoint, hello};
use crate::site::{PATIENCE, Site, TENANT, until, within};

/// Sessions of each kind.
const SESSIONS: usize = 200;
/// Of which so many are opened at a time.
const AT_ONCE: usize = 32;
const NAMED_AT_ONCE: usize = 100;
/// Longest time from an order to the end, of 99 in 100 sessions.
const P99_MAX: Duration = Duration::from_secs(1);
/// What a client takes of what waits for it, and how much that is at least on the wire.
const WINDOW_BYTES: u32 = 16 * 1024;
const TAKEN_BYTES_MIN: u64 = 12 * 1024;
/// More than waits for anybody.
const WIDE_BYTES: u32 = 1 << 20;
/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(1800);
/// For so long nothing comes any more, to believe that nothing is on its way.
const SILENCE: Duration = Duration::from_millis(300);

/// How many sessions there are to be.
fn sessions() -> usize {
    std::env::var("WARDLINE_SESSIONS").map_or(SESSIONS, |count| count.parse().unwrap())
}

/// A broker that bears so many sessions of one user, or of one tenant.
async fn site(sessions: usize) -> Arc<Site> {
    Arc::new(
        Site::memory_with(|settings| {
            settings.limits.principal_sessions_max = sessions + 1;
            settings.limits.tenant_percent = 100;
            settings.policy.members_max = sessions as u32 + 8;
            // Nothing comes but what is sent for a reason.
            (settings.limits.keep_alive, settings.limits.idle_timeout) = (LONG, 2 * LONG);
        })
        .await,
    )
}

fn name(number: usize) -> String {
    format!("member-{number}")
}

/// Somebody who takes a little of what waits for them, and no more.
async fn who_reads_little(site: Arc<Site>, socket: Endpoint, config: ClientConfig, user: String) -> Raw {
    let device_id = Bytes::copy_from_slice(&DeviceId::random().0);
    let said = Hello { device_id, ..hello(site.issuer.token(&user), &user, 0) };
    Raw::silent_on(&site, socket, config).await.says(said).await
}

/// Opens a session for each of these, whose clients share some sockets.
async fn open(site: &Arc<Site>, users: impl Iterator<Item = String>) -> Vec<Raw> {
    let mut transport = TransportConfig::default();
    transport.receive_window(VarInt::from_u32(WINDOW_BYTES));
    transport.max_idle_timeout(None);
    let config = config(site, ALPN, transport);
    let sockets: Vec<_> = (0..AT_ONCE).map(|_| endpoint()).collect();
    let (mut opening, mut open) = (JoinSet::new(), Vec::new());
    for (user, socket) in users.zip(sockets.iter().cycle()) {
        if opening.len() == AT_ONCE {
            open.extend(opening.join_next().await.map(Result::unwrap));
        }
        opening.spawn(who_reads_little(Arc::clone(site), socket.clone(), config.clone(), user));
    }
    open.extend(opening.join_all().await);
    open
}

/// Publishes more to all of them than they take, and waits until nothing more comes.
async fn publish_to(site: &Site, users: &[String], open: &[Raw]) {
    let ann = site.person("ann").await;
    let group = ann.group(&[]).await;
    for some in users.chunks(NAMED_AT_ONCE) {
        let added = ann.client.add_members(group, some, Role::Member, false);
        within("members", added).await.unwrap();
    }
    for _ in 0..2 {
        let message = Outgoing::new(group, "", vec![7; 60_000]);
        within("publishing", ann.client.publish(message)).await.unwrap();
    }
    ann.leave().await;
    until("everybody to have taken what they take", async || {
        let before: Vec<_> = open.iter().map(received).collect();
        tokio::time::sleep(SILENCE).await;
        let has_all = before.iter().all(|bytes| *bytes >= TAKEN_BYTES_MIN);
        (has_all && open.iter().map(received).eq(before)).then_some(())
    })
    .await;
}

fn received(raw: &Raw) -> u64 {
    raw.connection.stats().udp_rx.bytes
}

/// How many frames with something of a stream came: content, an answer or Goodbye.
fn contents(connection: &Connection) -> u64 {
    connection.stats().frame_rx.stream
}

/// Lets come whatever waits.
fn take_all(raw: &Raw) {
    raw.connection.set_receive_window(VarInt::from_u32(WIDE_BYTES));
}

async fn revoke(site: &Site, whose: Whose) -> usize {
    let order = Order::Revoke { whose, until_lifted: false };
    match within("the order", site.broker.revoker().carry_out(order)).await {
        Ok(Done::Revoked { ended, not_on_record: None, .. }) => ended,
        other => panic!("{other:?}"),
    }
}

async fn lift(site: &Site, whose: Whose) {
    let done = within("the order", site.broker.revoker().carry_out(Order::Lift(whose))).await;
    assert_eq!(done, Ok(Done::Lifted { was_revoked: true }));
}

/// Waits for a session's end; gives when it was there. It had so many frames with content before.
async fn end(connection: Connection, before: u64) -> Instant {
    let end = tokio::time::timeout(PATIENCE, connection.closed()).await.expect("it ends");
    let at = Instant::now();
    // The last word may be overtaken by the reset that answers whatever the client said after it.
    let is_told = match &end {
        ConnectionError::ApplicationClosed(close) => {
            close.error_code == VarInt::from_u32(Code::Revoked as u32)
        }
        end => matches!(end, ConnectionError::Reset),
    };
    assert!(is_told, "{end}");
    assert_eq!(contents(&connection), before, "frames with content, before the order and after it");
    at
}

/// Figures of an order, for people; asserts that they are as promised.
fn judge(kind: &str, mut times: Vec<Duration>) -> String {
    times.sort();
    let percentile = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
    let [p50, p99, longest] = [50, 99, 100].map(percentile);
    assert!(p99 <= P99_MAX, "{kind}: {p99:?}");
    let sessions = times.len();
    format!(
        "{kind}: {sessions} sessions, from the order to the end p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}"
    )
}

/// One order ends all of them.
async fn all_end(kind: &str, site: &Arc<Site>, whose: Whose, users: impl Iterator<Item = String>) -> String {
    let users: Vec<_> = users.collect();
    let open = open(site, users.iter().cloned()).await;
    let mut named = users.clone();
    named.dedup();
    publish_to(site, &named, &open).await;
    let count = open.len();
    let mut ends = JoinSet::new();
    for raw in &open {
        ends.spawn(end(raw.connection.clone(), contents(&raw.connection)));
    }
    let asked = Instant::now();
    assert_eq!(revoke(site, whose.clone()).await, count);
    open.iter().for_each(take_all);
    let times: Vec<_> = ends.join_all().await.into_iter().map(|at| at - asked).collect();
    lift(site, whose).await;
    judge(kind, times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_user_a_tenant_and_a_key_end_in_time() {
    let sessions = sessions();
    let site = site(sessions).await;
    let bob = Whose::User { tenant: TENANT.into(), name: "bob".into() };
    println!("{}", all_end("user", &site, bob, (0..sessions).map(|_| "bob".to_owned())).await);
    for (kind, whose) in [("tenant", Whose::Tenant(TENANT.into())), ("key", Whose::Key("k".into()))] {
        println!("{}", all_end(kind, &site, whose, (0..sessions).map(name)).await);
    }
}

/// Each by an order of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_devices_end_in_time() {
    let sessions = sessions();
    let site = site(sessions).await;
    let users: Vec<_> = (0..sessions).map(name).collect();
    let mut open = open(&site, users.iter().cloned()).await;
    publish_to(&site, &users, &open).await;
    let mut times = Vec::new();
    while let Some(raw) = open.pop() {
        let device = Whose::Device(hex::encode(&raw.device));
        let end = tokio::spawn(end(raw.connection.clone(), contents(&raw.connection)));
        let asked = Instant::now();
        assert_eq!(revoke(&site, device).await, 1);
        take_all(&raw);
        times.push(end.await.unwrap() - asked);
    }
    println!("{}", judge("device", times));
}
