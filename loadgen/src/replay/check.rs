//! The independent check: what every person has, asked for through QUIC by clients that were not
//! part of the replay.
//!
//! Everybody connects anew and reads, for each of their conversations, the full history, their own
//! watermarks and the receipts of what they published. Completeness of receipts comes from the
//! watermarks: both people's cover every message to them. The times behind them are asked for the
//! last message of each sender in each conversation, and for a seeded sample of the others. The
//! only thing taken over from the replay is which messages were acknowledged, and where; what they
//! say is made again from the seed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use anyhow::{Context, bail};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};
use wardline_client::{
    Body, Client, Conversation, Direction, Entry, Inbox, Incoming, Kind, Page, RequestError,
};

use super::compare::{Expected, Findings, Receipts, Seen, View, compare, compare_receipts};
use super::content::Contents;
use super::people::Plan;
use super::person::is_worth_trying_again;
use super::record::Record;
use super::trace::{Person, Trace};
use crate::dialler::Dialler;
use crate::progress::Progress;
use crate::seed::{Purpose, mix};

/// People who are checked at the same time.
const PEOPLE_AT_ONCE: usize = 48;
/// Entries on a page.
const PAGE: u32 = 200;
/// Messages whose receipt times are asked for, beside the last of each sender in each conversation.
const SAMPLE: usize = 2_000;
/// Longest wait for the end of a backlog.
const BACKLOG_DEADLINE: Duration = Duration::from_secs(30);
/// Pause before a request is made again.
const PAUSE: Duration = Duration::from_millis(200);

/// What the check needs to know.
pub struct Check {
    trace: Arc<Trace>,
    contents: Contents,
    record: Arc<Record>,
    dialler: Arc<Dialler>,
    pairs: BTreeMap<(Person, Person), Vec<usize>>,
    /// For each person, with whom they have a conversation.
    peers: BTreeMap<Person, BTreeSet<Person>>,
    sample: HashSet<usize>,
}

/// What the check found, over all people.
#[derive(Debug, Default)]
pub struct Found {
    /// Acknowledged messages that at least one of the two people does not have.
    pub lost: BTreeSet<usize>,
    /// Messages that somebody has more than once.
    pub duplicated: BTreeSet<usize>,
    /// Messages that somebody has in the wrong place.
    pub reordered: BTreeSet<usize>,
    /// Entries and conversations that should not be there.
    pub foreign: usize,
    /// Receipts that should be there.
    pub receipts_missing: usize,
    /// Receipts that contradict each other.
    pub receipts_regressed: usize,
    /// Entries that were delivered once more, after their receipt.
    pub redelivered: usize,
    /// Histories read: one for each person and conversation.
    pub histories: usize,
    /// Messages whose receipt times were asked for.
    pub receipts_asked: usize,
}

impl Found {
    fn add(&mut self, findings: Findings) {
        self.lost.extend(findings.lost);
        self.duplicated.extend(findings.duplicated);
        self.reordered.extend(findings.reordered);
        self.foreign += findings.foreign;
        self.receipts_missing += findings.receipts_missing;
        self.receipts_regressed += findings.receipts_regressed;
    }

    fn merge(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.reordered.extend(other.reordered);
        self.foreign += other.foreign;
        self.receipts_missing += other.receipts_missing;
        self.receipts_regressed += other.receipts_regressed;
        self.redelivered += other.redelivered;
        self.histories += other.histories;
        self.receipts_asked += other.receipts_asked;
    }
}

impl Check {
    /// Prepares the check of a replay.
    pub fn new(trace: Arc<Trace>, seed: u64, record: Arc<Record>, dialler: Arc<Dialler>) -> Self {
        let pairs = trace.by_pair();
        let mut peers: BTreeMap<Person, BTreeSet<Person>> = BTreeMap::new();
        for (sender, recipient) in pairs.keys() {
            peers.entry(*sender).or_default().insert(*recipient);
            peers.entry(*recipient).or_default().insert(*sender);
        }
        let mut rng = SmallRng::seed_from_u64(mix(seed, Purpose::Sample, 0));
        let sample = (0..SAMPLE).map(|_| rng.random_range(0..trace.messages.len())).collect();
        Self { contents: Contents::new(seed), trace, record, dialler, pairs, peers, sample }
    }

    /// Checks everybody.
    ///
    /// # Errors
    /// If the broker refuses to answer: then nothing is proven.
    pub async fn run(self: &Arc<Self>, plans: &[Plan], progress: &Progress) -> anyhow::Result<Found> {
        progress.begin("checking", plans.len());
        let turns = Arc::new(Semaphore::new(PEOPLE_AT_ONCE));
        let mut people = JoinSet::new();
        for plan in plans {
            let (check, turns, plan) = (self.clone(), turns.clone(), plan.clone());
            people.spawn(async move {
                let _turn = turns.acquire().await.context("nobody closes the semaphore")?;
                check.person(&plan).await
            });
        }
        let (mut found, mut done) = (Found::default(), 0);
        while let Some(person) = people.join_next().await {
            found.merge(person.context("a task of the check has panicked")??);
            done += 1;
            progress.at(done, &json!({}));
        }
        Ok(found)
    }

    /// Checks what one person has.
    async fn person(&self, plan: &Plan) -> anyhow::Result<Found> {
        let mut found = Found::default();
        let me = plan.person;
        let (client, mut inbox) = self.dialler.dial(&me.to_string(), plan.device).await?;
        found.redelivered = backlog(&mut inbox).await?;
        drop(inbox);
        let mut peers = self.peers.get(&me).cloned().unwrap_or_default();
        for conversation in conversations(&client).await? {
            let peer = Person::parse(&conversation.peer).filter(|peer| peers.remove(peer));
            let Some(peer) = peer.filter(|_| conversation.kind == Kind::Direct) else {
                found.foreign += 1;
                continue;
            };
            self.conversation(&client, me, peer, &conversation, &mut found).await?;
        }
        // No conversation, no message.
        for peer in peers {
            let expected = self.expected(me, peer);
            found.add(compare(&View::default(), expected, &self.trace, |index| self.record.sequence(index)));
        }
        client.close(Duration::from_secs(1)).await;
        Ok(found)
    }

    async fn conversation(
        &self,
        client: &Client,
        me: Person,
        peer: Person,
        conversation: &Conversation,
        found: &mut Found,
    ) -> anyhow::Result<()> {
        let entries = self.history(client, conversation).await?;
        found.histories += 1;
        let expected = self.expected(me, peer);
        let view = View {
            entries,
            head: conversation.head,
            unread: conversation.unread,
            delivered_up_to: conversation.delivered_up_to,
            read_up_to: conversation.read_up_to,
        };
        let mut findings = compare(&view, expected, &self.trace, |index| self.record.sequence(index));
        let mine = view.entries.iter().filter(|entry| entry.sender == Some(me));
        let last = mine.clone().next_back().map(|entry| entry.sequence);
        let is_asked = |entry: &&Seen| {
            Some(entry.sequence) == last || entry.message.is_some_and(|index| self.sample.contains(&index))
        };
        let mut receipts = Vec::new();
        for entry in mine.filter(is_asked) {
            receipts.push(self.receipts(client, conversation, peer, entry).await?);
        }
        found.receipts_asked += receipts.len();
        compare_receipts(&receipts, &mut findings);
        if !findings.is_clean() {
            tracing::error!(conversation = %conversation.id, ?findings, "a conversation is not as it should be");
        }
        found.add(findings);
        Ok(())
    }

    fn expected(&self, me: Person, peer: Person) -> Expected<'_> {
        let of = |pair| self.pairs.get(&pair).map_or(&[][..], Vec::as_slice);
        Expected { mine: of((me, peer)), theirs: of((peer, me)) }
    }

    async fn history(&self, client: &Client, conversation: &Conversation) -> anyhow::Result<Vec<Seen>> {
        let mut entries = Vec::new();
        let mut from = 0;
        loop {
            let page = ask(|| client.history(conversation.id, from, Direction::Forward, PAGE)).await?;
            entries.extend(page.entries.iter().map(|entry| self.seen(entry)));
            match page.next_from {
                Some(next) if next > from => from = next,
                Some(_) => bail!("history of conversation {} does not go forward", conversation.id),
                None => return Ok(entries),
            }
        }
    }

    fn seen(&self, entry: &Entry) -> Seen {
        let message = match &entry.body {
            Body::Message { payload, .. } => self.contents.identify(payload, &self.trace),
            Body::Tombstone { .. } | Body::Notice(_) => None,
        };
        let sender = Person::parse(&entry.sender);
        Seen { sequence: entry.sequence, sender, message, time_ms: entry.time_ms }
    }

    async fn receipts(
        &self,
        client: &Client,
        conversation: &Conversation,
        peer: Person,
        entry: &Seen,
    ) -> anyhow::Result<Receipts> {
        let page = ask(|| client.receipts(conversation.id, entry.sequence, 0, None)).await?;
        let mut receipts =
            Receipts { sequence: entry.sequence, time_ms: entry.time_ms, ..Receipts::default() };
        // Exactly the peer: anybody else may not be there, and counts as nobody being there.
        if let [recipient] = page.items.as_slice()
            && Person::parse(&recipient.user) == Some(peer)
        {
            receipts.delivered_at_ms = recipient.delivered_at_ms;
            receipts.read_at_ms = recipient.read_at_ms;
        }
        Ok(receipts)
    }
}

/// Counts what a device gets that has acknowledged everything: should be nothing.
async fn backlog(inbox: &mut Inbox) -> anyhow::Result<usize> {
    let count = async {
        let mut entries = 0;
        loop {
            match inbox.next().await {
                Some(Incoming::Entry(_)) => entries += 1,
                Some(Incoming::CaughtUp) => return Ok(entries),
                Some(_) => {}
                None => bail!("the session ended before its backlog was delivered"),
            }
        }
    };
    timeout(BACKLOG_DEADLINE, count).await.context("no end of the backlog in time")?
}

/// Lists all conversations of a person.
async fn conversations(client: &Client) -> anyhow::Result<Vec<Conversation>> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page: Page<Conversation> = ask(|| client.conversations(PAGE, after.clone())).await?;
        all.extend(page.items);
        if page.next.is_none() {
            return Ok(all);
        }
        after = page.next;
    }
}

/// Asks, again if the answer was lost or the broker asked to wait.
async fn ask<T, F>(request: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, RequestError>>,
{
    for _ in 0..20 {
        match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) if is_worth_trying_again(&error) => sleep(PAUSE).await,
            Err(error) => return Err(error).context("the broker refuses to answer"),
        }
    }
    bail!("the broker does not answer")
}
