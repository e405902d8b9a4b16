//! Between the queue and the hand nothing is lost, overtaken by a routine message, or beyond the
//! bound.
//!
//! Fills the queues directly; what passes the filter before them is tested with it, and over real
//! streams.

use super::*;
use crate::types::{MessageId, Priority};

const MAX: usize = 100;

fn entry(sequence: u64, class: Class, payload_bytes: usize) -> Arrival {
    let body = Body::Message {
        id: MessageId([0; 16]),
        content_type: "text/plain".into(),
        payload: vec![0; payload_bytes].into(),
        priority: Priority::Routine,
        reply_to: None,
    };
    let conversation = ConversationId([1; 16]);
    let sender = "ann".into();
    Arrival::Entry(Entry { conversation, sequence, sender, time_ms: 0, expires_at_ms: 0, body }, class)
}

fn put(mailbox: &Mailbox, class: Class, sequence: u64, payload_bytes: usize) {
    let mut queues = mailbox.queues.lock();
    assert!(queues.has_room(class, mailbox.entries_max), "no room for {sequence}");
    queues.queue(class).push(entry(sequence, class, payload_bytes));
    mailbox.urgent_waits.store(!queues.urgent.arrivals.is_empty(), Ordering::Release);
}

fn take(mailbox: &Mailbox, hand: &mut Hand) -> Option<u64> {
    match mailbox.take(hand) {
        Taken::Arrival(Arrival::Entry(entry, _)) => Some(entry.sequence),
        Taken::Arrival(_) => panic!("only entries were put in"),
        Taken::Nothing | Taken::Closed => None,
    }
}

fn room(mailbox: &Mailbox, class: Class) -> bool {
    mailbox.queues.lock().has_room(class, MAX)
}

#[test]
fn what_lies_in_the_hand_counts() {
    let mailbox = Mailbox::new(MAX, &[]);
    let mut hand = Hand::default();
    let (mut put_in, mut taken) = (0, 0);
    for round in 0..1000_u64 {
        while room(&mailbox, Class::Ordered) {
            put_in += 1;
            put(&mailbox, Class::Ordered, put_in, 0);
        }
        for _ in 0..=round % 60 {
            taken += 1;
            assert_eq!(take(&mailbox, &mut hand), Some(taken));
        }
        let waiting = (put_in - taken) as usize;
        assert!(waiting <= MAX, "{waiting} wait");
        let queues = mailbox.queues.lock();
        assert_eq!(queues.ordered.arrivals.len() + hand.arrivals.len(), waiting, "none is lost");
        assert!(queues.ordered.lent - hand.arrivals.len() <= TAKEN_MAX, "room is given back soon");
    }
    while take(&mailbox, &mut hand).is_some() {}
    let queues = mailbox.queues.lock();
    assert_eq!((queues.ordered.lent, queues.ordered.bytes), (0, 0));
    assert_eq!(
        (queues.ordered.arrivals.capacity(), hand.arrivals.capacity()),
        (0, 0),
        "idle, it holds nothing"
    );
}

#[test]
fn large_payloads_fill_it_and_give_their_room_back() {
    let mailbox = Mailbox::new(MAX, &[]);
    let mut hand = Hand::default();
    let mut put_in = 0;
    while room(&mailbox, Class::Ordered) {
        put_in += 1;
        put(&mailbox, Class::Ordered, put_in, 1 << 20);
    }
    assert_eq!(put_in, 4, "4 MiB and what they count beside it");
    assert_eq!(take(&mailbox, &mut hand), Some(1));
    assert!(room(&mailbox, Class::Ordered), "the first was given back at once");
    put(&mailbox, Class::Ordered, 5, 1 << 20);
    assert!(!room(&mailbox, Class::Ordered), "those in the hand count");
    for sequence in 2..=5 {
        assert_eq!(take(&mailbox, &mut hand), Some(sequence));
    }
    assert_eq!(take(&mailbox, &mut hand), None);
    assert_eq!(mailbox.queues.lock().ordered.bytes, 0);
}

#[test]
fn an_urgent_message_overtakes_those_in_the_hand() {
    let mailbox = Mailbox::new(MAX, &[]);
    let mut hand = Hand::default();
    (1..=50).for_each(|sequence| put(&mailbox, Class::Ordered, sequence, 0));
    assert_eq!(take(&mailbox, &mut hand), Some(1));
    assert_eq!(hand.arrivals.len(), 49, "taken over at once");
    put(&mailbox, Class::Urgent, 99, 0);
    put(&mailbox, Class::Urgent, 100, 0);
    let taken: Vec<_> = std::iter::from_fn(|| take(&mailbox, &mut hand)).collect();
    let expected: Vec<_> = [99, 100].into_iter().chain(2..=50).collect();
    assert_eq!(taken, expected);
}

#[test]
fn a_closed_mailbox_ends_once_the_hand_is_empty() {
    let mailbox = Mailbox::new(MAX, &[]);
    let mut hand = Hand::default();
    put(&mailbox, Class::Ordered, 1, 0);
    put(&mailbox, Class::Ordered, 2, 0);
    assert_eq!(take(&mailbox, &mut hand), Some(1));
    mailbox.close();
    assert_eq!(take(&mailbox, &mut hand), Some(2));
    assert!(matches!(mailbox.take(&mut hand), Taken::Closed));
}
