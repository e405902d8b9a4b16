//! However many users, conversations and tenants there are, a broker has the same series.
//!
//! Every conversation is made by somebody who connects for it, publishes into it and leaves; the
//! nine others are members. So each user is in the store once. `WARDLINE_USERS` sets how many there
//! are in the end; `cargo xtask observe --series` runs this with 100,000 of them in 10,000
//! conversations.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wardline_broker::dev::{Bearer, Dev};
use wardline_client::{
    Client, DeviceId, Inbox, NewConversation, Options, Outgoing, Priority, Trust, connect,
};
use wardline_rocksdb::RocksEngine;
use wardline_storage::engine::{Direction, Engine, KeyRange, Table};
use wardline_storage::id::Timestamp;

use crate::serving::{Serving, eventually};

const USERS: usize = 300;
const MEMBERS: usize = 10;
const TENANTS: usize = 20;
/// Who connects at the same time.
const AT_ONCE: usize = 32;
/// Who is still connected when the series are counted for the second time.
const STAY: usize = 200;
const ID_BYTES: usize = 16;

#[test]
fn more_users_and_conversations_make_no_more_series() {
    let users: usize = std::env::var("WARDLINE_USERS").map_or(USERS, |text| text.parse().unwrap());
    let conversations = users / MEMBERS;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut broker = Serving::start(&["--set", "stop.notice=0s"]);
    let hospital = Arc::new(Hospital::of(&broker, &runtime));
    let began = Instant::now();

    let few = runtime.block_on(Arc::clone(&hospital).fill(0..1));
    eventually("the pages have what is told every few seconds", || {
        let page = broker.page("/metrics").1;
        ["process_threads", "wardline_rocksdb_level_bytes"]
            .iter()
            .all(|name| page.contains(&format!("\n{name}")))
    });
    let before = series(&broker.page("/metrics").1);
    let many = runtime.block_on(Arc::clone(&hospital).fill(1..conversations));
    let page = broker.page("/metrics").1;
    let after = series(&page);

    let more: Vec<_> = after.difference(&before).collect();
    let fewer: Vec<_> = before.difference(&after).collect();
    assert!(more.is_empty() && fewer.is_empty(), "more: {more:?}; fewer: {fewer:?}");
    let published = format!("wardline_published_total{{priority=\"urgent\"}} {conversations}");
    assert!(page.lines().any(|line| line == published), "each was published into: {published}");
    drop((few, many));
    drop(runtime);
    let stored = Stored::of(&mut broker);
    println!(
        "series: {} with {MEMBERS} users and 1 conversation, {} with {} users of {} conversations in {TENANTS} tenants \
         (counted in the store; {} s)",
        before.len(),
        after.len(),
        stored.users,
        stored.conversations,
        began.elapsed().as_secs()
    );
    assert_eq!((stored.users, stored.conversations), (conversations * MEMBERS, conversations));
}

/// The series of a page: names with their labels.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// Who connects, and how.
struct Hospital {
    dev: Dev,
    trust: Trust,
    address: std::net::SocketAddr,
    endpoint: quinn::Endpoint,
}

impl Hospital {
    fn of(broker: &Serving, runtime: &tokio::runtime::Runtime) -> Self {
        let dev = Dev::of(&broker.folder.path().join("data"));
        let trust = Trust::Pem(std::fs::read(dev.ca()).unwrap());
        let _entered = runtime.enter();
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { dev, trust, address: broker.address, endpoint }
    }

    /// Makes these conversations; gives who stays connected.
    async fn fill(self: Arc<Self>, numbers: Range<usize>) -> Vec<(Client, Inbox)> {
        let mut staying = Vec::new();
        let mut making = tokio::task::JoinSet::new();
        for number in numbers {
            if making.len() == AT_ONCE {
                staying.extend(making.join_next().await.unwrap().unwrap());
            }
            making.spawn(Arc::clone(&self).make(number));
        }
        while let Some(made) = making.join_next().await {
            staying.extend(made.unwrap());
        }
        staying
    }

    async fn make(self: Arc<Self>, number: usize) -> Option<(Client, Inbox)> {
        let name = |member: usize| format!("user-{number}-{member}");
        let tenant = format!("hospital-{}", number % TENANTS);
        let bearer = Bearer { user: name(0), tenant, roles: Vec::new() };
        let hour = Duration::from_secs(3600);
        let token = self.dev.token(&bearer, "wardline", now(), hour).unwrap();
        let mut options =
            Options::new(self.address, "localhost", self.trust.clone(), token, DeviceId::random());
        options.endpoint = Some(self.endpoint.clone());
        let (client, inbox) = connect(options).await.unwrap();
        let new = NewConversation { members: (1..MEMBERS).map(name).collect(), ..Default::default() };
        let conversation = client.create_group(new).await.unwrap().id;
        let priority = Priority::Urgent;
        client.publish(Outgoing { priority, ..Outgoing::text(conversation, "to all") }).await.unwrap();
        if number < STAY {
            return Some((client, inbox));
        }
        client.close(Duration::from_secs(10)).await;
        None
    }
}

/// What lies in the store.
struct Stored {
    users: usize,
    conversations: usize,
}

impl Stored {
    /// Stops the broker and counts.
    fn of(broker: &mut Serving) -> Self {
        let path = broker.stop().join("data");
        let engine = RocksEngine::open(path, wardline_rocksdb::Options::default()).unwrap();
        let first_ids = |table| {
            let mut ids = BTreeSet::new();
            let mut visit = |row: wardline_storage::engine::Row<'_>| {
                let key = row.key;
                ids.insert(key[..ID_BYTES].to_vec());
                ControlFlow::Continue(())
            };
            engine.scan(table, KeyRange::ALL, Direction::Forward, Timestamp(0), &mut visit).unwrap();
            ids.len()
        };
        Self { users: first_ids(Table::Membership), conversations: first_ids(Table::Conversation) }
    }
}
