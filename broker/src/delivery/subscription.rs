//! Subscriptions: what a topic knows of a session that follows it.
//!
//! Whose it is, under which slot the session knows the conversation, and which bell to ring. News
//! adds up until the session takes it, and rings the bell once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use wardline_storage::id::UserId;

use crate::presence::bell::{Bell, Slot};

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

/// What a topic knows of a session that follows it.
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
    /// Of a user's session, which knows the conversation by `slot`.
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

    /// By which number the session knows the conversation.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
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

    /// Ends it: nothing of the conversation leaves through it any more.
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
