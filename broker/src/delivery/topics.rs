//! Topics: the conversations that some connected session follows.
//!
//! A topic exists while a session follows it. Whoever follows does so *before* reading the
//! conversation's head from the engine. Events are told after their commit, so what the session was
//! not told of is in what it then reads.

use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use wardline_storage::id::{ById, ConversationId, Seq, Timestamp};

use super::chunk::{Chunk, Gap};
use super::eviction::Eviction;
use super::receipts::Version;
use super::recent::Recent;
use super::subscription::{News, Subscription};
use super::tail::{Budget, Frame, Tail};
use super::topic::{ChunkCopy, TailCopy, Topic, UrgentCopy};
use super::unfollowed::AllUnfollowed;
use crate::limits::Limits;
use crate::presence::bell::Slot;

/// Locks that the topics are spread over, by their ids, which nobody chooses.
const SHARDS: usize = 64;

/// The topics, by conversation.
pub(crate) struct Topics {
    shards: Vec<Mutex<ById<ConversationId, Arc<Topic>>>>,
    budget: Arc<Budget>,
    tail_bytes_max: usize,
    eviction: Eviction,
    recent: Recent,
    /// What sessions do not follow, though their users are members.
    pub(super) unfollowed: Arc<AllUnfollowed>,
}

impl Topics {
    /// None yet, with the bounds of their tails, and of what is kept to go ahead.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            budget: Arc::new(Budget::new(limits.tails_bytes_max)),
            tail_bytes_max: limits.tail_bytes_max,
            eviction: Eviction::new(),
            recent: Recent::new(limits.ahead_bytes_max),
            unfollowed: Arc::default(),
        }
    }

    /// Tells of a new entry in a conversation that is followed. Without a frame it is read from the
    /// engine.
    pub(super) fn append(&self, topic: &Arc<Topic>, seq: Seq, frame: Option<Frame>) {
        let urgent_bytes = frame.as_ref().filter(|frame| frame.urgent).map(|frame| frame.bytes.len());
        if topic.append(seq, frame) {
            self.eviction.enter(topic);
        }
        if let Some(bytes) = urgent_bytes {
            self.recent.note(topic, seq, bytes);
        }
        self.eviction.make_room(&self.budget);
    }

    /// The topic of a conversation that some session follows.
    pub(crate) fn find(&self, conversation: ConversationId) -> Option<Arc<Topic>> {
        self.shard(conversation).lock().get(&conversation).cloned()
    }

    /// Follows a conversation: to be done before its head is read from the engine.
    pub(super) fn follow(
        self: &Arc<Self>,
        conversation: ConversationId,
        subscription: Arc<Subscription>,
    ) -> Follow {
        let mut shard = self.shard(conversation).lock();
        let topic = shard.entry(conversation).or_insert_with(|| {
            Arc::new(Topic::new(Tail::new(self.tail_bytes_max, Arc::clone(&self.budget))))
        });
        let receipts = topic.add(&subscription);
        let (topics, topic) = (Arc::clone(self), Arc::clone(topic));
        let (cursor, head) = (Seq::ZERO, Seq::ZERO);
        Follow { topics, conversation, topic, subscription, cursor, head, receipts }
    }

    fn let_go(&self, conversation: ConversationId, subscription: &Arc<Subscription>) {
        subscription.deactivate();
        let mut shard = self.shard(conversation).lock();
        if shard.get(&conversation).is_some_and(|topic| topic.remove(subscription)) {
            shard.remove(&conversation);
        }
    }

    /// Forgets expired frames at the old end of every tail.
    pub(crate) fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            let topics: Vec<_> = shard.lock().values().cloned().collect();
            for topic in topics {
                topic.sweep(now);
            }
        }
    }

    /// How many conversations are followed.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Bytes that all tails hold.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.budget.used()
    }

    fn shard(&self, conversation: ConversationId) -> &Mutex<ById<ConversationId, Arc<Topic>>> {
        let [first, second, ..] = *conversation.as_bytes();
        &self.shards[usize::from(u16::from_be_bytes([first, second])) % SHARDS]
    }
}

/// What a session holds of a topic that it follows; lets go of it when it is dropped.
pub(super) struct Follow {
    topics: Arc<Topics>,
    conversation: ConversationId,
    topic: Arc<Topic>,
    subscription: Arc<Subscription>,
    /// What lies above is to be delivered.
    cursor: Seq,
    /// How far it had got when it was followed; all up to here may be seen.
    head: Seq,
    /// Receipts up to here are delivered.
    receipts: Version,
}

impl Follow {
    /// Says where delivery begins, and how far the conversation had got.
    pub(super) fn begin(&mut self, cursor: Seq, head: Seq) {
        (self.cursor, self.head) = (cursor, head);
    }

    /// The conversation.
    pub(super) fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// Its number within the session.
    pub(super) fn slot(&self) -> Slot {
        self.subscription.slot()
    }

    /// Where delivery begins.
    pub(super) fn cursor(&self) -> Seq {
        self.cursor
    }

    /// How far the conversation had got when it was followed.
    pub(super) fn head(&self) -> Seq {
        self.head
    }

    /// Whether the user is a member still, as far as committed events were told.
    pub(super) fn is_active(&self) -> bool {
        self.subscription.is_active()
    }

    /// Takes what there is news of.
    pub(super) fn news(&self) -> News {
        self.subscription.take()
    }

    /// Notes that the session's user has published here: it wants receipts.
    pub(super) fn set_publishes(&self) {
        self.topic.note_publisher(&self.subscription);
    }

    /// What the device, which has everything up to `after`, has not got yet. `None`: nothing, or
    /// its user left.
    pub(super) fn gap(&self, after: Seq) -> Option<Gap> {
        let up_to = self.topic.head(&self.subscription)?.max(self.head);
        let (conversation, slot, withdrawals) = (self.conversation, self.slot(), self.topic.withdrawals());
        (up_to > after).then_some(Gap { conversation, slot, after, up_to, withdrawals })
    }

    /// Copies entries after `after` to `out` until that holds `fill` bytes.
    pub(super) fn copy(&self, after: Seq, now: Timestamp, fill: usize, out: &mut BytesMut) -> TailCopy {
        self.topic.copy(&self.subscription, after, now, fill, out)
    }

    /// Copies urgent entries after `after` that are in memory, until `out` holds `fill` bytes.
    pub(super) fn copy_urgent(
        &self,
        after: Seq,
        now: Timestamp,
        fill: usize,
        out: &mut BytesMut,
    ) -> UrgentCopy {
        self.topic.copy_urgent(&self.subscription, after, now, fill, out)
    }

    /// Copies a chunk that was read from the engine, if it is good still.
    pub(super) fn copy_chunk(&self, chunk: &Chunk, now: Timestamp, out: &mut BytesMut) -> ChunkCopy {
        self.copy_read(&chunk.bytes, chunk.expires, chunk.withdrawals, now, out)
    }

    /// How often the topic has withdrawn entries.
    pub(super) fn withdrawals(&self) -> u64 {
        self.topic.withdrawals()
    }

    /// Copies what was read from the engine when so much had been withdrawn, if it is good still.
    pub(super) fn copy_read(
        &self,
        read: &[u8],
        expires: Timestamp,
        withdrawals: u64,
        now: Timestamp,
        out: &mut BytesMut,
    ) -> ChunkCopy {
        if expires <= now {
            return ChunkCopy::Stale;
        }
        self.topic.copy_chunk(&self.subscription, read, withdrawals, out)
    }

    /// Copies receipts of others that are new until `out` holds `fill` bytes. Returns how many.
    pub(super) fn copy_receipts(&mut self, fill: usize, out: &mut BytesMut) -> u64 {
        let (version, copied) = self.topic.copy_receipts(&self.subscription, self.receipts, fill, out);
        self.receipts = version;
        copied
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.topics.let_go(self.conversation, &self.subscription);
    }
}
