//! The books: each planted fault is found, and nothing that is right is called wrong.

use wardline_loadgen::measure::ledger::{Delivery, Ledger};
use wardline_loadgen::measure::stamp::{STAMP_BYTES, Stamp};
use wardline_loadgen::plan::{Plan, Room, Target};
use wardline_loadgen::result::Integrity;
use wardline_loadgen::workload::{Priority, Workload};

const RUN: u64 = 77;
const ROOM: Room = Room(0);
const TARGET: Target = Target { room: ROOM, publisher: 0, priority: Priority::Routine };

const WORKLOAD: &str = r#"about = "a"
source = "b"
people = 3
rate = 50
warmup = "1s"
duration = "5s"
[[audience]]
name = "team"
kind = "group"
conversations = 1
members = [3, 3]
[[traffic]]
name = "chat"
to = { team = 1.0 }
share = 1.0
payload_bytes = 256
[[traffic]]
name = "call"
to = { team = 1.0 }
per_s = 1
payload_bytes = 128
priority = "urgent"
"#;

fn ledger() -> Ledger {
    Ledger::new(&Plan::new(&Workload::parse("team", WORKLOAD).expect("the workload is good"), 1), RUN)
}

/// A conversation of three in which the first published ten messages, all acknowledged as 1 to 10.
fn published() -> (Ledger, Vec<Stamp>) {
    let mut ledger = ledger();
    let stamps: Vec<_> = (0..10).map(|at| ledger.publish(TARGET, at, at)).collect();
    for (stamp, sequence) in stamps.iter().zip(1..) {
        ledger.acked(stamp, sequence);
    }
    (ledger, stamps)
}

/// Delivers everything to everybody, but for what `change` does to one member's deliveries.
fn found(change: impl Fn(&mut Vec<(Stamp, u64)>)) -> Integrity {
    let (mut ledger, stamps) = published();
    for member in 0..3 {
        let mut deliveries: Vec<_> = stamps.iter().copied().zip(1..).collect();
        if member == 2 {
            change(&mut deliveries);
        }
        for (stamp, sequence) in deliveries {
            ledger.delivered(ROOM, member, Some(&stamp), sequence);
        }
    }
    ledger.finish(true)
}

#[test]
fn what_is_right_is_not_called_wrong() {
    assert_eq!(found(|_| {}), Integrity::default());
}

#[test]
fn a_message_that_never_comes_is_lost() {
    for place in [0, 4, 9] {
        let found = found(|deliveries| {
            deliveries.remove(place);
        });
        assert_eq!(found, Integrity { lost: 1, ..Integrity::default() }, "the one at {place}");
    }
    assert_eq!(found(Vec::clear).lost, 10);
}

#[test]
fn what_is_on_its_way_is_not_lost_yet() {
    let (mut ledger, stamps) = published();
    for member in 0..3 {
        for place in [0, 1, 3] {
            ledger.delivered(ROOM, member, Some(&stamps[place]), place as u64 + 1);
        }
    }
    assert_eq!(ledger.finish(false), Integrity { lost: 3, ..Integrity::default() }, "the third, of each");
    assert_eq!(ledger.finish(true).lost, 3 * 7);
}

#[test]
fn a_message_that_comes_again_is_a_duplicate() {
    let found = found(|deliveries| deliveries.push(deliveries[3]));
    assert_eq!(found, Integrity { duplicated: 1, ..Integrity::default() });
}

#[test]
fn a_message_that_comes_after_a_later_one_is_reordered() {
    let found = found(|deliveries| deliveries.swap(3, 4));
    assert_eq!(found, Integrity { reordered: 1, ..Integrity::default() });
}

#[test]
fn two_messages_that_changed_places_are_misnumbered() {
    // In the right order, but where the acks said that others are.
    let found = found(|deliveries| {
        deliveries[3].1 = 100;
        deliveries.truncate(4);
        deliveries.extend([4, 5, 6, 7, 8, 9].map(|place| (published().1[place], 101 + place as u64)));
    });
    assert_eq!(found, Integrity { misnumbered: 1, ..Integrity::default() });
}

#[test]
fn an_ack_that_goes_back_is_misnumbered() {
    let mut ledger = ledger();
    let first = ledger.publish(TARGET, 0, 0);
    let second = ledger.publish(TARGET, 1, 1);
    ledger.acked(&first, 5);
    ledger.acked(&second, 5);
    assert_eq!(ledger.finish(true).misnumbered, 1);
}

#[test]
fn what_nobody_sent_is_foreign() {
    let (mut ledger, stamps) = published();
    let not_yet = Stamp { counter: 10, ..stamps[9] };
    let other_run = Stamp { run: RUN + 1, ..stamps[0] };
    let other_publisher = Stamp { stream: 6, ..stamps[0] };
    for stamp in [None, Some(&not_yet), Some(&other_run), Some(&other_publisher)] {
        assert_eq!(ledger.delivered(ROOM, 1, stamp, 1), Delivery::Foreign);
    }
    assert_eq!(ledger.delivered(Room(1), 1, Some(&stamps[0]), 1), Delivery::Foreign);
    assert_eq!(ledger.finish(true).foreign, 5);
}

#[test]
fn what_was_never_acknowledged_may_be_missing() {
    let mut ledger = ledger();
    let first = ledger.publish(TARGET, 0, 0);
    let second = ledger.publish(TARGET, 1, 1);
    ledger.acked(&second, 1);
    for member in 0..3 {
        ledger.delivered(ROOM, member, Some(&second), 1);
    }
    assert_eq!(ledger.unanswered(), 1);
    assert_eq!(ledger.finish(true), Integrity::default());
    ledger.failed(&first);
    assert_eq!((ledger.unanswered(), ledger.outstanding()), (0, 0));
}

#[test]
fn urgent_messages_may_overtake() {
    let mut ledger = ledger();
    let urgent = Target { priority: Priority::Urgent, ..TARGET };
    let stamps = [ledger.publish(TARGET, 0, 0), ledger.publish(urgent, 1, 1), ledger.publish(urgent, 2, 2)];
    for (stamp, sequence) in stamps.iter().zip(1..) {
        ledger.acked(stamp, sequence);
    }
    for member in 0..3 {
        for place in [2, 1, 0] {
            let delivery = ledger.delivered(ROOM, member, Some(&stamps[place]), place as u64 + 1);
            assert_eq!(delivery, Delivery::Good);
        }
    }
    assert_eq!(ledger.outstanding(), 0);
    assert_eq!(ledger.finish(true), Integrity::default());
}

#[test]
fn an_urgent_message_that_was_overtaken_may_still_come() {
    let mut ledger = ledger();
    let urgent = Target { priority: Priority::Urgent, ..TARGET };
    let stamps = [ledger.publish(urgent, 0, 0), ledger.publish(urgent, 1, 1)];
    for (stamp, sequence) in stamps.iter().zip(1..) {
        ledger.acked(stamp, sequence);
    }
    for member in 0..3 {
        ledger.delivered(ROOM, member, Some(&stamps[1]), 2);
    }
    assert_eq!(ledger.finish(false), Integrity::default());
    assert_eq!(ledger.finish(true).lost, 3);
}

#[test]
fn stamps_survive_and_damage_shows() {
    let stamp = Stamp { run: RUN, room: 3, stream: 5, counter: 9, intended_ns: 11, sent_ns: 13 };
    for bytes in [STAMP_BYTES, STAMP_BYTES + 1, STAMP_BYTES + 8, 256, 301] {
        let payload = stamp.payload(bytes);
        assert_eq!(payload.len(), bytes);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..bytes - 1]), None, "a byte of {bytes} is missing");
        for place in 0..bytes {
            let mut damaged = payload.to_vec();
            damaged[place] ^= 1;
            assert_eq!(Stamp::read(&damaged), None, "byte {place} of {bytes} is another");
        }
    }
}
