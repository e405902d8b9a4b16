//! The bell of a session: "conversation C has news", without saying what.
//!
//! Ringing never blocks and queues nothing: a conversation is marked at most once until the session looks, and the
//! session then reads after its own cursors. So a slow session costs a bounded amount, however much happens.
//!
//! Urgent news and changes of membership wake the session at once, routine news when it is its turn ([`Rota`]).
//! Invariant: a session with news that it has not taken is awake, about to be woken, or in the rota.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use wardline_storage::id::{ConversationId, UserId};

use crate::rota::Rota;

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
    state: Mutex<State>,
    notify: Notify,
    rota: Arc<Rota>,
    changes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    rung: Rung,
    /// The session is in the rota.
    waits: bool,
}

impl Bell {
    /// A silent bell that remembers at most `changes_max` changes of membership.
    pub(crate) fn new(changes_max: usize, rota: Arc<Rota>) -> Self {
        Self { state: Mutex::default(), notify: Notify::new(), rota, changes_max }
    }

    /// Tells of a change of membership.
    pub(crate) fn change(&self, conversation: ConversationId, change: Change) {
        let mut state = self.state.lock();
        let rung = &mut state.rung;
        if rung.changes.len() < self.changes_max || rung.changes.contains_key(&conversation) {
            rung.changes.insert(conversation, change);
        } else {
            rung.overflow = true;
        }
        drop(state);
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
        std::mem::take(&mut self.state.lock().rung)
    }

    /// Its turn has come: wakes the session, unless that has taken all its news meanwhile.
    pub(crate) fn turn(&self) -> bool {
        let mut state = self.state.lock();
        state.waits = false;
        let has_news = !state.rung.slots.is_empty();
        drop(state);
        if has_news {
            self.notify.notify_one();
        }
        has_news
    }

    fn mark(self: &Arc<Self>, slot: Slot, is_urgent: bool) {
        let mut state = self.state.lock();
        state.rung.slots.push(slot);
        if is_urgent {
            drop(state);
            self.notify.notify_one();
        } else if !std::mem::replace(&mut state.waits, true) {
            drop(state);
            self.rota.enter(Arc::clone(self));
        }
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
        let is_urgent = news.has(News::URGENT);
        if before.0 == 0 {
            self.bell.mark(self.slot, is_urgent);
        } else if is_urgent && !before.has(News::URGENT) {
            // It is marked for routine news already, and need not wait for its turn any more.
            self.bell.notify.notify_one();
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
