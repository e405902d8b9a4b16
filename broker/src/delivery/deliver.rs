//! Delivery: what happens in a device's conversations, onto its two lanes.
//!
//! One task a session. It waits for the bell, copies what there is into a lane's buffer, and writes
//! that at once; while a write waits for the client nothing is gathered, so a slow client is only
//! further behind. One read of the store is under way at a time: a new membership, a page of the
//! beginning, or a chunk of a backlog.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wardline_storage::id::{ConversationId, Seq};

use super::catch_up::{self, Follower};
use super::chunk::Chunk;
use super::deliveries::Deliveries;
use super::job::{self, Done, Job};
use super::lane::{DeliveryLane, Gone};
use super::progress::{Extent, Next, Progress};
use super::subscription::News;
use super::topic::{ChunkCopy, TailCopy};
use super::topics::Follow;
use crate::metrics::Held;
use crate::presence::bell::{Change, Slot};
use crate::presence::registry::{Present, SessionId};
use crate::refusal::{Code, Refusal};
use crate::turns::Task;
use crate::wire;

/// Most bytes of one conversation's tail before the next conversation has its turn.
const TURN_BYTES: usize = 8 * 1024;
/// What is urgent is sent first.
const URGENT_PRIORITY: i32 = 1;
const ORDERED_PRIORITY: i32 = 0;
/// A client that takes nothing for so long is counted as stalled.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Delivers to a session until it ends.
pub(crate) async fn run(
    all: Arc<Deliveries>,
    to: Present,
    connection: quinn::Connection,
    driver: Arc<Task>,
    resume: HashMap<ConversationId, Seq>,
) {
    let ending = Arc::clone(&to.ending);
    let mut delivery = Delivery::new(all, to, driver, resume);
    tokio::select! {
        () = ending.ended() => {}
        ended = delivery.run(&connection) => match ended {
            Some(refusal) => ending.end(refusal),
            None => ending.gone(),
        },
    }
}

struct Delivery {
    all: Arc<Deliveries>,
    /// Names the session in the text log.
    session: SessionId,
    driver: Arc<Task>,
    follower: Follower,
    progress: Progress,
    follows: HashMap<Slot, Follow>,
    slots: HashMap<ConversationId, Slot>,
    next_slot: Slot,
    /// Where the device says that it stands; used up as its conversations are followed.
    resume: HashMap<ConversationId, Seq>,
    /// After which conversation the next page of the beginning goes on; `None`: no further page.
    loading: Option<Option<ConversationId>>,
    joining: BTreeSet<ConversationId>,
    urgent_news: BTreeSet<Slot>,
    receipt_news: BTreeSet<Slot>,
    receipts_due: Option<Instant>,
    job: Option<Job>,
    chunk: Option<Chunk>,
    ordered: DeliveryLane,
    urgent: DeliveryLane,
    /// The client takes nothing.
    stalled: Option<Held>,
    /// There is something to be read from the store.
    behind: Option<Held>,
}

impl Delivery {
    fn new(
        all: Arc<Deliveries>,
        to: Present,
        driver: Arc<Task>,
        resume: HashMap<ConversationId, Seq>,
    ) -> Self {
        let Present { id, actor, bell, .. } = to;
        Self {
            follower: Follower { user: actor.user, device: actor.device, bell },
            progress: Progress::new(all.limits.write_bytes),
            all,
            session: id,
            driver,
            follows: HashMap::new(),
            slots: HashMap::new(),
            next_slot: Slot(0),
            resume,
            loading: Some(None),
            joining: BTreeSet::new(),
            urgent_news: BTreeSet::new(),
            receipt_news: BTreeSet::new(),
            receipts_due: None,
            job: None,
            chunk: None,
            ordered: DeliveryLane::new(wire::ordered_header, ORDERED_PRIORITY),
            urgent: DeliveryLane::new(wire::urgent_header, URGENT_PRIORITY),
            stalled: None,
            behind: None,
        }
    }

    /// Runs until the session has to end; `None`: the client is gone.
    async fn run(&mut self, connection: &quinn::Connection) -> Option<Refusal> {
        let write_timeout = self.all.limits.write_timeout;
        loop {
            if let Err(refusal) = self.absorb() {
                return Some(refusal);
            }
            self.start_job();
            self.fill();
            // A chunk that was just taken makes room for the next one to be read while this one is
            // written.
            self.start_job();
            self.note_behind();
            let waiting_since = self.waiting_since();
            let patience =
                if self.stalled.is_none() { STALLED_AFTER.min(write_timeout) } else { write_timeout };
            let patience = waiting_since.map(|since| since + patience);
            let receipts_due = self.receipts_due.filter(|_| !self.ordered.is_pending());
            let (ordered, urgent) = (&mut self.ordered, &mut self.urgent);
            tokio::select! {
                written = urgent.flush(connection), if urgent.is_pending() => match written {
                    Ok(()) => {}
                    Err(Gone) => return None,
                },
                written = ordered.flush(connection), if ordered.is_pending() => match written {
                    Ok(()) => {}
                    Err(Gone) => return None,
                },
                done = job::finished(&mut self.job), if self.job.is_some() => {
                    self.job = None;
                    match done {
                        Ok(done) => self.done(done),
                        Err(refusal) => return Some(refusal),
                    }
                }
                () = self.follower.bell.wait() => {}
                () = until(receipts_due), if receipts_due.is_some() => {}
                () = until(patience), if patience.is_some() => {
                    // Something may have been taken since patience began.
                    let owed = self.waiting_since().map_or(Duration::ZERO, |since| since.elapsed());
                    if owed >= write_timeout {
                        let text = "a delivery lane was left unread for too long";
                        return Some(Refusal::new(Code::SlowReader, text));
                    }
                    if owed >= STALLED_AFTER && self.stalled.is_none() {
                        self.stalled = Some(Held::new(&self.all.metrics.sessions_stalled));
                    }
                }
            }
        }
    }

    /// Since when the client has been taking nothing of what waits for it. One that takes something
    /// again is not stalled.
    fn waiting_since(&mut self) -> Option<Instant> {
        let since = [&self.urgent, &self.ordered].into_iter().filter_map(DeliveryLane::waiting_since).min();
        if self.stalled.is_some() && since.is_none_or(|since| since.elapsed() < STALLED_AFTER) {
            self.stalled = None;
        }
        since
    }

    fn note_behind(&mut self) {
        let is_behind = self.progress.is_behind();
        if is_behind != self.behind.is_some() {
            self.behind = is_behind.then(|| Held::new(&self.all.metrics.sessions_behind));
        }
    }

    /// Takes in what the bell was rung for.
    fn absorb(&mut self) -> Result<(), Refusal> {
        let rung = self.follower.bell.take();
        for slot in rung.slots {
            self.hear(slot);
        }
        for (conversation, change) in rung.changes {
            match change {
                Change::Joined => {
                    self.joining.insert(conversation);
                }
                Change::Left => {
                    self.joining.remove(&conversation);
                    if self.unfollow(conversation) {
                        wire::left(conversation, self.ordered.buffer());
                    }
                }
            }
        }
        let limits = &self.all.limits;
        if rung.overflow || self.joining.len() > limits.conversations_max {
            let text = "more memberships changed at once than a session takes in";
            return Err(Refusal::new(Code::Retry, text).after(limits.retry_after));
        }
        Ok(())
    }

    /// Takes what there is news of in a conversation. One that is not followed yet keeps it until
    /// it is.
    fn hear(&mut self, slot: Slot) {
        let Some(follow) = self.follows.get(&slot) else { return };
        let news = follow.news();
        if news.has(News::ENTRIES) {
            self.progress.news(slot);
        }
        if news.has(News::URGENT) {
            self.urgent_news.insert(slot);
        }
        if news.has(News::RECEIPTS) {
            self.receipt_news.insert(slot);
            let delay = self.all.limits.receipt_delay;
            self.receipts_due.get_or_insert_with(|| Instant::now() + delay);
        }
    }

    fn unfollow(&mut self, conversation: ConversationId) -> bool {
        let Some(slot) = self.slots.remove(&conversation) else { return false };
        self.follows.remove(&slot);
        self.progress.unfollow(slot);
        self.urgent_news.remove(&slot);
        self.receipt_news.remove(&slot);
        if self.chunk.as_ref().is_some_and(|chunk| chunk.slot == slot) {
            self.chunk = None;
        }
        true
    }

    fn follow(&mut self, follow: Follow) {
        let known = self.slots.contains_key(&follow.conversation());
        let full = self.follows.len() >= self.all.limits.conversations_max;
        if known || full || !follow.is_active() {
            return;
        }
        let slot = follow.slot();
        self.slots.insert(follow.conversation(), slot);
        self.progress.follow(slot, follow.cursor(), follow.head());
        self.follows.insert(slot, follow);
        // The bell may have been rung for it, and not heard, between its being followed and now.
        self.hear(slot);
    }

    /// Begins the next read of the store, if there is one to do.
    fn start_job(&mut self) {
        if self.job.is_some() {
            return;
        }
        if let Some(conversation) = self.joining.pop_first() {
            self.job = Some(self.join_job(conversation));
        } else if let Some(after) = self.loading.take() {
            self.job = Some(self.page_job(after));
        } else if self.chunk.is_none() {
            self.job = self.chunk_job();
        }
    }

    fn join_job(&mut self, conversation: ConversationId) -> Job {
        let follows = self.slots.get(&conversation).is_some_and(|slot| self.follows[slot].is_active());
        if !follows {
            self.unfollow(conversation);
        }
        let slot = (!follows).then(|| self.reserve_slots(1));
        let resume = self.resume.remove(&conversation);
        job::join(Arc::clone(&self.all), self.follower.clone(), conversation, slot, resume)
    }

    fn page_job(&mut self, after: Option<ConversationId>) -> Job {
        let first = self.reserve_slots(catch_up::PAGE_CONVERSATIONS as u64);
        job::page(Arc::clone(&self.all), self.follower.clone(), after, first, self.resume.clone())
    }

    fn chunk_job(&mut self) -> Option<Job> {
        loop {
            let (slot, after) = self.progress.next_read()?;
            if let Some(gap) = self.follows.get(&slot).and_then(|follow| follow.gap(after)) {
                self.all.metrics.lag_entries.record((gap.up_to.0 - after.0) as f64);
                return Some(job::chunk(Arc::clone(&self.all), self.follower.user, gap));
            }
            // The user left, or there is nothing beyond: the tail says the rest.
            self.progress.chunk_sent(slot, after, 0, false);
        }
    }

    fn reserve_slots(&mut self, count: u64) -> Slot {
        let first = self.next_slot;
        self.next_slot = Slot(first.0 + count);
        first
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Chunk(chunk) => {
                if self.follows.contains_key(&chunk.slot) {
                    self.chunk = Some(chunk);
                }
            }
            Done::Joined(follow, summary) => {
                if let Some(summary) = summary {
                    wire::joined(*summary, self.ordered.buffer());
                }
                if let Some(follow) = follow {
                    self.follow(follow);
                }
            }
            Done::Page(page) => {
                for follow in page.follows {
                    self.follow(follow);
                }
                let full = self.follows.len() >= self.all.limits.conversations_max;
                match page.next {
                    Some(next) if !full => self.loading = Some(Some(next)),
                    next => {
                        if next.is_some() {
                            tracing::warn!(code = "follows-too-many", session = %self.session, "follows as many conversations as it may");
                        }
                        self.resume = HashMap::new();
                        self.progress.loaded();
                    }
                }
            }
        }
    }

    /// Gathers what can be written now.
    fn fill(&mut self) {
        if !self.urgent.is_pending() {
            self.fill_urgent();
        }
        if !self.ordered.is_pending() {
            self.fill_ordered();
        }
        self.fill_receipts();
        if let Some(entries) = self.progress.caught_up() {
            wire::caught_up(entries, self.ordered.buffer());
        }
        self.urgent.shrink();
        self.ordered.shrink();
    }

    fn fill_urgent(&mut self) {
        let (all, fill) = (&self.all, self.all.limits.write_bytes);
        let out = self.urgent.buffer();
        while out.len() < fill {
            let Some(slot) = self.urgent_news.pop_first() else { break };
            let (Some(follow), Some(after)) = (self.follows.get(&slot), self.progress.urgent_after(slot))
            else {
                continue;
            };
            let copied = follow.copy_urgent(after, all.reads.now(), fill, out);
            self.progress.urgent_sent(slot, copied.through);
            all.metrics.deliveries_urgent.increment(copied.frames);
            if out.len() >= fill {
                self.urgent_news.insert(slot);
            }
        }
        if self.urgent.is_pending() {
            self.driver.hurry();
        }
    }

    fn fill_ordered(&mut self) {
        let fill = self.all.limits.write_bytes;
        loop {
            match self.progress.next(self.chunk.is_some()) {
                Next::Nothing => break,
                Next::Chunk => self.put_chunk(),
                Next::Tail(slot, after) => self.put_tail(slot, after, fill),
            }
            if self.ordered.buffer().len() >= fill {
                break;
            }
        }
    }

    fn put_tail(&mut self, slot: Slot, after: Seq, fill: usize) {
        let Some(follow) = self.follows.get(&slot) else { return };
        let (all, out) = (&self.all, self.ordered.buffer());
        let before = out.len();
        let fill = fill.min(before + TURN_BYTES);
        match follow.copy(after, all.reads.now(), fill, out) {
            // The bell tells of it as well.
            TailCopy::Left => {}
            TailCopy::Behind => self.progress.copied(slot, after, 0, 0, Extent::Behind),
            TailCopy::Copied { copied, more } => {
                all.metrics.deliveries_tail.increment(copied.frames);
                let extent = if more { Extent::More } else { Extent::All };
                self.progress.copied(slot, copied.through, copied.frames, out.len() - before, extent);
            }
        }
    }

    fn put_chunk(&mut self) {
        let Some(chunk) = self.chunk.take() else { return };
        let Some(follow) = self.follows.get(&chunk.slot) else { return };
        let all = &self.all;
        match follow.copy_chunk(&chunk, all.reads.now(), self.ordered.buffer()) {
            ChunkCopy::Copied => {
                all.metrics.deliveries_engine.increment(chunk.frames);
                self.progress.chunk_sent(chunk.slot, chunk.through, chunk.frames, chunk.more);
            }
            ChunkCopy::Stale => self.progress.read_again(chunk.slot),
            ChunkCopy::Left => {}
        }
    }

    /// Receipts ride along with entries, or go when they have waited long enough.
    fn fill_receipts(&mut self) {
        let due = self.receipts_due.is_some_and(|due| due <= Instant::now());
        if self.receipt_news.is_empty() || !(due || self.ordered.is_pending()) {
            return;
        }
        let fill = self.all.limits.write_bytes;
        let out = self.ordered.buffer();
        while out.len() < fill {
            let Some(slot) = self.receipt_news.pop_first() else { break };
            let Some(follow) = self.follows.get_mut(&slot) else { continue };
            let copied = follow.copy_receipts(fill, out);
            self.all.metrics.receipts_pushed.increment(copied);
            if out.len() >= fill {
                self.receipt_news.insert(slot);
            }
        }
        if self.receipt_news.is_empty() {
            self.receipts_due = None;
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
