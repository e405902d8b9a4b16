//! The bell of a session: "conversation C has news", without saying what.
//!
//! Ringing never blocks and queues nothing: a conversation is marked at most once until the session
//! looks, and the session then reads after its own cursors. So a slow session costs a bounded
//! amount, however much happens.
//!
//! Urgent news lets the session have its turn before all others ([`turns`](crate::turns)).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;
use wardline_storage::id::{ConversationId, UserId};

use crate::turns::Task;

/// A conversation's number within one session. Never used twice in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u64);

/// What happened to the session's user in a conversation; the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// They became a member.
    Joined,
    /// They are a member no longer.
    Left,
}

/// What a bell was rung for since the session last looked.
#[derive(Debug, Default)]
pub(crate) struct Rung {
    /// Followed conversations with news; look at [`Subscription::take`].
    pub(crate) slots: Vec<Slot>,
    /// Conversations that the user joined or left.
    pub(crate) changes: HashMap<ConversationId, Change>,
    /// More changed than is kept: the session must start afresh.
    pub(crate) overflow: bool,
}

/// One session's bell.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    notify: Notify,
    /// What it wakes, once that has begun.
    task: OnceLock<Arc<Task>>,
    changes_max: usize,
}

impl Bell {
    /// A silent bell that remembers at most `changes_max` changes of membership.
    pub(crate) fn new(changes_max: usize) -> Self {
        Self { rung: Mutex::default(), notify: Notify::new(), task: OnceLock::new(), changes_max }
    }

    /// Tells whose turn it is when it rings.
    pub(crate) fn wakes(&self, task: Arc<Task>) {
        // A session has one delivery.
        let _ = self.task.set(task);
    }

    /// Tells of a change of membership.
    pub(crate) fn change(&self, conversation: ConversationId, change: Change) {
        let mut rung = self.rung.lock();
        if rung.changes.len() < self.changes_max || rung.changes.contains_key(&conversation) {
            rung.changes.insert(conversation, change);
        } else {
            rung.overflow = true;
        }
        drop(rung);
        self.notify.notify_one();
    }

    /// Waits until it rings. Returns at once if it rang since the last wait.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Takes what it was rung for.
    pub(crate) fn take(&self) -> Rung {
        std::mem::take(&mut *self.rung.lock())
    }

    fn mark(&self, slot: Slot) {
        self.rung.lock().slots.push(slot);
    }

    fn wake(&self, is_urgent: bool) {
        if is_urgent && let Some(task) = self.task.get() {
            task.hurry();
        }
        self.notify.notify_one();
    }
}

/// What a followed conversation has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News(u8);

impl News {
    /// New entries.
    pub(crate) const ENTRIES: Self = Self(1);
    /// New urgent entries; comes with [`News::ENTRIES`].
    pub(crate) const URGENT: Self = Self(2);
    /// New receipts.
    pub(crate) const RECEIPTS: Self = Self(4);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it includes `other`.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A session's tie to a conversation that it follows.
#[derive(Debug)]
pub(crate) struct Subscription {
    user: UserId,
    slot: Slot,
    bell: Arc<Bell>,
    news: AtomicU8,
    active: AtomicBool,
    publishes: AtomicBool,
}

impl Subscription {
    /// Ties a user's session to a conversation.
    pub(crate) fn new(user: UserId, slot: Slot, bell: Arc<Bell>) -> Self {
        Self {
            user,
            slot,
            bell,
            news: AtomicU8::new(0),
            active: AtomicBool::new(true),
            publishes: AtomicBool::new(false),
        }
    }

    /// Whose session it is.
    pub(crate) fn user(&self) -> UserId {
        self.user
    }

    /// Rings for news. Cheap when the session has not looked since the last ring.
    pub(crate) fn ring(&self, news: News) {
        let before = News(self.news.fetch_or(news.0, Ordering::AcqRel));
        let is_urgent = news.has(News::URGENT) && !before.has(News::URGENT);
        if before.0 == 0 {
            self.bell.mark(self.slot);
        }
        // Marked for routine news already, it need not wait for its turn any more.
        if before.0 == 0 || is_urgent {
            self.bell.wake(is_urgent);
        }
    }

    /// Takes what there is news of.
    pub(crate) fn take(&self) -> News {
        News(self.news.swap(0, Ordering::AcqRel))
    }

    /// Whether the user is a member still, as far as committed events were told.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Cuts the tie: nothing of the conversation leaves through it any more.
    pub(crate) fn deactivate(&self) {
        self.active.store(false, Ordering::Release);
    }

    /// Whether the user ever published in the conversation, and so wants its receipts.
    pub(crate) fn publishes(&self) -> bool {
        self.publishes.load(Ordering::Acquire)
    }

    /// Notes that they did.
    pub(crate) fn set_publishes(&self) {
        self.publishes.store(true, Ordering::Release);
    }
}
