//! Following: which of a user's conversations a session follows, and what becomes of the others.
//!
//! All, up to a bound. Beyond it, what the user takes part in goes before what they were merely
//! brought into, and longer memberships before shorter: nobody is cut off by being invited. What is
//! not followed is counted, told, and noted for its urgent messages, before those are looked for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use wardline_storage::id::ConversationId;

use super::catch_up::{Found, Rank};
use super::subscription::News;
use super::topics::Follow;
use super::unfollowed::{AllUnfollowed, Unfollowed};
use crate::presence::bell::{Bell, Slot};

/// What a session follows.
pub(super) struct Following {
    follows: HashMap<Slot, Followed>,
    slots: HashMap<ConversationId, Slot>,
    next_slot: Slot,
    follows_max: usize,
    /// Those that would give way, the first one first; only while the session begins.
    ranks: BTreeSet<(Rank, Slot)>,
    all_unfollowed: Arc<AllUnfollowed>,
    bell: Arc<Bell>,
    unfollowed: Option<Unfollowed>,
    not_followed: u64,
}

struct Followed {
    follow: Follow,
    rank: Rank,
}

/// What became of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It was followed before, or its user left meanwhile.
    Same,
    /// It is followed.
    Followed(Slot),
    /// It is, and another one gave way to it.
    Instead(Slot, PassedOver),
    /// There is no room for it.
    None(PassedOver),
}

/// A conversation that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PassedOver {
    pub(super) conversation: ConversationId,
    /// The number that it had.
    pub(super) slot: Slot,
    /// There were urgent messages that nobody else tells of.
    pub(super) is_called: bool,
}

impl Following {
    /// Nothing yet.
    pub(super) fn new(follows_max: usize, all_unfollowed: Arc<AllUnfollowed>, bell: Arc<Bell>) -> Self {
        Self {
            follows: HashMap::new(),
            slots: HashMap::new(),
            next_slot: Slot(0),
            follows_max,
            ranks: BTreeSet::new(),
            all_unfollowed,
            bell,
            unfollowed: None,
            not_followed: 0,
        }
    }

    /// Takes numbers for so many conversations; gives the first.
    pub(super) fn reserve(&mut self, count: u64) -> Slot {
        let first = self.next_slot;
        self.next_slot = Slot(first.0 + count);
        first
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Follow> {
        self.follows.get(&slot).map(|followed| &followed.follow)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Follow> {
        self.follows.get_mut(&slot).map(|followed| &mut followed.follow)
    }

    /// The conversation, if it is followed.
    pub(super) fn of(&self, conversation: ConversationId) -> Option<&Follow> {
        self.slots.get(&conversation).and_then(|slot| self.get(*slot))
    }

    /// How many conversations of the user are not followed.
    pub(super) fn not_followed(&self) -> u64 {
        self.not_followed
    }

    /// Finds a place for a conversation. While the session begins, another one may give way to it.
    pub(super) fn place(&mut self, found: Found, is_beginning: bool) -> Place {
        let Found { follow, rank, .. } = found;
        let conversation = follow.conversation();
        if self.slots.contains_key(&conversation) || !follow.is_active() {
            return Place::Same;
        }
        let is_full = self.follows.len() >= self.follows_max;
        let gives_way = self.ranks.first().copied().filter(|(lowest, _)| is_beginning && *lowest < rank);
        if is_full && gives_way.is_none() {
            return Place::None(self.pass_over(&follow));
        }
        let slot = follow.slot();
        let instead = gives_way.filter(|_| is_full).and_then(|(_, lowest)| {
            let other = self.take(lowest)?;
            Some(Place::Instead(slot, self.pass_over(&other)))
        });
        self.slots.insert(conversation, slot);
        self.follows.insert(slot, Followed { follow, rank });
        if is_beginning {
            self.ranks.insert((rank, slot));
        }
        instead.unwrap_or(Place::Followed(slot))
    }

    /// All that the user is a member of was looked at: from now on nothing gives way.
    pub(super) fn begun(&mut self) {
        self.ranks = BTreeSet::new();
    }

    /// All of it will be looked at again.
    pub(super) fn count_again(&mut self) {
        self.not_followed = 0;
    }

    /// Lets go of a conversation; gives the number that it had.
    pub(super) fn remove(&mut self, conversation: ConversationId) -> Option<Slot> {
        let slot = self.slots.get(&conversation).copied()?;
        self.take(slot).map(|_| slot)
    }

    fn take(&mut self, slot: Slot) -> Option<Follow> {
        let Followed { follow, rank } = self.follows.remove(&slot)?;
        self.ranks.remove(&(rank, slot));
        self.slots.remove(&follow.conversation());
        Some(follow)
    }

    /// Whether a conversation is perhaps known not to be followed.
    pub(super) fn may_have_passed_over(&self, conversation: ConversationId) -> bool {
        self.unfollowed.as_ref().is_some_and(|unfollowed| unfollowed.may_have(conversation))
    }

    /// The user left a conversation that is not followed, as far as can be known; whether that may
    /// be.
    pub(super) fn passed_over_left(&mut self) -> bool {
        self.not_followed = self.not_followed.saturating_sub(1);
        self.unfollowed.is_some()
    }

    /// Conversations that are followed still, though their user left: that was not heard.
    pub(super) fn abandoned(&self) -> Vec<ConversationId> {
        let follows = self.follows.values().map(|followed| &followed.follow);
        follows.filter(|follow| !follow.is_active()).map(Follow::conversation).collect()
    }

    fn pass_over(&mut self, follow: &Follow) -> PassedOver {
        let (conversation, slot) = (follow.conversation(), follow.slot());
        self.not_followed += 1;
        let unfollowed = self
            .unfollowed
            .get_or_insert_with(|| Unfollowed::new(Arc::clone(&self.all_unfollowed), Arc::clone(&self.bell)));
        unfollowed.note(conversation);
        // What was appended before it was noted, the subscription was told of; what comes now, the
        // bell tells of.
        PassedOver { conversation, slot, is_called: follow.news().has(News::URGENT) }
    }
}
