//! What sessions do not follow, though their users are members: more than a session may follow.
//!
//! Of such conversations only urgent messages come. The fan-out must find those sessions without
//! reading the store, and without a list of memberships: a session notes them in a filter of fixed
//! size, which says "no" or "perhaps". For "perhaps" the bell rings, and the session looks whether
//! it is so. A session that follows everything has none and costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use wardline_storage::id::ConversationId;

use crate::presence::bell::Bell;

/// Words of a filter: 16 KiB. With 50,000 conversations in it a third of what is asked is perhaps.
const WORDS: usize = 2048;
const BITS: u32 = WORDS as u32 * u64::BITS;

/// Of all sessions.
#[derive(Default)]
pub(super) struct AllUnfollowed(RwLock<Vec<Arc<Filter>>>);

/// Of one session; taken away when it is dropped.
pub(super) struct Unfollowed {
    all: Arc<AllUnfollowed>,
    filter: Arc<Filter>,
}

struct Filter {
    bell: Arc<Bell>,
    words: Box<[AtomicU64]>,
}

impl AllUnfollowed {
    /// Tells of an urgent message those who may be members and do not follow.
    pub(super) fn call(&self, conversation: ConversationId) {
        for filter in self.0.read().iter().filter(|filter| filter.may_have(conversation)) {
            filter.bell.call(conversation);
        }
    }
}

impl Unfollowed {
    /// Of a session with this bell; nothing yet.
    pub(super) fn new(all: Arc<AllUnfollowed>, bell: Arc<Bell>) -> Self {
        let words = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        let filter = Arc::new(Filter { bell, words });
        all.0.write().push(Arc::clone(&filter));
        Self { all, filter }
    }

    /// Whether a conversation was noted, perhaps.
    pub(super) fn may_have(&self, conversation: ConversationId) -> bool {
        self.filter.may_have(conversation)
    }

    /// Notes a conversation: to be done before its urgent messages are looked for in the store.
    pub(super) fn note(&self, conversation: ConversationId) {
        let (word, bit) = place(conversation);
        self.filter.words[word].fetch_or(bit, Ordering::AcqRel);
    }
}

impl Drop for Unfollowed {
    fn drop(&mut self) {
        self.all.0.write().retain(|other| !Arc::ptr_eq(other, &self.filter));
    }
}

impl Filter {
    fn may_have(&self, conversation: ConversationId) -> bool {
        let (word, bit) = place(conversation);
        self.words[word].load(Ordering::Acquire) & bit != 0
    }
}

/// By the id, which nobody chooses; not by the bytes that choose its topic's lock.
fn place(conversation: ConversationId) -> (usize, u64) {
    let [.., a, b, c, d] = *conversation.as_bytes();
    let bit = u32::from_be_bytes([a, b, c, d]) % BITS;
    ((bit / u64::BITS) as usize, 1 << (bit % u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_urgent_message_rings_those_who_do_not_follow_and_no_others() {
        let all = Arc::new(AllUnfollowed::default());
        let id = |byte: u8| ConversationId::new([byte; 16]);
        let (mine, others) = (Arc::new(Bell::new(9)), Arc::new(Bell::new(9)));
        let unfollowed = Unfollowed::new(Arc::clone(&all), Arc::clone(&mine));
        let _others = Unfollowed::new(Arc::clone(&all), Arc::clone(&others));
        unfollowed.note(id(1));
        all.call(id(1));
        all.call(id(2));
        assert_eq!(mine.take().calls, [id(1)]);
        assert!(others.take().calls.is_empty());
        drop(unfollowed);
        all.call(id(1));
        assert!(mine.take().calls.is_empty());
    }
}
