//! What arrives at an inbox is judged right, whatever order it comes in.

use std::sync::Arc;

use wardline_client::{Body, ConversationId, Entry, MessageId, Priority, Receipt, ReceiptKind};
use wardline_loadgen::replay::arrivals::{Arrival, Arrivals};
use wardline_loadgen::replay::content::{CONTENT_TYPE, Contents};
use wardline_loadgen::replay::trace::{Person, Trace};

const SEED: u64 = 11;

fn trace() -> Arc<Trace> {
    Arc::new(
        Trace::parse("2\t1\t10\n2\t1\t11\n1\t2\t12\n2\t3\t13\n2\t1\t14\n", None).expect("the trace is right"),
    )
}

fn arrivals() -> Arrivals {
    Arrivals::new(Person(1), trace(), Contents::new(SEED))
}

/// A message of the trace as an entry of the conversation between 1 and 2.
fn entry(message: usize, sequence: u64) -> Entry {
    let sent = trace().messages[message];
    Entry {
        conversation: ConversationId([1; 16]),
        sequence,
        sender: sent.sender.to_string().into(),
        time_ms: sequence,
        expires_at_ms: u64::MAX,
        body: Body::Message {
            id: MessageId([2; 16]),
            content_type: CONTENT_TYPE.into(),
            payload: Contents::new(SEED).payload(message, &sent),
            priority: Priority::Routine,
            reply_to: None,
        },
    }
}

#[test]
fn messages_in_order_are_messages() {
    let mut arrivals = arrivals();
    assert_eq!(arrivals.entry(&entry(0, 1)), Arrival::Message(0));
    assert_eq!(arrivals.entry(&entry(2, 2)), Arrival::Own(2));
    assert_eq!(arrivals.entry(&entry(1, 3)), Arrival::Message(1));
    assert_eq!(arrivals.entry(&entry(4, 4)), Arrival::Message(4));
}

#[test]
fn faults_are_told_apart() {
    let mut arrivals = arrivals();
    assert_eq!(arrivals.entry(&entry(1, 1)), Arrival::Message(1));
    assert_eq!(arrivals.entry(&entry(1, 1)), Arrival::Duplicate);
    assert_eq!(arrivals.entry(&entry(1, 2)), Arrival::Duplicate, "under another sequence");
    assert_eq!(arrivals.entry(&entry(0, 3)), Arrival::Reordered(0), "after a later one of the same sender");
    assert_eq!(arrivals.entry(&entry(4, 2)), Arrival::Reordered(4), "a sequence that goes back");
    assert_eq!(arrivals.entry(&entry(3, 9)), Arrival::Foreign, "to somebody else");
    let forged = Entry { sender: Person(1).to_string().into(), ..entry(2, 9) };
    assert_eq!(arrivals.entry(&Entry { sender: Person(2).to_string().into(), ..forged }), Arrival::Foreign);
    let tombstone = Body::Tombstone { by: Person(2).to_string(), at_ms: 1 };
    assert_eq!(arrivals.entry(&Entry { body: tombstone, ..entry(2, 9) }), Arrival::Foreign);
}

#[test]
fn receipts_go_forward() {
    let receipt = |kind, sequence, time_ms| Receipt {
        conversation: ConversationId([1; 16]),
        user: Person(2).to_string(),
        kind,
        sequence,
        only: false,
        time_ms,
    };
    let mut arrivals = arrivals();
    assert!(arrivals.receipt(&receipt(ReceiptKind::Delivered, 2, 10)));
    assert!(arrivals.receipt(&receipt(ReceiptKind::Read, 1, 9)), "another kind");
    assert!(arrivals.receipt(&receipt(ReceiptKind::Delivered, 2, 10)), "told again");
    assert!(!arrivals.receipt(&receipt(ReceiptKind::Delivered, 1, 11)), "back in place");
    assert!(!arrivals.receipt(&receipt(ReceiptKind::Read, 2, 8)), "back in time");
}
