//! Delivery: what happens in a device's conversations, onto its two lanes.
//!
//! One task a session. It waits for the bell, copies what there is into a lane's buffer, and writes
//! that at once; while a write waits for the client nothing is gathered, so a slow client is only
//! further behind. One read of the store is under way at a time: a new membership, a page of the
//! memberships, or a chunk of a backlog; and beside it one of urgent messages, which nothing else
//! holds up.

mod fill;
mod jobs;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wardline_storage::id::{ConversationId, Seq};

use super::calling::Called;
use super::calls::{self, Call, Calls};
use super::catch_up::{Follower, Found};
use super::chunk::Chunk;
use super::deliveries::Deliveries;
use super::following::{Following, Place};
use super::job::{self, Job};
use super::lane::{DeliveryLane, Gone};
use super::progress::Progress;
use super::subscription::News;
use crate::metrics::Held;
use crate::presence::bell::{Change, Slot};
use crate::presence::registry::{Present, SessionId};
use crate::refusal::{Code, Refusal};
use crate::turns::Task;
use crate::wire;

/// What is urgent is sent first.
const URGENT_PRIORITY: i32 = 1;
const ORDERED_PRIORITY: i32 = 0;
/// So many new memberships may wait in any case, before all are looked at anew.
const JOINING_MIN: usize = 256;
/// While so many writes wait to be read, no further change of membership is told.
const TOLD_WRITES: usize = 4;
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
    following: Following,
    /// Where the device says that it stands; used up as its conversations are followed.
    resume: HashMap<ConversationId, Seq>,
    /// After which conversation the next page of the beginning goes on; `None`: no further page.
    loading: Option<Option<ConversationId>>,
    /// All memberships were looked at once.
    begun: bool,
    joining: BTreeSet<ConversationId>,
    /// The last read of the store was for a new membership: something else is next.
    joined_last: bool,
    /// Where to look for urgent messages in the store.
    calls: Calls,
    /// What was read of them.
    called: Option<Called>,
    /// Of conversations that are not followed: up to where they were called.
    called_through: HashMap<ConversationId, Seq>,
    call_job: Option<Job>,
    /// The urgent messages that waited when the session began are sent: the rest may follow.
    called_first: bool,
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
    /// There are conversations that are not followed.
    partial: Option<Held>,
}

impl Delivery {
    fn new(
        all: Arc<Deliveries>,
        to: Present,
        driver: Arc<Task>,
        resume: HashMap<ConversationId, Seq>,
    ) -> Self {
        let Present { id, actor, bell, .. } = to;
        let unfollowed = Arc::clone(&all.topics.unfollowed);
        Self {
            following: Following::new(all.limits.conversations_max, unfollowed, Arc::clone(&bell)),
            follower: Follower { tenant: actor.tenant, user: actor.user, device: actor.device, bell },
            progress: Progress::new(all.limits.write_bytes),
            all,
            session: id,
            driver,
            resume,
            loading: Some(None),
            begun: false,
            joining: BTreeSet::new(),
            joined_last: false,
            calls: Calls::default(),
            called: None,
            called_through: HashMap::new(),
            call_job: None,
            called_first: false,
            urgent_news: BTreeSet::new(),
            receipt_news: BTreeSet::new(),
            receipts_due: None,
            job: None,
            chunk: None,
            ordered: DeliveryLane::new(wire::ordered_header, ORDERED_PRIORITY),
            urgent: DeliveryLane::new(wire::urgent_header, URGENT_PRIORITY),
            stalled: None,
            behind: None,
            partial: None,
        }
    }

    /// Runs until the session has to end; `None`: the client is gone.
    async fn run(&mut self, connection: &quinn::Connection) -> Option<Refusal> {
        let write_timeout = self.all.limits.write_timeout;
        loop {
            self.absorb();
            self.start_job();
            self.fill();
            // A chunk that was just taken makes room for the next one to be read while this one is
            // written.
            self.start_job();
            self.note_state();
            let patience = self.patience(write_timeout);
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
                done = job::finished(&mut self.call_job), if self.call_job.is_some() => {
                    self.call_job = None;
                    match done {
                        Ok(done) => self.done(done),
                        Err(refusal) => return Some(refusal),
                    }
                }
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
                    if elapsed(self.owing_since()) >= write_timeout {
                        let text = "a delivery lane was left unread for too long, or was read too slowly";
                        return Some(Refusal::new(Code::SlowReader, text));
                    }
                    if elapsed(self.waiting_since()) >= STALLED_AFTER && self.stalled.is_none() {
                        self.stalled = Some(Held::new(&self.all.metrics.sessions_stalled));
                    }
                }
            }
        }
    }

    /// Until when nothing need be said of how the client takes what waits for it.
    fn patience(&mut self, write_timeout: Duration) -> Option<Instant> {
        let stalls = self.waiting_since().map(|since| since + STALLED_AFTER);
        let stalls = stalls.filter(|_| self.stalled.is_none());
        let owes = self.owing_since().map(|since| since + write_timeout);
        stalls.into_iter().chain(owes).min()
    }

    /// Since when the client has been owing its least pace.
    fn owing_since(&self) -> Option<Instant> {
        [&self.urgent, &self.ordered].into_iter().filter_map(DeliveryLane::owing_since).min()
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

    fn note_state(&mut self) {
        let (is_behind, is_partial) = (self.progress.is_behind(), self.following.not_followed() > 0);
        if is_behind != self.behind.is_some() {
            self.behind = is_behind.then(|| Held::new(&self.all.metrics.sessions_behind));
        }
        if is_partial != self.partial.is_some() {
            self.partial = is_partial.then(|| Held::new(&self.all.metrics.sessions_partial));
        }
    }

    /// Whether more of memberships may be told: to a client that reads nothing as little waits as
    /// of entries, however often it joins and leaves.
    fn has_room_to_tell(&self) -> bool {
        self.ordered.waiting_bytes() < TOLD_WRITES * self.all.limits.write_bytes
    }

    /// Takes in what the bell was rung for.
    fn absorb(&mut self) {
        let bell = &self.follower.bell;
        let rung = if self.has_room_to_tell() { bell.take() } else { bell.take_news() };
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
                    if self.unfollow(conversation) || self.following.passed_over_left() {
                        wire::left(conversation, self.ordered.buffer());
                    }
                }
            }
        }
        for conversation in rung.calls {
            // Its own subscription tells of what is followed.
            if self.following.of(conversation).is_none() {
                let floor = self.called_through.get(&conversation).copied().unwrap_or(Seq::ZERO);
                self.calls.put(Call::between(conversation, floor, Seq::MAX));
            }
        }
        let joins_too_many = self.joining.len() > self.all.limits.conversations_max.max(JOINING_MIN);
        if rung.changes_overflow || joins_too_many {
            self.joining.clear();
            self.let_abandoned_go();
            self.look_again();
        } else if rung.calls_overflow {
            self.look_again();
        }
    }

    /// Tells of conversations that the user left, which was not heard.
    fn let_abandoned_go(&mut self) {
        for conversation in self.following.abandoned() {
            self.unfollow(conversation);
            wire::left(conversation, self.ordered.buffer());
        }
    }

    /// More happened than is kept: looks at all memberships anew. Nobody is cut off by being
    /// invited to much at once.
    fn look_again(&mut self) {
        self.following.count_again();
        self.loading = Some(None);
    }

    /// Takes what there is news of in a conversation. One that is not followed yet keeps it until
    /// it is.
    fn hear(&mut self, slot: Slot) {
        let Some(follow) = self.following.get(slot) else { return };
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
        let Some(slot) = self.following.remove(conversation) else { return false };
        self.let_go(slot);
        true
    }

    fn let_go(&mut self, slot: Slot) {
        self.progress.unfollow(slot);
        self.urgent_news.remove(&slot);
        self.receipt_news.remove(&slot);
        if self.chunk.as_ref().is_some_and(|chunk| chunk.slot == slot) {
            self.chunk = None;
        }
    }

    /// Follows what was found, as far as there is room, and looks for urgent messages that wait in
    /// it. What came of it.
    fn follow(&mut self, found: Found, resume: Option<Seq>) -> Place {
        let (conversation, active) = (found.follow.conversation(), found.active);
        let (cursor, head) = (found.follow.cursor(), found.follow.head());
        let place = self.following.place(found, !self.begun);
        let slot = match place {
            Place::Same => return place,
            Place::None(passed) => {
                if cursor < head || passed.is_called {
                    self.calls.put(Call { resume, ..Call::at_all(conversation, active, usize::MAX) });
                }
                return place;
            }
            Place::Followed(slot) => slot,
            Place::Instead(slot, passed) => {
                let is_called = passed.is_called || self.urgent_news.contains(&passed.slot);
                self.let_go(passed.slot);
                if is_called {
                    self.calls.put(Call::between(passed.conversation, Seq::ZERO, Seq::MAX));
                }
                slot
            }
        };
        self.progress.follow(slot, cursor, head);
        // The bell may have been rung for it, and not heard, between its being followed and now.
        self.hear(slot);
        if cursor < head {
            let all = Call::at_all(conversation, active, calls::AHEAD_MAX);
            self.calls.put(Call { resume, below: head.next(), ..all });
        }
        place
    }
}

fn elapsed(since: Option<Instant>) -> Duration {
    since.map_or(Duration::ZERO, |since| since.elapsed())
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
