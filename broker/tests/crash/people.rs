//! People who talk all the time through the SDK, whatever happens to the broker, and tell the
//! oracle of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wardline_broker::dev::{Bearer, Dev, TENANT};
use wardline_client::{
    Body, Client, ConnectError, ConversationId, DeviceId, Direction, Entry, Inbox, Incoming, Options,
    Outgoing, RequestError, Trust, connect,
};
use wardline_storage::id::Timestamp;

use crate::oracle::{Found, Oracle};

/// How long anything may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Messages are published in bursts, so often.
const BURST_EVERY: Duration = Duration::from_millis(10);
const BURST_MAX: usize = 8;

/// Somebody with a client.
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) client: Client,
}

/// How somebody connects to a development broker.
pub(crate) fn options(data: &Path, address: SocketAddr, user: &str) -> Options {
    let dev = Dev::of(data);
    let bearer = Bearer { user: user.into(), tenant: TENANT.into(), roles: Vec::new() };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    let now = Timestamp(since.as_millis() as u64);
    let token =
        dev.token(&bearer, "wardline", now, Duration::from_secs(3600)).expect("there is a signing key");
    let trust = Trust::Pem(std::fs::read(dev.ca()).expect("there is an authority"));
    let mut options = Options::new(address, "localhost", trust, token, DeviceId::random());
    options.backoff.first = Duration::from_millis(10);
    options.backoff.max = Duration::from_millis(100);
    options.connect_timeout = Duration::from_millis(500);
    options.publish_window = 32;
    options
}

impl Person {
    pub(crate) async fn connect(options: Options, name: &str) -> (Self, Inbox) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match connect(options.clone()).await {
                Ok((client, inbox)) => return (Self { name: name.into(), client }, inbox),
                // One attempt is short, so that nobody waits for a broker that was killed; a busy
                // machine may need more.
                Err(ConnectError::Unreachable { .. }) if Instant::now() < deadline => {}
                Err(other) => panic!("connecting: {other}"),
            }
        }
    }

    /// All of a conversation, from the first message on.
    pub(crate) async fn history(&self, conversation: ConversationId) -> Vec<Found> {
        let mut found = Vec::new();
        let mut from = 0;
        loop {
            let page = match self.client.history(conversation, from, Direction::Forward, 200).await {
                Ok(page) => page,
                // The broker went away meanwhile.
                Err(RequestError::Unknown(_)) => continue,
                Err(other) => panic!("history: {other}"),
            };
            found.extend(page.entries.iter().filter_map(message));
            match page.next_from {
                Some(next) => from = next,
                None => return found,
            }
        }
    }

    /// Starts talking, listening and reading, until told to be quiet.
    pub(crate) fn live(
        &self,
        inbox: Inbox,
        rooms: &[ConversationId],
        oracle: &Arc<Mutex<Oracle>>,
        seed: u64,
        quiet: &CancellationToken,
    ) -> JoinSet<()> {
        let who = || (self.name.clone(), self.client.clone(), Arc::clone(oracle), rooms.to_vec());
        let mut tasks = JoinSet::new();
        tasks.spawn(talk(who(), StdRng::seed_from_u64(seed), quiet.clone()));
        tasks.spawn(listen(self.name.clone(), inbox, Arc::clone(oracle)));
        tasks.spawn(read(who(), quiet.clone()));
        tasks
    }
}

type Who = (String, Client, Arc<Mutex<Oracle>>, Vec<ConversationId>);

async fn talk((name, client, oracle, rooms): Who, mut random: StdRng, quiet: CancellationToken) {
    let mut ticks = tokio::time::interval(BURST_EVERY);
    let mut acks = JoinSet::new();
    while quiet.run_until_cancelled(ticks.tick()).await.is_some() {
        for _ in 0..random.random_range(1..=BURST_MAX) {
            let room = rooms[random.random_range(0..rooms.len())];
            let length = random.random_range(0..200);
            let payload = Bytes::from((0..length).map(|_| random.random()).collect::<Vec<u8>>());
            let message = Outgoing::new(room, "", payload.clone());
            let id = message.id;
            oracle.lock().invoked(id, room, &name, payload);
            let pending = client.enqueue(message).await.expect("the client is open");
            let oracle = Arc::clone(&oracle);
            acks.spawn(async move {
                match pending.wait().await {
                    Ok(ack) => oracle.lock().acked(id, ack.sequence),
                    Err(_) => oracle.lock().refused(id),
                }
            });
        }
        while acks.try_join_next().is_some() {}
    }
    while acks.join_next().await.is_some() {}
}

async fn listen(name: String, mut inbox: Inbox, oracle: Arc<Mutex<Oracle>>) {
    while let Some(incoming) = inbox.next().await {
        if let Incoming::Entry(entry) = incoming
            && let Some(found) = message(&entry)
        {
            oracle.lock().delivered(entry.conversation, &name, &found);
        }
    }
}

async fn read((name, client, oracle, rooms): Who, quiet: CancellationToken) {
    let mut ticks = tokio::time::interval(BURST_EVERY * 3);
    while quiet.run_until_cancelled(ticks.tick()).await.is_some() {
        for room in &rooms {
            let (has, before) = {
                let oracle = oracle.lock();
                (oracle.delivered_up_to(*room, &name), oracle.expect_read(*room, &name))
            };
            if has <= before {
                continue;
            }
            match client.acknowledge(*room, None, Some(has)).await {
                Ok(marks) => oracle.lock().acked_read(*room, &name, marks.read_up_to),
                // Whether it is on record will be seen.
                Err(RequestError::Unknown(_)) => {}
                Err(other) => panic!("a receipt: {other}"),
            }
        }
    }
}

fn message(entry: &Entry) -> Option<Found> {
    let Body::Message { id, payload, .. } = &entry.body else { return None };
    Some(Found {
        sequence: entry.sequence,
        sender: entry.sender.to_string(),
        id: *id,
        payload: payload.clone(),
    })
}
