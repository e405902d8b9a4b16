//! The check is trusted because it catches what is planted: each fault is named, and nothing else
//! is.

use wardline_loadgen::replay::compare::{
    Expected, Findings, Receipts, Seen, View, compare, compare_receipts,
};
use wardline_loadgen::replay::trace::{Person, Trace};

const ME: Person = Person(1);
const PEER: Person = Person(2);
const MINE: &[usize] = &[0, 2, 3];
const THEIRS: &[usize] = &[1, 4];

/// 1 and 2 write to each other, and 3 to 1.
fn trace() -> Trace {
    Trace::parse("1\t2\t10\n2\t1\t11\n1\t2\t12\n1\t2\t13\n2\t1\t14\n3\t1\t15\n", None)
        .expect("the trace is right")
}

/// What 1 sees when everything is right. The order between the two people is the broker's choice.
fn view() -> View {
    let seen = |sequence, sender, message| Seen {
        sequence,
        sender: Some(sender),
        message: Some(message),
        time_ms: sequence,
    };
    View {
        entries: vec![seen(1, PEER, 1), seen(2, ME, 0), seen(3, ME, 2), seen(4, PEER, 4), seen(5, ME, 3)],
        head: 5,
        unread: 0,
        delivered_up_to: 5,
        read_up_to: 4,
    }
}

/// Compares after a fault was planted. All messages were acknowledged where the right view has
/// them.
fn findings(plant: impl FnOnce(&mut View)) -> Findings {
    let acked = |index: usize| {
        view().entries.iter().find(|entry| entry.message == Some(index)).map(|entry| entry.sequence)
    };
    let mut planted = view();
    plant(&mut planted);
    compare(&planted, Expected { mine: MINE, theirs: THEIRS }, &trace(), acked)
}

#[test]
fn the_right_view_is_clean() {
    assert_eq!(findings(|_| ()), Findings::default());
}

#[test]
fn a_lost_message_is_named() {
    let found = findings(|view| {
        view.entries.remove(2);
    });
    assert_eq!(found, Findings { lost: vec![2], ..Findings::default() });
}

#[test]
fn a_lost_conversation_is_all_its_messages() {
    let found = findings(|view| *view = View::default());
    assert_eq!(found.lost, [0, 2, 3, 1, 4]);
}

#[test]
fn a_message_that_was_not_acknowledged_may_be_there_or_not() {
    let nothing = |_| None;
    let expected = Expected { mine: MINE, theirs: THEIRS };
    assert!(compare(&view(), expected, &trace(), nothing).is_clean());
    assert!(compare(&View::default(), expected, &trace(), nothing).is_clean());
}

#[test]
fn a_duplicate_is_named() {
    let found = findings(|view| {
        view.entries.push(Seen { sequence: 6, ..view.entries[3] });
        view.head = 6;
        (view.delivered_up_to, view.read_up_to) = (6, 6);
    });
    assert_eq!(found, Findings { duplicated: vec![4], ..Findings::default() });
}

#[test]
fn messages_of_one_sender_that_changed_places_are_named() {
    let found = findings(|view| {
        view.entries[1].message = Some(2);
        view.entries[2].message = Some(0);
    });
    // Both stand where the ack did not say.
    assert_eq!(found, Findings { reordered: vec![2, 0], ..Findings::default() });
}

#[test]
fn an_order_that_contradicts_the_trace_is_named_even_if_the_acks_agree() {
    let mut swapped = view();
    swapped.entries[1].message = Some(2);
    swapped.entries[2].message = Some(0);
    let acked = |index: usize| swapped.entries.iter().find(|e| e.message == Some(index)).map(|e| e.sequence);
    let found = compare(&swapped, Expected { mine: MINE, theirs: THEIRS }, &trace(), acked);
    assert_eq!(found, Findings { reordered: vec![0], ..Findings::default() });
}

#[test]
fn pages_in_the_wrong_order_are_named() {
    let found = findings(|view| view.entries.swap(0, 1));
    assert_eq!(found, Findings { reordered: vec![1], ..Findings::default() });
}

#[test]
fn what_does_not_belong_is_counted() {
    let foreign = Findings { foreign: 1, ..Findings::default() };
    let add = |entry: Seen| {
        findings(|view| {
            view.entries.push(entry);
            view.head = 6;
        })
    };
    let entry = Seen { sequence: 6, sender: Some(PEER), message: None, time_ms: 6 };
    assert_eq!(add(entry), foreign, "content of nobody");
    assert_eq!(
        add(Seen { message: Some(5), sender: Some(Person(3)), ..entry }),
        foreign,
        "a third person's message"
    );
    let found = findings(|view| view.entries[0].sender = Some(ME));
    assert_eq!((found.foreign, found.lost), (1, vec![1]), "under somebody else's name");
}

#[test]
fn watermarks_that_do_not_cover_are_missing_receipts() {
    let missing = |receipts_missing| Findings { receipts_missing, ..Findings::default() };
    assert_eq!(findings(|view| view.read_up_to = 3), missing(1));
    assert_eq!(findings(|view| view.read_up_to = 0), missing(2));
    assert_eq!(findings(|view| view.unread = 1), missing(1));
}

#[test]
fn watermarks_that_contradict_each_other_are_regressions() {
    let regressed = Findings { receipts_regressed: 1, ..Findings::default() };
    assert_eq!(findings(|view| view.delivered_up_to = 6), regressed, "beyond the head");
    assert_eq!(
        findings(|view| (view.delivered_up_to, view.read_up_to) = (4, 5)),
        regressed,
        "read, not delivered"
    );
    assert_eq!(findings(|view| view.head = 9), regressed, "a head that is not there");
}

#[test]
fn receipt_times_are_there_and_go_forward() {
    let right = |sequence: u64| Receipts {
        sequence,
        time_ms: 10 * sequence,
        delivered_at_ms: Some(10 * sequence + 1),
        read_at_ms: Some(10 * sequence + 2),
    };
    let found = |receipts: &[Receipts]| {
        let mut findings = Findings::default();
        compare_receipts(receipts, &mut findings);
        (findings.receipts_missing, findings.receipts_regressed)
    };
    assert_eq!(found(&[right(1), right(2), right(3)]), (0, 0));
    assert_eq!(found(&[right(1), Receipts { read_at_ms: None, ..right(2) }]), (1, 0));
    assert_eq!(found(&[Receipts { delivered_at_ms: None, ..right(1) }]), (1, 0));
    assert_eq!(found(&[Receipts { delivered_at_ms: Some(13), ..right(1) }]), (0, 1), "read before delivered");
    assert_eq!(found(&[Receipts { time_ms: 12, ..right(1) }]), (0, 1), "delivered before published");
    assert_eq!(found(&[right(2), Receipts { time_ms: 0, ..right(1) }]), (0, 1), "earlier than the one above");
}
