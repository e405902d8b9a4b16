//! Topics: the conversations that some connected session follows.
//!
//! A topic has the conversation's tail, its recent receipts and the subscriptions of its sessions;
//! it exists while there is one. All that it gives out is copied under its lock, where the
//! subscription is checked: once a Left event was told, nothing leaves through that user's
//! subscriptions.
//!
//! Whoever attaches does so *before* reading the conversation's head from the engine. Events are
//! told after their commit, so what the attached session was not told of is in what it then reads.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use wardline_storage::id::{ById, ConversationId, PARTITIONS, PartitionId, Seq, Timestamp, UserId};
use wardline_storage::model::ReceiptKind;

use super::receipts::{Receipts, Version};
use super::tail::{Budget, Copied, Frame, Ring, Stamp};
use crate::presence::bell::{News, Subscription};

/// The topics, by conversation.
pub(crate) struct Topics {
    shards: Vec<Mutex<ById<ConversationId, Arc<Topic>>>>,
    budget: Arc<Budget>,
    tail_bytes_max: usize,
}

impl Topics {
    /// None yet, with the bounds of their tails.
    pub(crate) fn new(tail_bytes_max: usize, tails_bytes_max: usize) -> Self {
        let shards = (0..PARTITIONS).map(|_| Mutex::default()).collect();
        Self { shards, budget: Arc::new(Budget::new(tails_bytes_max)), tail_bytes_max }
    }

    /// The topic of a conversation that some session follows.
    pub(crate) fn find(&self, conversation: ConversationId) -> Option<Arc<Topic>> {
        self.shard(conversation).lock().get(&conversation).cloned()
    }

    /// Attaches a session. To be done before it reads the head from the engine.
    pub(crate) fn attach(
        self: &Arc<Self>,
        conversation: ConversationId,
        subscription: Arc<Subscription>,
    ) -> Attachment {
        let mut shard = self.shard(conversation).lock();
        let topic = shard.entry(conversation).or_insert_with(|| {
            let ring = Ring::new(self.tail_bytes_max, Arc::clone(&self.budget));
            Arc::new(Topic { state: RwLock::new(State::new(ring)) })
        });
        let mut state = topic.state.write();
        state.subscriptions.push(Arc::clone(&subscription));
        let attached_at = state.receipts.version();
        drop(state);
        let (topics, topic) = (Arc::clone(self), Arc::clone(topic));
        Attachment { topics, conversation, topic, subscription, attached_at }
    }

    fn detach(&self, conversation: ConversationId, subscription: &Arc<Subscription>) {
        subscription.deactivate();
        let mut shard = self.shard(conversation).lock();
        let Some(topic) = shard.get(&conversation) else { return };
        let mut state = topic.state.write();
        state.subscriptions.retain(|other| !Arc::ptr_eq(other, subscription));
        state.publishers.retain(|other| !Arc::ptr_eq(other, subscription));
        let empty = state.subscriptions.is_empty();
        drop(state);
        if empty {
            shard.remove(&conversation);
        }
    }

    /// Forgets expired frames at the old end of every tail.
    pub(crate) fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            let topics: Vec<_> = shard.lock().values().cloned().collect();
            for topic in topics {
                topic.state.write().ring.sweep(now);
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
        &self.shards[usize::from(PartitionId::of(conversation.as_bytes()).index())]
    }
}

/// A session's place in a topic; detaches when it is dropped.
pub(crate) struct Attachment {
    topics: Arc<Topics>,
    conversation: ConversationId,
    topic: Arc<Topic>,
    subscription: Arc<Subscription>,
    attached_at: Version,
}

impl Attachment {
    /// The conversation.
    pub(crate) fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// Its topic.
    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The session's tie to it.
    pub(crate) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Notes that the session's user has published here: it wants receipts.
    pub(crate) fn set_publishes(&self) {
        self.topic.state.write().note_publisher(&self.subscription);
    }

    /// The version of the receipts when it attached: only newer ones are pushed.
    pub(crate) fn attached_at(&self) -> Version {
        self.attached_at
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.topics.detach(self.conversation, &self.subscription);
    }
}

/// What a session got out of a topic's tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Frames were copied, perhaps none; `more`: there are further ones.
    Copied {
        /// How far, and how many.
        copied: Copied,
        /// Whether there was no room for all.
        more: bool,
    },
    /// The tail does not reach back so far: read from the engine.
    Behind,
    /// The user is a member no longer.
    Detached,
}

/// What became of a chunk that was read from the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkCopy {
    /// It was copied.
    Copied,
    /// Entries were withdrawn since it was read, perhaps some of its own.
    Stale,
    /// The user is a member no longer.
    Detached,
}

/// A conversation that some connected session follows.
pub(crate) struct Topic {
    state: RwLock<State>,
}

struct State {
    ring: Ring,
    /// The latest entry that was told; zero before the first.
    head: Seq,
    /// How often something that was told before was taken back: deleted, or its time cut.
    withdrawals: u64,
    receipts: Receipts,
    subscriptions: Vec<Arc<Subscription>>,
    /// Those of them whose user has published here: they are told of receipts, which are many.
    publishers: Vec<Arc<Subscription>>,
}

impl State {
    fn new(ring: Ring) -> Self {
        Self {
            ring,
            head: Seq::ZERO,
            withdrawals: 0,
            receipts: Receipts::default(),
            subscriptions: Vec::new(),
            publishers: Vec::new(),
        }
    }

    fn note_publisher(&mut self, subscription: &Arc<Subscription>) {
        if subscription.is_active() && !subscription.publishes() {
            subscription.set_publishes();
            self.publishers.push(Arc::clone(subscription));
        }
    }

    fn withdraw_through(&mut self, seq: Seq) {
        self.withdrawals += 1;
        self.ring.forget_through(seq);
    }

    fn ring_all(&self, news: News) {
        for subscription in &self.subscriptions {
            subscription.ring(news);
        }
    }
}

impl Topic {
    /// Tells of a new entry. Without a frame it is read from the engine.
    pub(crate) fn append(&self, seq: Seq, frame: Option<Frame>) {
        let mut state = self.state.write();
        state.head = state.head.max(seq);
        let urgent = frame.as_ref().is_some_and(|frame| frame.urgent);
        match frame {
            Some(frame) => state.ring.push(seq, frame),
            None => state.ring.forget_through(seq),
        }
        state.ring_all(if urgent { News::ENTRIES.and(News::URGENT) } else { News::ENTRIES });
    }

    /// Forgets the frames up to a message that was deleted.
    pub(crate) fn erase(&self, seq: Seq) {
        self.state.write().withdraw_through(seq);
    }

    /// Forgets all frames: they expire earlier than they say.
    pub(crate) fn clear(&self) {
        let mut state = self.state.write();
        let head = state.head;
        state.withdraw_through(head);
    }

    /// How often entries were withdrawn. To be asked before they are read from the engine.
    pub(crate) fn withdrawals(&self) -> u64 {
        self.state.read().withdrawals
    }

    /// Cuts off every session of a user.
    pub(crate) fn cut(&self, user: UserId) {
        let mut state = self.state.write();
        state.subscriptions.retain(|subscription| {
            if subscription.user() == user {
                subscription.deactivate();
            }
            subscription.user() != user
        });
        state.publishers.retain(|subscription| subscription.user() != user);
        state.receipts.forget(user);
    }

    /// Notes that a user published here: their sessions want receipts from now on.
    pub(crate) fn published(&self, user: UserId) {
        let mut state = self.state.write();
        let theirs: Vec<_> = state.subscriptions.iter().filter(|one| one.user() == user).cloned().collect();
        theirs.iter().for_each(|subscription| state.note_publisher(subscription));
    }

    /// Whether any session would be told of a receipt of `user`.
    pub(crate) fn wants_receipts_of(&self, user: UserId) -> bool {
        self.state.read().publishers.iter().any(|one| one.user() != user)
    }

    /// Tells of a receipt.
    pub(crate) fn receipt(&self, user: UserId, kind: ReceiptKind, frame: Bytes) {
        let mut state = self.state.write();
        state.receipts.record(user, kind, frame);
        for subscription in state.publishers.iter().filter(|one| one.user() != user) {
            subscription.ring(News::RECEIPTS);
        }
    }

    /// The latest entry that was told, if the session may still see the conversation: it may then
    /// see all up to it.
    pub(crate) fn head(&self, subscription: &Subscription) -> Option<Seq> {
        let state = self.state.read();
        subscription.is_active().then_some(state.head)
    }

    /// When an entry was published, and whether it is urgent, if it is in the tail still.
    pub(crate) fn stamp(&self, seq: Seq) -> Option<Stamp> {
        self.state.read().ring.stamp(seq)
    }

    /// Copies entries after `after` to `out` until that holds `fill` bytes.
    pub(crate) fn copy(
        &self,
        subscription: &Subscription,
        after: Seq,
        now: Timestamp,
        fill: usize,
        out: &mut BytesMut,
    ) -> Tail {
        let state = self.state.read();
        if !subscription.is_active() {
            return Tail::Detached;
        }
        if after < state.head && !state.ring.covers(after) {
            return Tail::Behind;
        }
        let copied = state.ring.copy(after, now, false, fill, out);
        Tail::Copied { copied, more: copied.through < state.head }
    }

    /// Copies urgent entries after `after` that are in the tail, until `out` holds `fill` bytes.
    /// Older ones come in their turn.
    pub(crate) fn copy_urgent(
        &self,
        subscription: &Subscription,
        after: Seq,
        now: Timestamp,
        fill: usize,
        out: &mut BytesMut,
    ) -> Copied {
        let state = self.state.read();
        if !subscription.is_active() {
            return Copied { through: after, frames: 0 };
        }
        state.ring.copy(after, now, true, fill, out)
    }

    /// Copies a chunk that was read from the engine when so much had been withdrawn.
    pub(crate) fn copy_chunk(
        &self,
        subscription: &Subscription,
        chunk: &[u8],
        withdrawals: u64,
        out: &mut BytesMut,
    ) -> ChunkCopy {
        let state = self.state.read();
        if !subscription.is_active() {
            return ChunkCopy::Detached;
        }
        if state.withdrawals != withdrawals {
            return ChunkCopy::Stale;
        }
        out.extend_from_slice(chunk);
        ChunkCopy::Copied
    }

    /// Copies receipts of others that are newer than `after`. Returns the version up to which was
    /// looked.
    pub(crate) fn copy_receipts(
        &self,
        subscription: &Subscription,
        after: Version,
        fill: usize,
        out: &mut BytesMut,
    ) -> (Version, u64) {
        let state = self.state.read();
        if !subscription.is_active() || !subscription.publishes() {
            return (state.receipts.version(), 0);
        }
        state.receipts.copy(subscription.user(), after, fill, out)
    }
}

#[cfg(test)]
mod tests {
    use wardline_storage::id::UserId;

    use super::*;
    use crate::presence::bell::{Bell, Slot};

    /// A chunk may wait for a slow client when something in it is deleted, or its time is cut.
    #[test]
    fn a_chunk_that_was_read_before_a_withdrawal_is_stale() {
        let topics = Arc::new(Topics::new(1024, 1024));
        let user = UserId::new([1; 16]);
        let subscription = Arc::new(Subscription::new(user, Slot(0), Arc::new(Bell::new(1))));
        let attachment = topics.attach(ConversationId::new([2; 16]), subscription);
        let (topic, subscription) = (attachment.topic(), attachment.subscription());
        let mut out = BytesMut::new();
        let withdrawals: [fn(&Topic); 2] = [|topic| topic.erase(Seq(3)), Topic::clear];
        for withdraw in withdrawals {
            let before = topic.withdrawals();
            topic.append(Seq(4), None);
            assert_eq!(topic.copy_chunk(subscription, b"chunk", before, &mut out), ChunkCopy::Copied);
            out.clear();
            withdraw(topic);
            assert_eq!(topic.copy_chunk(subscription, b"chunk", before, &mut out), ChunkCopy::Stale);
            assert!(out.is_empty());
        }
        topic.cut(user);
        let now = topic.withdrawals();
        assert_eq!(topic.copy_chunk(subscription, b"chunk", now, &mut out), ChunkCopy::Detached);
    }
}
