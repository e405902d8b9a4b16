//! Under any interleaving of lanes and sessions, each entry passes once.
//!
//! Owns a model of the lanes with holes, urgent messages, new sessions and re-joining. It never
//! touches a stream. Seeds: `PROPTEST_CASES` is honoured; a failure prints its shortest steps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Order, Passage};
use crate::types::ConversationId;

#[derive(Clone, Debug)]
enum Step {
    /// The ordered lane brings the next entry of this conversation.
    InTurn(u8),
    /// The urgent lane brings this urgent message again, or for the first time.
    Ahead(u8, prop::sample::Index),
    /// A new session begins; conversations that are not named start so far back.
    Session(usize, u64),
    /// The user leaves this conversation and comes back.
    Rejoin(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3u8).prop_map(Step::InTurn),
        4 => (0..3u8, any::<prop::sample::Index>()).prop_map(|(conversation, which)| Step::Ahead(conversation, which)),
        1 => (0..4usize, 0..5u64).prop_map(|(named, back)| Step::Session(named, back)),
        1 => (0..3u8).prop_map(Step::Rejoin),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_entry_passes_once(
        steps in steps(),
        urgent in prop::collection::btree_set(1..120u64, 0..30),
        missing in prop::collection::btree_set(1..120u64, 0..30),
    ) {
        let mut order = Order::default();
        let mut cursors: BTreeMap<u8, u64> = BTreeMap::new();
        let mut handed: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
        let mut last_routine: BTreeMap<u8, u64> = BTreeMap::new();
        let urgent: Vec<_> = urgent.difference(&missing).copied().collect();
        let id = |conversation: u8| ConversationId([conversation; 16]);
        let mut far: BTreeMap<u8, u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::InTurn(conversation) => {
                    let cursor = cursors.entry(conversation).or_default();
                    *cursor = (*cursor + 1..).find(|next| !missing.contains(next)).unwrap_or_default();
                    let sequence = *cursor;
                    let reached = far.entry(conversation).or_default();
                    *reached = sequence.max(*reached);
                    if order.in_turn(id(conversation), sequence) == Passage::New {
                        prop_assert!(handed.entry(conversation).or_default().insert(sequence), "twice");
                        let last = last_routine.entry(conversation).or_default();
                        prop_assert!(sequence > *last, "out of order");
                        *last = sequence;
                    }
                    prop_assert!(handed[&conversation].contains(&sequence), "dropped");
                }
                Step::Ahead(conversation, which) if !urgent.is_empty() => {
                    let sequence = *which.get(&urgent);
                    if order.ahead(id(conversation), sequence) == Passage::New {
                        prop_assert!(handed.entry(conversation).or_default().insert(sequence), "twice");
                    }
                    prop_assert!(handed[&conversation].contains(&sequence), "dropped");
                }
                Step::Ahead(..) => {}
                Step::Session(named, back) => {
                    for cursor in cursors.values_mut() {
                        *cursor = cursor.saturating_sub(back);
                    }
                    for (conversation, after) in order.resume(named) {
                        let conversation = conversation.0[0];
                        prop_assert_eq!(after, far[&conversation], "resumes where the ordered lane was");
                        cursors.insert(conversation, after);
                    }
                }
                Step::Rejoin(conversation) => {
                    order.left(id(conversation));
                    prop_assert!(order.resume(9).iter().all(|(named, _)| *named != id(conversation)));
                    order.joined(id(conversation));
                }
            }
        }
        for (conversation, handed) in handed {
            let reached = far.get(&conversation).copied().unwrap_or(0);
            for sequence in (1..=reached).filter(|sequence| !missing.contains(sequence)) {
                prop_assert!(handed.contains(&sequence), "{} of {} is lost", sequence, conversation);
            }
        }
    }
}

#[test]
fn forgets_the_least_active_conversations_beyond_its_bound() {
    let id = |number: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        ConversationId(bytes)
    };
    let mut order = Order::default();
    for number in 0..super::CONVERSATIONS_MAX + 10 {
        assert_eq!(order.in_turn(id(number), 5), Passage::New);
    }
    assert!(order.conversations.len() <= super::CONVERSATIONS_MAX);
    assert_eq!(order.in_turn(id(super::CONVERSATIONS_MAX + 9), 5), Passage::Duplicate, "the latest is known");
}

#[test]
fn urgent_messages_beyond_the_bound_wait_for_their_turn() {
    let conversation = ConversationId([1; 16]);
    let mut order = Order::default();
    let above = super::AHEAD_MAX as u64 + 1;
    for sequence in 1..above {
        assert_eq!(order.ahead(conversation, sequence), Passage::New);
    }
    assert_eq!(order.ahead(conversation, above), Passage::Duplicate);
    assert_eq!(order.in_turn(conversation, 1), Passage::HadAhead);
    assert_eq!(order.in_turn(conversation, above), Passage::New);
}

#[test]
fn urgent_messages_that_have_no_turn_pass_however_many_they_are() {
    let mut order = Order::default();
    order.partial();
    for sequence in 1..=5_000 {
        assert_eq!(order.ahead(ConversationId([1; 16]), sequence), Passage::New, "{sequence}");
        assert_eq!(order.ahead(ConversationId([1; 16]), sequence), Passage::Duplicate, "{sequence}");
    }
}
