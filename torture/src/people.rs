//! People who talk, listen and read all the time through the SDK, whatever happens to the broker.
//!
//! Each tells the journal of everything before it is asked and after it is answered. Somebody can
//! be ended in the middle of it, as an application that is killed: what was not answered then is
//! unknown.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, Found, Life, Noticed, Told, User};
use anyhow::{Context, ensure};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use wardline_client::{
    Ack, Body, Client, ConnectError, ConversationId, DeviceId, Entry, Inbox, Incoming, MessageId, Notice,
    Options, Outgoing, Priority, RequestError, Trust, connect,
};

use crate::journal::Journal;

/// How long anything may take before a trial gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The members of all conversations.
pub const MEMBERS: [User; 4] = [User("ann"), User("bob"), User("cy"), User("dee")];
/// No member of any.
pub(crate) const OUTSIDER: User = User("eve");
/// Whose access is taken back and given back.
pub(crate) const GUEST: User = User("fay");

/// Messages are published in bursts, so often.
const BURST_EVERY: Duration = Duration::from_millis(12);
const BURST_MAX: usize = 6;
/// How often somebody says how far they have read.
const READ_EVERY: Duration = Duration::from_millis(35);
/// One receipt in so many comes after one that is behind the record.
const STALE_ONE_IN: u64 = 4;
/// How often the outsider tries.
const INTRUDE_EVERY: Duration = Duration::from_millis(60);
/// One payload in so many is long: it spans blocks of the log.
const LONG_ONE_IN: u32 = 40;
const LONG_BYTES_MAX: usize = 12 << 10;
const SHORT_BYTES_MAX: usize = 200;
/// Least and most of a bulky one: up to what the broker takes.
const BULKY_BYTES: std::ops::RangeInclusive<usize> = 32 << 10..=64 << 10;

/// A conversation, and what is published into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub id: ConversationId,
    /// What.
    pub kind: Kind,
}

/// What is published into a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages that stay.
    Steady,
    /// Half of them expire soon, or in an hour.
    Fleeting,
    /// A quarter of them is urgent.
    Urgent,
    /// Some are deleted, and how long they are kept changes.
    Governed,
    /// All of them are long. A crowd's.
    Bulky,
}

impl Kind {
    /// What members talk about.
    pub const ALL: [Self; 4] = [Self::Steady, Self::Fleeting, Self::Urgent, Self::Governed];

    /// Whether all that is published into it is there at the end of a trial.
    pub fn stays(self) -> bool {
        matches!(self, Self::Steady | Self::Urgent)
    }
}

/// How people reach the broker.
pub struct Dial {
    /// Where it is.
    pub address: SocketAddr,
    /// Who vouches for it, in PEM.
    pub authority: Vec<u8>,
    /// Everybody's.
    pub tokens: HashMap<User, String>,
}

impl Dial {
    /// Somebody's, who does not wait long for a broker that was killed.
    pub fn options(&self, user: User, device: DeviceId) -> anyhow::Result<Options> {
        let token = self.tokens.get(&user).with_context(|| format!("no token for {user:?}"))?.clone();
        let trust = Trust::Pem(self.authority.clone());
        let mut options = Options::new(self.address, "localhost", trust, token, device);
        options.backoff.first = Duration::from_millis(10);
        options.backoff.max = Duration::from_millis(100);
        options.connect_timeout = Duration::from_millis(1_000);
        options.keep_alive = Duration::from_secs(5);
        options.publish_window = 32;
        options.client_name = "wardline-torture".into();
        Ok(options)
    }
}

/// Connects; tries again as long as the broker cannot be reached.
pub async fn dial(options: Options) -> anyhow::Result<(Client, Inbox)> {
    let attempts = async {
        loop {
            match connect(options.clone()).await {
                Ok(connected) => return Ok(connected),
                Err(ConnectError::Unreachable { .. }) => sleep(Duration::from_millis(20)).await,
                Err(ConnectError::Refused(refusal)) if !refusal.retry_after.is_zero() => {
                    sleep(refusal.retry_after).await;
                }
                Err(error) => return Err(error).context("the broker gives no session"),
            }
        }
    };
    timeout(PATIENCE, attempts).await.context("no session in time")?
}

/// What everybody needs to know.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) journal: Arc<Journal>,
    pub(crate) rooms: watch::Receiver<Vec<Room>>,
    /// Nobody begins anything new.
    pub(crate) quiet: CancellationToken,
}

/// Somebody with a device that publishes and receives.
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) device: DeviceId,
    pub(crate) client: Client,
    tasks: JoinSet<()>,
    /// They begin nothing new.
    leaving: CancellationToken,
}

impl Person {
    /// Connects and begins to live.
    pub(crate) async fn begin(
        world: &World,
        options: Options,
        user: User,
        life: Life,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let device = options.device;
        world.journal.note(Event::Connected { device, at_ms: world.journal.now_ms() });
        let (client, inbox) = dial(options).await?;
        let leaving = world.quiet.child_token();
        let world = World { quiet: leaving.clone(), ..world.clone() };
        let who = || Who { user, device, client: client.clone(), world: world.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(talk(who(), life, StdRng::seed_from_u64(seed)));
        tasks.spawn(listen(inbox, device, Arc::clone(&world.journal)));
        tasks.spawn(read(who()));
        Ok(Self { user, device, client, tasks, leaving })
    }

    /// Ends as a killed application does: what has no answer will have none.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.leaving.cancel();
        self.client.close(Duration::ZERO).await;
        let ended = async {
            while let Some(task) = self.tasks.join_next().await {
                task.context("a person's task has panicked")?;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, ended).await.context("a person's tasks do not end")?
    }
}

/// Somebody's client, and where they live.
pub(crate) struct Who {
    pub(crate) user: User,
    pub(crate) device: DeviceId,
    pub(crate) client: Client,
    pub(crate) world: World,
}

async fn talk(who: Who, life: Life, mut random: StdRng) {
    let mut ticks = unhurried(BURST_EVERY);
    let mut acks = JoinSet::new();
    while who.world.quiet.run_until_cancelled(ticks.tick()).await.is_some() {
        for _ in 0..random.random_range(1..=BURST_MAX) {
            let message = {
                let rooms = who.world.rooms.borrow();
                draw(rooms[random.random_range(0..rooms.len())], &mut random)
            };
            if !publish(&who, life, message, &mut acks).await {
                break;
            }
        }
        while acks.try_join_next().is_some() {}
    }
    while acks.join_next().await.is_some() {}
}

/// Publishes so many messages into one conversation, each as soon as the client takes it, and waits
/// for all answers.
pub(crate) async fn flood(who: Who, life: Life, room: Room, messages: usize, mut random: StdRng) {
    let mut acks = JoinSet::new();
    for _ in 0..messages {
        if !publish(&who, life, draw(room, &mut random), &mut acks).await {
            break;
        }
    }
    while acks.join_next().await.is_some() {}
}

/// Whether the client took it; its answer will be noted.
async fn publish(who: &Who, life: Life, message: Outgoing, acks: &mut JoinSet<()>) -> bool {
    note_invoked(&who.world.journal, who.user, life, &message);
    let id = message.id;
    let Ok(pending) = who.client.enqueue(message).await else {
        who.world.journal.note(Event::Unknown { id });
        return false;
    };
    let journal = Arc::clone(&who.world.journal);
    acks.spawn(async move { note_answer(&journal, id, pending.wait().await) });
    true
}

/// Notes a message that is about to be published for the first time.
pub fn note_invoked(journal: &Journal, sender: User, life: Life, message: &Outgoing) {
    journal.note(Event::Invoked {
        id: message.id,
        room: message.conversation,
        sender,
        life,
        digest: digest(&message.payload),
        urgent: message.priority == Priority::Urgent,
        expires_in_ms: message.expires_in.map(|expires_in| expires_in.as_millis() as u64),
        at_ms: journal.now_ms(),
    });
}

/// Notes what came of it.
pub fn note_answer(journal: &Journal, id: MessageId, answer: Result<Ack, RequestError>) {
    journal.note(match answer {
        Ok(ack) => {
            let urgent = ack.priority == Priority::Urgent;
            Event::Acked { id, sequence: ack.sequence, time_ms: ack.time_ms, urgent }
        }
        Err(RequestError::Refused(_)) => Event::Refused { id },
        Err(_) => Event::Unknown { id },
    });
}

/// Draws a message for a conversation.
fn draw(room: Room, random: &mut StdRng) -> Outgoing {
    let long = random.random_ratio(1, LONG_ONE_IN);
    let length = match room.kind {
        Kind::Bulky => random.random_range(BULKY_BYTES),
        _ => random.random_range(0..if long { LONG_BYTES_MAX } else { SHORT_BYTES_MAX }),
    };
    let mut payload = vec![0; length];
    random.fill(&mut payload[..]);
    let mut message = Outgoing::new(room.id, "", Bytes::from(payload));
    match room.kind {
        Kind::Steady | Kind::Governed | Kind::Bulky => {}
        Kind::Fleeting => {
            message.expires_in = match random.random_range(0..4) {
                0 => Some(Duration::from_millis(random.random_range(100..3_000))),
                1 => Some(Duration::from_secs(3600)),
                _ => None,
            };
        }
        Kind::Urgent if random.random_ratio(1, 4) => message.priority = Priority::Urgent,
        Kind::Urgent => {}
    }
    message
}

async fn listen(mut inbox: Inbox, device: DeviceId, journal: Arc<Journal>) {
    while let Some(incoming) = inbox.next().await {
        let Incoming::Entry(entry) = incoming else { continue };
        let (room, at_ms) = (entry.conversation, journal.now_ms());
        if let Some(found) = found(&entry) {
            journal.note(Event::Delivered { device, room, at_ms, found });
        } else if let Some(noticed) = noticed(&entry) {
            journal.note(Event::Heard { device, room, at_ms, noticed });
        }
    }
}

async fn read(who: Who) {
    let mut ticks = unhurried(READ_EVERY);
    let mut behind = 0_u64;
    let mut said: HashMap<ConversationId, u64> = HashMap::new();
    let journal = &who.world.journal;
    while who.world.quiet.run_until_cancelled(ticks.tick()).await.is_some() {
        let rooms = who.world.rooms.borrow().clone();
        for room in rooms {
            let has = journal.oracle(|oracle| oracle.delivered_up_to(who.device, room.id));
            let said = said.entry(room.id).or_default();
            if has <= *said {
                continue;
            }
            // As another device of theirs would that is behind: what is on record stays.
            behind += 1;
            let stale = (behind.is_multiple_of(STALE_ONE_IN) && *said > 1).then_some(*said / 2);
            for up_to in stale.into_iter().chain([has]) {
                match say_read(journal, &who.client, who.user, room.id, up_to).await {
                    Ok(()) => *said = (*said).max(up_to),
                    // Whether it is on record will be seen.
                    Err(RequestError::Unknown(_)) => {}
                    Err(RequestError::Closed(_)) => return,
                    // Behind the record, or the broker is about to end: nothing changed, and it is
                    // said again.
                    Err(RequestError::Refused(refusal))
                        if stale == Some(up_to) || !refusal.retry_after.is_zero() => {}
                    Err(error) => journal.trouble(format!("{:?}'s receipt: {error}", who.user)),
                }
            }
        }
    }
}

/// Says how far somebody has read, and notes what came of it.
pub async fn say_read(
    journal: &Journal,
    client: &Client,
    user: User,
    room: ConversationId,
    up_to: u64,
) -> Result<(), RequestError> {
    let since = journal.note(Event::MarkAsked { user, room, read: up_to });
    let marks = client.acknowledge(room, None, Some(up_to)).await?;
    let (delivered, read) = (marks.delivered_up_to, marks.read_up_to);
    journal.note(Event::MarkAcked { user, room, since, asked: up_to, delivered, read });
    Ok(())
}

/// Ticks so often; what was held up is not made up for.
pub(crate) fn unhurried(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Tries to publish and to read where they are no member, until told to be quiet.
pub(crate) async fn intrude(world: World, client: Client, life: Life, mut random: StdRng) {
    let mut ticks = unhurried(INTRUDE_EVERY);
    let device = DeviceId([0; 16]);
    let who = Who { user: OUTSIDER, device, client, world };
    while who.world.quiet.run_until_cancelled(ticks.tick()).await.is_some() {
        let message = {
            let rooms = who.world.rooms.borrow();
            draw(rooms[random.random_range(0..rooms.len())], &mut random)
        };
        let (id, room) = (message.id, message.conversation);
        note_invoked(&who.world.journal, who.user, life, &message);
        note_answer(&who.world.journal, id, who.client.publish(message).await);
        let page = who.client.history(room, 0, wardline_client::Direction::Forward, 1).await;
        match page {
            Ok(_) => {
                who.world.journal.note(Event::Leaked { to: OUTSIDER, room });
            }
            Err(RequestError::Closed(_)) => return,
            Err(_) => {}
        }
    }
}

/// An entry as the oracle knows it; `None`: it is not a message.
pub fn found(entry: &Entry) -> Option<Found> {
    let Body::Message { id, payload, priority, .. } = &entry.body else { return None };
    let sender = MEMBERS.into_iter().chain([OUTSIDER]).find(|user| user.0 == &*entry.sender);
    Some(Found {
        sequence: entry.sequence,
        sender: sender.unwrap_or(User("a stranger")),
        id: *id,
        digest: digest(payload),
        urgent: *priority == Priority::Urgent,
        time_ms: entry.time_ms,
        expires_at_ms: entry.expires_at_ms,
    })
}

/// What is no message, as the oracle knows it; `None`: it is one.
pub fn noticed(entry: &Entry) -> Option<Noticed> {
    let told = match &entry.body {
        Body::Message { .. } => return None,
        Body::Tombstone { .. } => Told::Tombstone,
        Body::Notice(Notice::Deleted(sequence)) => Told::Deleted(*sequence),
        Body::Notice(Notice::Retention(kept)) => Told::Kept(kept.as_millis() as u64),
        Body::Notice(_) => Told::Other,
    };
    Some(Noticed { sequence: entry.sequence, told, expires_at_ms: entry.expires_at_ms })
}

/// Of a payload: two that differ have two, but for one in 2^64.
fn digest(payload: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(payload);
    hasher.finish()
}

/// Waits until something holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(Instant::now() < deadline, "waited too long for {what}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
