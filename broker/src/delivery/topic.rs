//! A topic: a conversation that some connected session follows.
//!
//! It has the conversation's tail, its recent receipts and the subscriptions of its sessions. All
//! that it gives out is copied under its lock, where the subscription is checked: once a Left event
//! was told, nothing leaves through that user's subscriptions.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;
use wardline_storage::id::{Seq, Timestamp, UserId};
use wardline_storage::model::ReceiptKind;

use super::ahead::Ahead;
use super::receipts::{Receipts, Version};
use super::subscription::{News, Subscription};
use super::tail::{Copied, Frame, Stamp, Tail};

/// What a session got out of a topic's tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TailCopy {
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
    Left,
}

/// What a session got out of a topic's urgent messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UrgentCopy {
    /// How far, and how many.
    pub(crate) copied: Copied,
    /// The last one that is not in memory any more, and was not looked at: to be read from the
    /// engine.
    pub(crate) lost: Option<Seq>,
}

/// What became of a chunk that was read from the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkCopy {
    /// It was copied.
    Copied,
    /// Entries were withdrawn since it was read, perhaps some of its own.
    Stale,
    /// The user is a member no longer.
    Left,
}

/// A conversation that some connected session follows.
pub(crate) struct Topic {
    inside: RwLock<Inside>,
}

/// What a topic has.
struct Inside {
    tail: Tail,
    /// Whether it stands in the line of those whose tail may have to give way.
    in_line: bool,
    ahead: Ahead,
    /// The latest entry that was told; zero before the first.
    head: Seq,
    /// How often something that was told before was taken back: deleted, or its time cut.
    withdrawals: u64,
    receipts: Receipts,
    subscriptions: Vec<Arc<Subscription>>,
    /// Those of them whose user has published here: they are told of receipts, which are many.
    publishers: Vec<Arc<Subscription>>,
}

impl Inside {
    fn new(tail: Tail) -> Self {
        Self {
            tail,
            in_line: false,
            ahead: Ahead::default(),
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
        self.tail.forget_through(seq);
        self.ahead.forget_through(seq);
    }

    fn ring_all(&self, news: News) {
        for subscription in &self.subscriptions {
            subscription.ring(news);
        }
    }
}

impl Topic {
    /// Nobody follows it yet.
    pub(super) fn new(tail: Tail) -> Self {
        Self { inside: RwLock::new(Inside::new(tail)) }
    }

    /// Adds a session; the version of the receipts then: only newer ones are for it.
    pub(super) fn add(&self, subscription: &Arc<Subscription>) -> Version {
        let mut inside = self.inside.write();
        inside.subscriptions.push(Arc::clone(subscription));
        inside.receipts.version()
    }

    /// Removes a session; whether it was the last.
    pub(super) fn remove(&self, subscription: &Arc<Subscription>) -> bool {
        let mut inside = self.inside.write();
        inside.subscriptions.retain(|other| !Arc::ptr_eq(other, subscription));
        inside.publishers.retain(|other| !Arc::ptr_eq(other, subscription));
        inside.subscriptions.is_empty()
    }

    /// Notes that a session's user has published here: it wants receipts.
    pub(super) fn note_publisher(&self, subscription: &Arc<Subscription>) {
        self.inside.write().note_publisher(subscription);
    }

    /// Forgets expired frames at the old end of the tail.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.inside.write().tail.sweep(now);
    }

    /// Tells of a new entry. Without a frame it is read from the engine. Whether the tail holds
    /// frames now, and did not before.
    pub(crate) fn append(&self, seq: Seq, frame: Option<Frame>) -> bool {
        let mut inside = self.inside.write();
        inside.head = inside.head.max(seq);
        let urgent = frame.as_ref().is_some_and(|frame| frame.urgent);
        match frame {
            Some(frame) => {
                if urgent {
                    inside.ahead.push(seq, frame.clone());
                }
                inside.tail.push(seq, frame);
            }
            None => inside.tail.forget_through(seq),
        }
        inside.ring_all(if urgent { News::ENTRIES.and(News::URGENT) } else { News::ENTRIES });
        let enters = !inside.in_line && !inside.tail.is_empty();
        inside.in_line |= enters;
        enters
    }

    /// Forgets the older half of the tail; whether it still holds frames, and stays in line.
    pub(super) fn halve_tail(&self) -> bool {
        let mut inside = self.inside.write();
        inside.tail.halve();
        inside.in_line = !inside.tail.is_empty();
        inside.in_line
    }

    /// Forgets the urgent messages up to `seq` that are kept to go ahead.
    pub(super) fn forget_ahead(&self, seq: Seq) {
        self.inside.write().ahead.forget_through(seq);
    }

    /// Forgets the frames up to a message that was deleted.
    pub(crate) fn erase(&self, seq: Seq) {
        self.inside.write().withdraw_through(seq);
    }

    /// Forgets all frames: they expire earlier than they say.
    pub(crate) fn clear(&self) {
        let mut inside = self.inside.write();
        let head = inside.head;
        inside.withdraw_through(head);
    }

    /// How often entries were withdrawn. To be asked before they are read from the engine.
    pub(crate) fn withdrawals(&self) -> u64 {
        self.inside.read().withdrawals
    }

    /// Cuts off every session of a user.
    pub(crate) fn cut(&self, user: UserId) {
        let mut inside = self.inside.write();
        inside.subscriptions.retain(|subscription| {
            if subscription.user() == user {
                subscription.deactivate();
            }
            subscription.user() != user
        });
        inside.publishers.retain(|subscription| subscription.user() != user);
        inside.receipts.forget(user);
    }

    /// Notes that a user published here: their sessions want receipts from now on.
    pub(crate) fn published(&self, user: UserId) {
        let mut inside = self.inside.write();
        let theirs: Vec<_> = inside.subscriptions.iter().filter(|one| one.user() == user).cloned().collect();
        theirs.iter().for_each(|subscription| inside.note_publisher(subscription));
    }

    /// Whether any session would be told of a receipt of `user`.
    pub(crate) fn wants_receipts_of(&self, user: UserId) -> bool {
        self.inside.read().publishers.iter().any(|one| one.user() != user)
    }

    /// Tells of a receipt.
    pub(crate) fn receipt(&self, user: UserId, kind: ReceiptKind, frame: Bytes) {
        let mut inside = self.inside.write();
        inside.receipts.record(user, kind, frame);
        for subscription in inside.publishers.iter().filter(|one| one.user() != user) {
            subscription.ring(News::RECEIPTS);
        }
    }

    /// The latest entry that was told, if the session may still see the conversation: it may then
    /// see all up to it.
    pub(crate) fn head(&self, subscription: &Subscription) -> Option<Seq> {
        let inside = self.inside.read();
        subscription.is_active().then_some(inside.head)
    }

    /// When an entry was published, and whether it is urgent, if it is in the tail still.
    pub(crate) fn stamp(&self, seq: Seq) -> Option<Stamp> {
        self.inside.read().tail.stamp(seq)
    }

    /// Copies entries after `after` to `out` until that holds `fill` bytes.
    pub(crate) fn copy(
        &self,
        subscription: &Subscription,
        after: Seq,
        now: Timestamp,
        fill: usize,
        out: &mut BytesMut,
    ) -> TailCopy {
        let inside = self.inside.read();
        if !subscription.is_active() {
            return TailCopy::Left;
        }
        if after < inside.head && !inside.tail.covers(after) {
            return TailCopy::Behind;
        }
        let copied = inside.tail.copy(after, now, fill, out);
        TailCopy::Copied { copied, more: copied.through < inside.head }
    }

    /// Copies urgent entries after `after` that are in memory, until `out` holds `fill` bytes.
    pub(crate) fn copy_urgent(
        &self,
        subscription: &Subscription,
        after: Seq,
        now: Timestamp,
        fill: usize,
        out: &mut BytesMut,
    ) -> UrgentCopy {
        let inside = self.inside.read();
        if !subscription.is_active() {
            return UrgentCopy { copied: Copied { through: after, frames: 0 }, lost: None };
        }
        let copied = inside.ahead.copy(after, inside.head, now, fill, out);
        UrgentCopy { copied, lost: inside.ahead.lost_after(after) }
    }

    /// Copies a chunk that was read from the engine when so much had been withdrawn.
    pub(crate) fn copy_chunk(
        &self,
        subscription: &Subscription,
        chunk: &[u8],
        withdrawals: u64,
        out: &mut BytesMut,
    ) -> ChunkCopy {
        let inside = self.inside.read();
        if !subscription.is_active() {
            return ChunkCopy::Left;
        }
        if inside.withdrawals != withdrawals {
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
        let inside = self.inside.read();
        if !subscription.is_active() || !subscription.publishes() {
            return (inside.receipts.version(), 0);
        }
        inside.receipts.copy(subscription.user(), after, fill, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tail::Budget;
    use crate::presence::bell::{Bell, Slot};

    /// A chunk may wait for a slow client when something in it is deleted, or its time is cut.
    #[test]
    fn a_chunk_that_was_read_before_a_withdrawal_is_stale() {
        let topic = Topic::new(Tail::new(1024, Arc::new(Budget::new(1024))));
        let user = UserId::new([1; 16]);
        let subscription = &Arc::new(Subscription::new(user, Slot(0), Arc::new(Bell::new(1))));
        topic.add(subscription);
        let mut out = BytesMut::new();
        let withdrawals: [fn(&Topic); 2] = [|topic| topic.erase(Seq(3)), Topic::clear];
        for withdraw in withdrawals {
            let before = topic.withdrawals();
            topic.append(Seq(4), None);
            assert_eq!(topic.copy_chunk(subscription, b"chunk", before, &mut out), ChunkCopy::Copied);
            out.clear();
            withdraw(&topic);
            assert_eq!(topic.copy_chunk(subscription, b"chunk", before, &mut out), ChunkCopy::Stale);
            assert!(out.is_empty());
        }
        topic.cut(user);
        let now = topic.withdrawals();
        assert_eq!(topic.copy_chunk(subscription, b"chunk", now, &mut out), ChunkCopy::Left);
    }
}
