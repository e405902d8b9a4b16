//! One person in a replay: writes on schedule, receives, acknowledges, reads after a while, goes
//! away, comes back.
//!
//! One task for each person. Publishes are pipelined: the person does not wait for an ack before
//! the next message, only before going offline. A conversation is opened a moment before its first
//! message, as an app opens it before its user types. A person only ever ends a session after
//! everything in it is durable.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, ConversationId, Inbox, Incoming, Outgoing, RequestError, Sequence, Status};

use super::arrivals::{Arrival, Arrivals};
use super::content::{CONTENT_TYPE, Contents};
use super::pace::{ReadDelay, Schedule};
use super::people::Plan;
use super::record::Record;
use super::trace::{Person, Trace};
use crate::dialler::Dialler;

/// How long before its first message a conversation is opened.
const OPEN_AHEAD: Duration = Duration::from_secs(2);
/// Pause before a request whose outcome is unknown is made again.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// What all people of a replay share.
pub struct World {
    /// The trace.
    pub trace: Arc<Trace>,
    /// When its messages are due.
    pub schedule: Schedule,
    /// What they say.
    pub contents: Contents,
    /// When they are read.
    pub read_delay: ReadDelay,
    /// How people connect.
    pub dialler: Arc<Dialler>,
    /// What happens.
    pub record: Arc<Record>,
    /// Everything has been published, received and read: go home.
    pub finish: CancellationToken,
}

/// Lives through a plan, beginning with a session that is open already.
///
/// # Errors
/// If the broker refuses a session after an absence.
pub async fn live(world: Arc<World>, plan: Plan, session: (Client, Inbox)) -> anyhow::Result<()> {
    let mut life = Life::new(&world, &plan);
    let mut session = Some(session);
    let mut sends = plan.sends.as_slice();
    for absence in plan.absences.iter().map(Some).chain([None]) {
        let (client, inbox) = match session.take() {
            Some(open) => open,
            None => world.dialler.dial(&plan.person.to_string(), plan.device).await?,
        };
        let from = absence.map_or(Duration::MAX, |absence| absence.from);
        let due = sends.partition_point(|&message| world.schedule.intended(message) < from);
        let (now, later) = sends.split_at(due);
        sends = later;
        life.session(client, inbox, now, absence.map(|absence| absence.from)).await;
        if let Some(absence) = absence {
            sleep_until(world.record.moment(absence.until)).await;
        }
    }
    Ok(())
}

/// What a person remembers from session to session.
struct Life<'a> {
    world: &'a Arc<World>,
    conversations: HashMap<Person, Arc<OnceCell<ConversationId>>>,
    receiver: Receiver<'a>,
}

/// The half that receives.
struct Receiver<'a> {
    world: &'a World,
    me: Person,
    arrivals: Arrivals,
    /// What is received and not yet read, the next to read on top.
    unread: BinaryHeap<Reverse<(Instant, ConversationId, Sequence)>>,
    read_up_to: HashMap<ConversationId, Sequence>,
}

enum Step {
    Open(Person),
    Send(usize),
}

impl<'a> Life<'a> {
    fn new(world: &'a Arc<World>, plan: &Plan) -> Self {
        let receiver = Receiver {
            world,
            me: plan.person,
            arrivals: Arrivals::new(plan.person, world.trace.clone(), world.contents),
            unread: BinaryHeap::new(),
            read_up_to: HashMap::new(),
        };
        Self { world, conversations: HashMap::new(), receiver }
    }

    /// Lives through a session that ends at `until`; `None`: when all are done.
    async fn session(&mut self, client: Client, mut inbox: Inbox, sends: &[usize], until: Option<Duration>) {
        let steps = self.steps(sends);
        let stop = CancellationToken::new();
        let publishing = async {
            publish(self.world, &client, &self.conversations, steps).await;
            match until {
                Some(until) => sleep_until(self.world.record.moment(until)).await,
                None => self.world.finish.cancelled().await,
            }
            stop.cancel();
        };
        tokio::join!(publishing, self.receiver.receive(&client, &mut inbox, &stop));
        flush(&client).await;
        client.close(CLOSE_DEADLINE).await;
    }

    /// Lays out what a session publishes, with each conversation's opening ahead of its first
    /// message.
    fn steps(&mut self, sends: &[usize]) -> Vec<(Duration, Step)> {
        let mut steps = Vec::with_capacity(sends.len());
        for &message in sends {
            let peer = self.world.trace.messages[message].recipient;
            let at = self.world.schedule.intended(message);
            if let Entry::Vacant(first_use) = self.conversations.entry(peer) {
                first_use.insert(Arc::default());
                steps.push((at.saturating_sub(OPEN_AHEAD), Step::Open(peer)));
            }
            steps.push((at, Step::Send(message)));
        }
        // Stable: what is due at the same time stays in the trace's order.
        steps.sort_by_key(|(at, _)| *at);
        steps
    }
}

/// Publishes on schedule; returns when everything is acknowledged or given up.
async fn publish(
    world: &Arc<World>,
    client: &Client,
    conversations: &HashMap<Person, Arc<OnceCell<ConversationId>>>,
    steps: Vec<(Duration, Step)>,
) {
    let mut waiting = JoinSet::new();
    for (at, step) in steps {
        sleep_until(world.record.moment(at)).await;
        while waiting.try_join_next().is_some() {}
        match step {
            Step::Open(peer) => {
                let (client, cell) = (client.clone(), conversations[&peer].clone());
                waiting.spawn(async move {
                    open(&client, &cell, peer).await;
                });
            }
            Step::Send(message) => {
                let sent = send(world, client, conversations, message).await;
                let Some(pending) = sent else {
                    world.record.counts().failed.fetch_add(1, Relaxed);
                    continue;
                };
                let world = world.clone();
                waiting.spawn(async move {
                    match pending.wait().await {
                        Ok(ack) => world.record.acked(message, ack),
                        Err(error) => {
                            tracing::error!(message, %error, "a publish was not acknowledged");
                            world.record.counts().failed.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        }
    }
    while waiting.join_next().await.is_some() {}
}

/// Hands one message to the SDK.
async fn send(
    world: &World,
    client: &Client,
    conversations: &HashMap<Person, Arc<OnceCell<ConversationId>>>,
    index: usize,
) -> Option<wardline_client::PendingAck> {
    let message = &world.trace.messages[index];
    let conversation = open(client, &conversations[&message.recipient], message.recipient).await?;
    let payload = world.contents.payload(index, message);
    world.record.sent(index);
    match client.enqueue(Outgoing::new(conversation, CONTENT_TYPE, payload)).await {
        Ok(pending) => Some(pending),
        Err(error) => {
            tracing::error!(message = index, %error, "a message was not taken");
            None
        }
    }
}

/// Finds the conversation with somebody, once; asks again if the answer was lost.
async fn open(client: &Client, cell: &OnceCell<ConversationId>, peer: Person) -> Option<ConversationId> {
    let find = || async {
        loop {
            match client.direct(&peer.to_string()).await {
                Ok(conversation) => return Ok(conversation.id),
                Err(error) if is_worth_trying_again(&error) => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    };
    match cell.get_or_try_init(find).await {
        Ok(conversation) => Some(*conversation),
        Err(error) => {
            tracing::error!(%error, "no conversation");
            None
        }
    }
}

/// Waits until all receipts are durable.
async fn flush(client: &Client) {
    while let Err(error) = client.flush().await {
        if !is_worth_trying_again(&error) {
            tracing::error!(%error, "receipts may be missing");
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Whether the same request may succeed later.
pub(crate) fn is_worth_trying_again(error: &RequestError) -> bool {
    match error {
        RequestError::Refused(refusal) => !refusal.retry_after.is_zero(),
        RequestError::Unknown(_) => true,
        _ => false,
    }
}

impl Receiver<'_> {
    /// Takes what arrives until told to stop.
    async fn receive(&mut self, client: &Client, inbox: &mut Inbox, stop: &CancellationToken) {
        let mut status = client.status();
        status.mark_unchanged();
        loop {
            let read_next = self.unread.peek().map(|Reverse((due, ..))| *due);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(read_next.unwrap_or_else(Instant::now)), if read_next.is_some() => self.read(client),
                changed = status.changed() => {
                    if changed.is_err() {
                        return stop.cancelled().await;
                    }
                    if matches!(*status.borrow_and_update(), Status::Connected(_)) {
                        self.world.record.reconnected();
                    }
                }
                incoming = inbox.next() => match incoming {
                    Some(Incoming::Entry(entry)) => self.take(&entry),
                    Some(Incoming::Receipt(receipt)) => {
                        let counts = self.world.record.counts();
                        counts.receipts.fetch_add(1, Relaxed);
                        if !self.arrivals.receipt(&receipt) {
                            counts.receipts_regressed.fetch_add(1, Relaxed);
                        }
                    }
                    Some(_) => {}
                    None => {
                        self.world.record.counts().sessions_refused.fetch_add(1, Relaxed);
                        return stop.cancelled().await;
                    }
                },
            }
        }
    }

    fn take(&mut self, entry: &wardline_client::Entry) {
        let record = &self.world.record;
        let counts = record.counts();
        match self.arrivals.entry(entry) {
            Arrival::Message(index) | Arrival::Own(index) => self.received(index, entry),
            Arrival::Reordered(index) => {
                tracing::error!(message = index, "reordered");
                counts.reordered.fetch_add(1, Relaxed);
                self.received(index, entry);
            }
            Arrival::Duplicate => {
                tracing::error!(conversation = %entry.conversation, sequence = entry.sequence, "duplicate");
                counts.duplicated.fetch_add(1, Relaxed);
            }
            Arrival::Foreign => {
                tracing::error!(conversation = %entry.conversation, sequence = entry.sequence, "foreign");
                counts.foreign.fetch_add(1, Relaxed);
            }
        }
    }

    fn received(&mut self, index: usize, entry: &wardline_client::Entry) {
        if self.world.trace.messages[index].sender == self.me {
            self.world.record.counts().echoed.fetch_add(1, Relaxed);
            return;
        }
        self.world.record.arrived(index);
        let due = Instant::now() + self.world.read_delay.of(index);
        self.unread.push(Reverse((due, entry.conversation, entry.sequence)));
    }

    /// Reads what is due. Somebody who reads a message has read what stands above it.
    fn read(&mut self, client: &Client) {
        let now = Instant::now();
        while let Some(Reverse((due, conversation, sequence))) = self.unread.peek().copied() {
            if due > now {
                break;
            }
            self.unread.pop();
            let read_up_to = self.read_up_to.entry(conversation).or_default();
            if sequence > *read_up_to {
                *read_up_to = sequence;
                client.read(conversation, sequence);
            }
            self.world.record.counts().read.fetch_add(1, Relaxed);
        }
    }
}
