//! Against a model of the broker: whatever is refused, lost or answered late, each message is
//! answered once and stands in its conversation in the order of enqueueing.
//!
//! Owns a model of broker and wire as message.proto describes them. It never touches a stream.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use wardline_proto::v1::{Publish, client_frame::Request};

use super::{Answered, Outbox};
use crate::error::{Code, Refusal};
use crate::types::{Ack, Priority};

const WINDOW: usize = 16;

#[derive(Clone, Debug)]
enum Step {
    /// The application puts a message into this conversation in line, if the window has a seat.
    Push(u8),
    /// The client writes what it may.
    Send,
    /// The broker reads a frame, and does this with it.
    Handle(Handling),
    /// This one of the broker's answers arrives.
    Arrive(prop::sample::Index),
    /// The pause that was asked for is over.
    Resume,
    /// The connection breaks, after the broker has read so many of the frames on their way.
    Break(u8),
}

#[derive(Clone, Copy, Debug)]
enum Handling {
    Accept,
    RefuseForNow(Code),
    RefuseForGood,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let handling = prop_oneof![
        8 => Just(Handling::Accept),
        1 => Just(Handling::RefuseForNow(Code::Retry)),
        1 => Just(Handling::RefuseForNow(Code::StorageFull)),
        1 => Just(Handling::RefuseForGood),
    ];
    let step = prop_oneof![
        6 => (0..3u8).prop_map(Step::Push),
        4 => Just(Step::Send),
        8 => handling.prop_map(Step::Handle),
        8 => any::<prop::sample::Index>().prop_map(Step::Arrive),
        2 => Just(Step::Resume),
        1 => (0..8u8).prop_map(Step::Break),
    ];
    prop::collection::vec(step, 0..400)
}

/// Client, broker and the wire between them.
struct World {
    outbox: Outbox<u64>,
    pushed: u64,
    answers: BTreeMap<u64, Result<Ack, Refusal>>,
    pausing: bool,
    on_wire: VecDeque<(u64, Publish)>,
    replies: Vec<(u64, Result<Ack, Refusal>)>,
    /// On the lane that is open: the epoch that is refused, and lower ones.
    refused_epoch: Option<u32>,
    /// What each conversation has, and where each message stands.
    log: HashMap<u8, Vec<u64>>,
    sequences: HashMap<u64, u64>,
    refused: Vec<u64>,
}

impl World {
    fn new() -> Self {
        Self {
            outbox: Outbox::new(Priority::Routine),
            pushed: 0,
            answers: BTreeMap::new(),
            pausing: false,
            on_wire: VecDeque::new(),
            replies: Vec::new(),
            refused_epoch: None,
            log: HashMap::new(),
            sequences: HashMap::new(),
            refused: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push(conversation) => self.push(conversation),
            Step::Send => self.send(),
            Step::Handle(handling) => self.handle(handling),
            Step::Arrive(index) if !self.replies.is_empty() => {
                let (request_id, reply) = self.replies.remove(index.index(self.replies.len()));
                self.arrive(request_id, reply);
            }
            Step::Arrive(_) => {}
            Step::Resume => self.resume(),
            Step::Break(handled) => {
                for _ in 0..handled {
                    self.handle(Handling::Accept);
                }
                self.on_wire.clear();
                self.replies.clear();
                self.refused_epoch = None;
                self.pausing = false;
                self.outbox.lane_opened();
            }
        }
    }

    fn push(&mut self, conversation: u8) {
        if self.pushed - self.answers.len() as u64 >= WINDOW as u64 {
            return;
        }
        let number = self.pushed;
        self.pushed += 1;
        let publish = Publish {
            conversation_id: Bytes::from(vec![conversation]),
            client_message_id: Bytes::from(number.to_be_bytes().to_vec()),
            ..Publish::default()
        };
        self.outbox.push(publish, number);
    }

    fn send(&mut self) {
        while let Some(frame) = self.outbox.next_to_send(WINDOW / 2) {
            let Some(Request::Publish(publish)) = frame.request else { panic!("not a publish") };
            let in_use = self.on_wire.iter().map(|(id, _)| *id).chain(self.replies.iter().map(|(id, _)| *id));
            assert!(in_use.clone().all(|id| id != frame.request_id), "a request id in use was used again");
            assert!(in_use.count() < WINDOW / 2, "more unanswered than the lane takes");
            self.on_wire.push_back((frame.request_id, publish));
        }
    }

    /// As message.proto tells the broker to.
    fn handle(&mut self, handling: Handling) {
        let Some((request_id, publish)) = self.on_wire.pop_front() else { return };
        let number = u64::from_be_bytes(publish.client_message_id.as_ref().try_into().expect("8 bytes"));
        let reply = if self.refused_epoch.is_some_and(|refused| publish.epoch <= refused) {
            Err(refusal(Code::Retry))
        } else if let Some(sequence) = self.sequences.get(&number) {
            Ok(Ack { sequence: *sequence, time_ms: 0, priority: Priority::Routine })
        } else if self.refused.contains(&number) {
            // The reason has not gone away; its first answer was lost.
            Err(refusal(Code::NotFound))
        } else {
            match handling {
                Handling::Accept => {
                    let log = self.log.entry(publish.conversation_id[0]).or_default();
                    log.push(number);
                    self.sequences.insert(number, log.len() as u64);
                    Ok(Ack { sequence: log.len() as u64, time_ms: 0, priority: Priority::Routine })
                }
                Handling::RefuseForNow(code) => {
                    self.refused_epoch = Some(publish.epoch);
                    Err(refusal(code))
                }
                Handling::RefuseForGood => {
                    self.refused.push(number);
                    Err(refusal(Code::NotFound))
                }
            }
        };
        self.replies.push((request_id, reply));
    }

    fn arrive(&mut self, request_id: u64, reply: Result<Ack, Refusal>) {
        let (last, pause) = match self.outbox.answer(request_id, reply) {
            Answered::Final(number, answer) => (Some((number, answer)), None),
            Answered::FinalThenPause(number, answer, pause) => (Some((number, answer)), Some(pause)),
            Answered::Pause(pause) => (None, Some(pause)),
            Answered::Kept => (None, None),
            Answered::Spent(..) => panic!("nothing is urgent here"),
            Answered::Unknown => panic!("the broker's answer was not recognised"),
        };
        if let Some((number, answer)) = last {
            assert!(self.answers.insert(number, answer).is_none(), "message {number} was answered twice");
        }
        if let Some(pause) = pause {
            assert!(pause >= Duration::from_millis(70), "the broker asked for 70 ms");
            assert!(self.on_wire.is_empty() && self.replies.is_empty(), "a pause while answers are due");
            self.pausing = true;
        }
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.pausing) {
            self.outbox.resume();
        }
    }

    /// Lets everything come to rest with a broker that accepts.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.outbox.is_empty() {
                return;
            }
            self.resume();
            self.send();
            while !self.on_wire.is_empty() {
                self.handle(Handling::Accept);
            }
            for (request_id, reply) in std::mem::take(&mut self.replies) {
                // A pause begins with the last answer: until then the wire counts as busy.
                self.replies.clear();
                self.arrive(request_id, reply);
            }
        }
        panic!("messages are stuck in line");
    }

    fn check(&self) {
        assert_eq!(self.answers.len() as u64, self.pushed, "every message is answered");
        for (conversation, log) in &self.log {
            assert!(log.is_sorted(), "conversation {conversation} was reordered: {log:?}");
        }
        for (number, answer) in &self.answers {
            match answer {
                Ok(ack) => assert_eq!(self.sequences.get(number), Some(&ack.sequence)),
                Err(refusal) => {
                    assert_eq!(refusal.code, Code::NotFound);
                    assert!(self.refused.contains(number) && !self.sequences.contains_key(number));
                }
            }
        }
    }
}

fn refusal(code: Code) -> Refusal {
    Refusal {
        code,
        text: String::new(),
        action: String::new(),
        retry_after: Duration::from_millis(70),
        current_sequence: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_message_is_answered_once_and_in_its_turn(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.check();
    }
}

#[test]
fn pauses_grow_while_the_broker_takes_nothing() {
    let mut outbox = Outbox::new(Priority::Routine);
    outbox.push(Publish::default(), ());
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let frame = outbox.next_to_send(1).expect("it goes again");
        let mut refusal = refusal(Code::StorageFull);
        refusal.retry_after = Duration::ZERO;
        let Answered::Pause(pause) = outbox.answer(frame.request_id, Err(refusal)) else {
            panic!("no pause")
        };
        pauses.push(pause);
        assert!(outbox.next_to_send(1).is_none(), "nothing goes before the pause is over");
        outbox.resume();
    }
    assert!(pauses.is_sorted());
    assert!(pauses[0] < Duration::from_millis(100) && pauses[19] == Duration::from_secs(10), "{pauses:?}");
}

#[test]
fn a_message_that_may_not_be_urgent_is_given_back() {
    let mut outbox = Outbox::new(Priority::Urgent);
    outbox.push(Publish { expires_in_ms: 7, ..Publish::default() }, "first");
    outbox.push(Publish::default(), "second");
    let (first, second) = (outbox.next_to_send(9).expect("one"), outbox.next_to_send(9).expect("two"));
    let Answered::Spent(publish, tell, None) =
        outbox.answer(first.request_id, Err(refusal(Code::UrgencySpent)))
    else {
        panic!("not given back")
    };
    assert_eq!((publish.expires_in_ms, tell), (7, "first"));
    let ack = Ack { sequence: 1, time_ms: 0, priority: Priority::Urgent };
    assert_eq!(outbox.answer(second.request_id, Ok(ack)), Answered::Final("second", Ok(ack)));
    assert!(outbox.is_empty());
}

#[test]
fn two_outboxes_may_share_a_lane() {
    let (mut urgent, mut routine) = (Outbox::new(Priority::Urgent), Outbox::new(Priority::Routine));
    for outbox in [&mut urgent, &mut routine] {
        outbox.push(Publish::default(), ());
        outbox.push(Publish::default(), ());
    }
    for _ in 0..2 {
        let id = urgent.next_to_send(9).expect("it waits").request_id;
        assert!(urgent.asks(id) && !routine.asks(id));
        let id = routine.next_to_send(9).expect("it waits").request_id;
        assert!(routine.asks(id) && !urgent.asks(id));
    }
    assert!(!urgent.asks(0) && !routine.asks(0), "the broker's word about a lane");
}
