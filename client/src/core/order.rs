//! The exactly-once filter: what the application was handed already.
//!
//! Pure state. Per conversation it keeps how far the ordered lane has come, and which urgent
//! messages went ahead. Invariants: of each (conversation, sequence) at most one copy passes, in
//! whatever order the lanes interleave and however often sessions begin anew; what passes on the
//! ordered lane ascends; memory is bounded: beyond `CONVERSATIONS_MAX` the least recently active
//! conversations are forgotten, beyond `AHEAD_MAX` urgent messages wait for their turn.

use std::collections::BTreeSet;

use crate::core::hash::ByConversation;
use crate::types::{ConversationId, Sequence};

/// Most conversations that are remembered; a broker lets a user have far fewer.
const CONVERSATIONS_MAX: usize = 65_536;

/// Most urgent messages of one conversation that are remembered as handed over ahead of their turn.
const AHEAD_MAX: usize = 1024;

/// What to do with an entry that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Hand it to the application.
    New,
    /// Its turn came, but the application has it already: only the position advances.
    HadAhead,
    /// Drop it.
    Duplicate,
}

/// What was handed over, per conversation.
#[derive(Default)]
pub(crate) struct Order {
    conversations: ByConversation<Reached>,
    clock: u64,
    /// Of some conversations only urgent messages come: those never have their turn.
    is_partial: bool,
}

/// How far one conversation has come.
#[derive(Default)]
struct Reached {
    /// Every entry up to here had its turn; `None`: not known yet.
    up_to: Option<Sequence>,
    /// Urgent messages above that were handed over.
    ahead: BTreeSet<Sequence>,
    /// When it was last touched, by `Order::clock`.
    touched: u64,
    /// The user is no member now: no position to resume at.
    left: bool,
}

impl Order {
    /// Starts where the application says that it stands.
    pub(crate) fn starting_at(positions: &[(ConversationId, Sequence)]) -> Self {
        let mut order = Self::default();
        for (conversation, sequence) in positions {
            order.reached(*conversation).up_to = Some(*sequence);
        }
        order
    }

    /// Judges an entry from the ordered lane.
    pub(crate) fn in_turn(&mut self, conversation: ConversationId, sequence: Sequence) -> Passage {
        let reached = self.reached(conversation);
        if reached.up_to.is_some_and(|up_to| sequence <= up_to) {
            return Passage::Duplicate;
        }
        reached.up_to = Some(sequence);
        if reached.ahead.is_empty() {
            return Passage::New;
        }
        let above = reached.ahead.split_off(&(sequence + 1));
        let had = reached.ahead.contains(&sequence);
        reached.ahead = above;
        if had { Passage::HadAhead } else { Passage::New }
    }

    /// Judges an entry from the urgent lane.
    pub(crate) fn ahead(&mut self, conversation: ConversationId, sequence: Sequence) -> Passage {
        let is_partial = self.is_partial;
        let reached = self.reached(conversation);
        let is_full = reached.ahead.len() >= AHEAD_MAX;
        if reached.up_to.is_some_and(|up_to| sequence <= up_to) || (is_full && !is_partial) {
            // Of what is not remembered it comes in its turn.
            return Passage::Duplicate;
        }
        if !reached.ahead.insert(sequence) {
            return Passage::Duplicate;
        }
        if is_full {
            reached.ahead.pop_first();
        }
        Passage::New
    }

    /// Notes that of some conversations only urgent messages come.
    pub(crate) fn partial(&mut self) {
        self.is_partial = true;
    }

    /// Notes that the user is a member again.
    pub(crate) fn joined(&mut self, conversation: ConversationId) {
        self.reached(conversation).left = false;
    }

    /// Notes that the user is a member no longer. What was handed over stays known, should they
    /// come back.
    pub(crate) fn left(&mut self, conversation: ConversationId) {
        self.reached(conversation).left = true;
    }

    /// Gives the positions to resume at, the most recently active conversations first, at most
    /// `positions_max`.
    pub(crate) fn resume(&self, positions_max: usize) -> Vec<(ConversationId, Sequence)> {
        let mut known: Vec<_> = self
            .conversations
            .iter()
            .filter(|(_, reached)| !reached.left)
            .filter_map(|(conversation, reached)| {
                reached.up_to.map(|up_to| (reached.touched, *conversation, up_to))
            })
            .collect();
        known.sort_unstable_by_key(|(touched, ..)| std::cmp::Reverse(*touched));
        known.truncate(positions_max);
        known.into_iter().map(|(_, conversation, up_to)| (conversation, up_to)).collect()
    }

    fn reached(&mut self, conversation: ConversationId) -> &mut Reached {
        self.clock += 1;
        if self.conversations.len() >= CONVERSATIONS_MAX && !self.conversations.contains_key(&conversation) {
            self.forget_oldest();
        }
        let reached = self.conversations.entry(conversation).or_default();
        reached.touched = self.clock;
        reached
    }

    /// Forgets the older half, so that the cost is spread over many entries.
    fn forget_oldest(&mut self) {
        let mut touched: Vec<_> = self.conversations.values().map(|reached| reached.touched).collect();
        let middle = touched.len() / 2;
        let (_, median, _) = touched.select_nth_unstable(middle);
        let median = *median;
        self.conversations.retain(|_, reached| reached.touched > median);
    }
}

#[cfg(test)]
mod tests;
