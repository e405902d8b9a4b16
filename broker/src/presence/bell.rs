//! The bell of a session: "conversation C has news", without saying what.
//!
//! Ringing never blocks and queues nothing: a conversation is marked at most once until the session
//! looks, and the session then reads after its own cursors. So a slow session costs a bounded
//! amount, however much happens.
//!
//! Urgent news lets the session have its turn before all others ([`turns`](crate::turns)).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;
use wardline_storage::id::ConversationId;

use crate::turns::Task;

/// Most conversations that are not followed which a bell remembers for their urgent messages.
const CALLS_MAX: usize = 256;

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
    /// Followed conversations with news; the subscription of each knows which.
    pub(crate) slots: Vec<Slot>,
    /// Conversations that the user joined or left.
    pub(crate) changes: HashMap<ConversationId, Change>,
    /// Conversations with urgent messages that are not followed, and perhaps not the user's.
    pub(crate) calls: Vec<ConversationId>,
    /// More happened than is kept: the session must look at all its memberships.
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

    /// Tells of an urgent message in a conversation that the session does not follow.
    pub(crate) fn call(&self, conversation: ConversationId) {
        let mut rung = self.rung.lock();
        if !rung.calls.contains(&conversation) {
            if rung.calls.len() < CALLS_MAX {
                rung.calls.push(conversation);
            } else {
                rung.overflow = true;
            }
        }
        drop(rung);
        self.wake(true);
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

    /// Marks a conversation that has news.
    pub(crate) fn mark(&self, slot: Slot) {
        self.rung.lock().slots.push(slot);
    }

    /// Wakes the session; before all others if it is urgent.
    pub(crate) fn wake(&self, is_urgent: bool) {
        if is_urgent && let Some(task) = self.task.get() {
            task.hurry();
        }
        self.notify.notify_one();
    }
}
