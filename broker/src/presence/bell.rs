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
    /// More of them than are kept: the session must look at all its memberships.
    pub(crate) changes_overflow: bool,
    /// Conversations with urgent messages that are not followed, and perhaps not the user's.
    pub(crate) calls: Vec<ConversationId>,
    /// More of them than are kept: the session must look for urgent messages in all.
    pub(crate) calls_overflow: bool,
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
            rung.changes_overflow = true;
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
                rung.calls_overflow = true;
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

    /// The same without changes of membership: those are kept for a session that has no room to
    /// tell of them.
    pub(crate) fn take_news(&self) -> Rung {
        let mut rung = self.rung.lock();
        let changes = std::mem::take(&mut rung.changes);
        let kept = Rung { changes, changes_overflow: rung.changes_overflow, ..Rung::default() };
        Rung { changes_overflow: false, ..std::mem::replace(&mut *rung, kept) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ConversationId {
        ConversationId::new([number; 16])
    }

    #[test]
    fn changes_of_membership_wait_until_there_is_room_to_tell_of_them() {
        let bell = Bell::new(2);
        bell.change(id(1), Change::Joined);
        bell.call(id(2));
        bell.mark(Slot(3));
        let news = bell.take_news();
        assert_eq!((news.slots, news.calls), (vec![Slot(3)], vec![id(2)]), "nothing else waits for it");
        assert!(news.changes.is_empty());
        bell.change(id(1), Change::Left);
        bell.change(id(4), Change::Joined);
        bell.change(id(5), Change::Joined);
        assert!(!bell.take_news().changes_overflow, "to look again would not help yet");
        let rung = bell.take();
        assert_eq!(rung.changes, HashMap::from([(id(1), Change::Left), (id(4), Change::Joined)]));
        assert!(rung.changes_overflow && !rung.calls_overflow);
        assert!(!bell.take().changes_overflow, "it is told once");
    }
}
