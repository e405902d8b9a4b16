//! Against a model of the broker: whatever is refused or lost, what was noted is on record in the
//! end.
//!
//! Owns a model of the broker's record, which takes a request as a whole or not at all. It never
//! touches a stream.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use wardline_proto::v1::Acknowledge;

use super::{Mark, Receipts, SINGLES_MAX};
use crate::error::Code;
use crate::types::ConversationId;

const HEAD: u64 = 50;

#[derive(Clone, Debug)]
enum Step {
    Note(u8, Mark),
    Send,
    /// This request is answered, or refused for now.
    Answer(prop::sample::Index, bool),
    Lost(bool),
    /// Another device of the user reads so far.
    ElsewhereRead(u8, u64),
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        3 => (1..=HEAD).prop_map(Mark::Delivered),
        3 => (1..=HEAD).prop_map(Mark::Read),
        1 => (1..=HEAD).prop_map(Mark::DeliveredOnly),
        1 => (1..=HEAD).prop_map(Mark::ReadOnly),
        1 => Just(Mark::Read(HEAD + 1)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3u8, mark()).prop_map(|(conversation, mark)| Step::Note(conversation, mark)),
        4 => Just(Step::Send),
        5 => (any::<prop::sample::Index>(), prop::bool::weighted(0.1)).prop_map(|(index, busy)| Step::Answer(index, busy)),
        1 => any::<bool>().prop_map(Step::Lost),
        1 => (0..3u8, 1..=HEAD).prop_map(|(conversation, sequence)| Step::ElsewhereRead(conversation, sequence)),
    ];
    prop::collection::vec(step, 0..200)
}

/// What the broker has on record of a conversation.
#[derive(Default)]
struct Record {
    delivered: u64,
    read: u64,
    delivered_only: BTreeSet<u64>,
    read_only: BTreeSet<u64>,
}

impl Record {
    /// All or nothing, as the broker does it.
    fn apply(&mut self, acknowledge: &Acknowledge) -> Result<(), Code> {
        let Acknowledge { delivered_up_to, read_up_to, delivered_only, read_only, .. } = acknowledge;
        assert!(delivered_only.len() <= SINGLES_MAX && read_only.len() <= SINGLES_MAX);
        if *delivered_up_to > HEAD || *read_up_to > HEAD {
            return Err(Code::ReceiptBeyondHead);
        }
        let behind = |wanted: u64, on_record: u64| wanted > 0 && wanted < on_record;
        if behind(*delivered_up_to, self.delivered) || behind(*read_up_to, self.read) {
            return Err(Code::ReceiptBackwards);
        }
        self.delivered = self.delivered.max(*delivered_up_to);
        self.read = self.read.max(*read_up_to);
        self.delivered_only.extend(delivered_only);
        self.read_only.extend(read_only);
        Ok(())
    }
}

#[derive(Default)]
struct World {
    receipts: Receipts,
    records: HashMap<u8, Record>,
    in_flight: BTreeMap<u64, Acknowledge>,
    last_id: u64,
    /// The highest watermark on the wire, on this connection.
    delivered_on_wire: HashMap<u8, u64>,
    noted: Vec<(u8, Mark)>,
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Note(conversation, mark) => {
                self.receipts.note(ConversationId([conversation; 16]), mark);
                self.noted.push((conversation, mark));
            }
            Step::Send => self.send(),
            Step::Answer(index, busy) if !self.in_flight.is_empty() => {
                let ids: Vec<_> = self.in_flight.keys().copied().collect();
                self.answer(*index.get(&ids), busy);
            }
            Step::Answer(..) => {}
            Step::Lost(handled) => {
                for acknowledge in std::mem::take(&mut self.in_flight).into_values() {
                    if handled {
                        let _ = self.record(&acknowledge).apply(&acknowledge);
                    }
                }
                self.receipts.lost();
            }
            Step::ElsewhereRead(conversation, sequence) => {
                let record = self.records.entry(conversation).or_default();
                record.read = record.read.max(sequence);
            }
        }
    }

    fn send(&mut self) {
        let id = self.last_id + 1;
        let Some(acknowledge) = self.receipts.next_to_send(id) else { return };
        self.last_id = id;
        let conversation = acknowledge.conversation_id[0];
        assert!(
            self.in_flight.values().all(|other| other.conversation_id[0] != conversation),
            "two requests about one conversation are in flight"
        );
        if acknowledge.delivered_up_to > 0 {
            let last = self.delivered_on_wire.entry(conversation).or_default();
            assert!(acknowledge.delivered_up_to >= *last, "a watermark went back on the wire");
            *last = acknowledge.delivered_up_to;
        }
        self.in_flight.insert(id, acknowledge);
    }

    fn answer(&mut self, id: u64, busy: bool) {
        let acknowledge = self.in_flight.remove(&id).expect("it is in flight");
        let answer = if busy { Err(Code::Retry) } else { self.record(&acknowledge).apply(&acknowledge) };
        assert_eq!(self.receipts.answered(id, answer), Some(busy));
    }

    fn record(&mut self, acknowledge: &Acknowledge) -> &mut Record {
        self.records.entry(acknowledge.conversation_id[0]).or_default()
    }

    fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.receipts.is_settled_up_to(u64::MAX) {
                return;
            }
            self.send();
            if let Some(id) = self.in_flight.keys().next().copied() {
                self.answer(id, false);
            }
        }
        panic!("receipts are stuck");
    }

    fn check(&self) {
        for (conversation, mark) in &self.noted {
            let record = &self.records[conversation];
            let has = match *mark {
                Mark::Delivered(sequence) => record.delivered >= sequence,
                Mark::Read(sequence) => self.read_beyond_head(*conversation) || record.read >= sequence,
                Mark::DeliveredOnly(sequence) => {
                    record.delivered >= sequence || record.delivered_only.contains(&sequence)
                }
                Mark::ReadOnly(sequence) => {
                    self.read_beyond_head(*conversation)
                        || record.read >= sequence
                        || record.read_only.contains(&sequence)
                }
            };
            assert!(has, "{mark:?} of conversation {conversation} is lost");
        }
    }

    /// Whether the application claimed to have read what is not there: what lies below was
    /// coalesced with that.
    fn read_beyond_head(&self, conversation: u8) -> bool {
        self.noted.contains(&(conversation, Mark::Read(HEAD + 1)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_noted_is_on_record_in_the_end(steps in steps()) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.check();
    }
}

#[test]
fn a_stamp_is_settled_when_its_marks_are() {
    let [a, b] = [ConversationId([1; 16]), ConversationId([2; 16])];
    let mut receipts = Receipts::default();
    assert!(receipts.is_settled_up_to(receipts.stamp()));
    receipts.note(a, Mark::Delivered(1));
    let stamp = receipts.stamp();
    receipts.note(b, Mark::Delivered(1));
    receipts.next_to_send(1).expect("of the first conversation");
    assert!(!receipts.is_settled_up_to(stamp), "in flight");
    receipts.lost();
    assert!(!receipts.is_settled_up_to(stamp), "wanted again");
    let mut id = 1;
    while !receipts.is_settled_up_to(stamp) {
        id += 1;
        receipts.next_to_send(id).expect("something is left");
        receipts.answered(id, Ok(())).expect("it was sent");
    }
    receipts.note(a, Mark::Delivered(2));
    assert!(receipts.is_settled_up_to(stamp), "later marks do not count");
}

#[test]
fn says_nothing_twice() {
    let conversation = ConversationId([1; 16]);
    let mut receipts = Receipts::default();
    assert!(receipts.note(conversation, Mark::Read(5)));
    assert!(!receipts.note(conversation, Mark::Read(4)));
    receipts.next_to_send(1).expect("a receipt");
    assert!(!receipts.note(conversation, Mark::Read(5)), "it is in flight");
    receipts.answered(1, Ok(())).expect("it was sent");
    assert!(!receipts.note(conversation, Mark::ReadOnly(3)) && !receipts.is_ready());
    assert!(receipts.note(conversation, Mark::Read(6)));
}
