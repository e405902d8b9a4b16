//! Calls: the conversations in which a device may have urgent messages to receive, that are read
//! from the store; the newest message goes first.
//!
//! Pure. A place in it says no more than "look below here": what is looked up is put back with its
//! exact time, and what was sent makes place for the next older one. So there is one place for each
//! conversation, however many urgent messages it has.

use std::collections::BinaryHeap;

use wardline_storage::id::{ConversationId, Seq, Timestamp};

/// Most urgent messages of a conversation that is followed which are sent ahead when a session
/// begins; older ones come in their turn. A client remembers as many, and more.
pub(super) const AHEAD_MAX: usize = 512;

/// Where to look for a call, or where one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// When it was published; until it was looked up, no earlier than that.
    pub(super) time: Timestamp,
    pub(super) conversation: ConversationId,
    /// What is known; `None`: look it up.
    pub(super) seq: Option<Seq>,
    /// It lies below this.
    pub(super) below: Seq,
    /// And above this, whatever the store says.
    pub(super) floor: Seq,
    /// Where the device says that it stands, if it does.
    pub(super) resume: Option<Seq>,
    /// How many more are sent of this conversation.
    pub(super) left: usize,
}

impl Call {
    /// Look at all of a conversation that a device has not received. `time`: nothing in it is
    /// later.
    pub(super) fn at_all(conversation: ConversationId, time: Timestamp, left: usize) -> Self {
        let (below, floor) = (Seq::MAX, Seq::ZERO);
        Self { time, conversation, seq: None, below, floor, resume: None, left }
    }

    /// Look at what lies above `floor` and below `below`: it was published just now.
    pub(super) fn between(conversation: ConversationId, floor: Seq, below: Seq) -> Self {
        Self { below, floor, ..Self::at_all(conversation, Timestamp::NEVER, usize::MAX) }
    }

    /// The same, with what was found when it was looked up.
    pub(super) fn found(self, seq: Seq, time: Timestamp) -> Self {
        Self { time, seq: Some(seq), ..self }
    }

    /// What to do once the one at `seq` was read; `None`: no more is sent ahead.
    pub(super) fn older(self, seq: Seq) -> Option<Self> {
        let left = self.left.saturating_sub(1);
        (left > 0).then_some(Self { seq: None, below: seq, left, ..self })
    }
}

impl Ord for Call {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |call: &Self| (call.time, call.seq, call.conversation, call.below, call.floor);
        key(self).cmp(&key(other)).then(self.left.cmp(&other.left)).then(self.resume.cmp(&other.resume))
    }
}

impl PartialOrd for Call {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Where to look, the newest first.
#[derive(Debug, Default)]
pub(super) struct Calls(BinaryHeap<Call>);

impl Calls {
    pub(super) fn put(&mut self, call: Call) {
        self.0.push(call);
    }

    /// The one that may be the newest.
    pub(super) fn take(&mut self) -> Option<Call> {
        self.0.pop()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over all of another.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Conversations with urgent messages at increasing times, looked up as the store would.
        #[test]
        fn each_goes_once_and_the_newest_first(
            times in prop::collection::btree_map(0..200u64, 0..5u8, 0..60),
        ) {
            let mut rooms: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
            for (time, room) in &times {
                rooms.entry(*room).or_default().push(*time);
            }
            let mut calls = Calls::default();
            for room in rooms.keys() {
                let id = ConversationId::new([*room; 16]);
                calls.put(Call::at_all(id, Timestamp(500), usize::MAX));
            }
            let mut sent = Vec::new();
            while let Some(call) = calls.take() {
                let room = call.conversation.as_bytes()[0];
                match call.seq {
                    None => {
                        let mut older = rooms[&room].iter().enumerate().rev();
                        if let Some((index, time)) = older.find(|(index, _)| (*index as u64 + 1) < call.below.0) {
                            calls.put(call.found(Seq(index as u64 + 1), Timestamp(*time)));
                        }
                    }
                    Some(seq) => {
                        sent.push(call.time.0);
                        calls.0.extend(call.older(seq));
                    }
                }
            }
            let newest_first: Vec<u64> = times.keys().rev().copied().collect();
            prop_assert_eq!(sent, newest_first);
        }
    }

    #[test]
    fn no_more_goes_ahead_than_a_client_remembers() {
        let mut call = Some(Call::at_all(ConversationId::new([1; 16]), Timestamp(9), 3));
        let mut sent = 0;
        for seq in (1..=9).rev() {
            let Some(found) = call.map(|call| call.found(Seq(seq), Timestamp(seq))) else { break };
            sent += 1;
            call = found.older(Seq(seq));
        }
        assert_eq!(sent, 3);
    }
}
