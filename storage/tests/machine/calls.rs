//! Calls: urgent messages are found by their index, the newest first, and by nothing else.

use std::ops::ControlFlow;
use std::time::Duration;

use wardline_storage::command::{Acknowledge, Command, Outcome};
use wardline_storage::engine::{Direction, Table};
use wardline_storage::id::{DeviceId, Seq, Timestamp, UserId};
use wardline_storage::key;
use wardline_storage::model::Priority;
use wardline_storage::view::{Look, Spent, View};

use crate::driver::{ALICE, BOB, Driver, WARD};

const TABLET: DeviceId = DeviceId::new([77; 16]);

/// Which urgent messages the index has at a time.
fn index(driver: &Driver, now: Timestamp) -> Vec<u64> {
    let all = key::messages(WARD, Seq(1), Seq::MAX);
    let mut found = Vec::new();
    let mut visit = |row: wardline_storage::engine::Row<'_>| {
        found.push(key::message_seq(row.key).expect("a key of the index").0);
        ControlFlow::Continue(())
    };
    driver.engine.scan(Table::Urgent, all.range(), Direction::Forward, now, &mut visit).expect("readable");
    found
}

fn urgent(driver: &mut Driver) -> Seq {
    let mut message = driver.message();
    message.priority = Priority::Urgent;
    match driver.apply(ALICE, Command::Publish(message)) {
        Ok(Outcome::Published { seq, .. }) => seq,
        other => panic!("{other:?}"),
    }
}

/// What a device of somebody is called by, the newest first.
fn calls(driver: &Driver, user: UserId, device: DeviceId) -> Vec<u64> {
    let (view, access) = (driver.view(), driver.access(user));
    let standing = view.standing(&access, device, None).expect("readable");
    let (mut found, mut below) = (Vec::new(), Seq::MAX);
    while let Look::Call(seq, _) = view.call(&access, standing, Seq::ZERO, below).expect("readable") {
        below = seq;
        found.extend(view.called(&access, seq).expect("readable").map(|placed| placed.seq.0));
    }
    found
}

fn bobs(driver: &Driver) -> DeviceId {
    driver.submission(BOB, Command::RegisterDevice).actor.device
}

#[test]
fn an_urgent_message_is_found_among_thousands_the_newest_first() {
    let mut driver = Driver::new();
    let first = urgent(&mut driver);
    driver.publish(300);
    let second = urgent(&mut driver);
    assert_eq!(index(&driver, driver.now), [first.0, second.0]);
    let device = bobs(&driver);
    assert_eq!(calls(&driver, BOB, device), [second.0, first.0]);
    assert!(calls(&driver, ALICE, TABLET).is_empty(), "nobody is called by what they wrote");
}

#[test]
fn what_was_received_on_the_device_or_read_calls_no_more() {
    let mut driver = Driver::new();
    let (first, second, third) = (urgent(&mut driver), urgent(&mut driver), urgent(&mut driver));
    let device = bobs(&driver);
    let singly = Acknowledge { conversation: WARD, delivered_only: vec![third], ..Acknowledge::default() };
    driver.apply(BOB, Command::Acknowledge(singly)).expect("Bob has it");
    assert_eq!(calls(&driver, BOB, device), [second.0, first.0], "he has no other device");
    let delivered = Acknowledge { conversation: WARD, delivered: Some(first), ..Acknowledge::default() };
    driver.apply(BOB, Command::Acknowledge(delivered)).expect("Bob has it");
    assert_eq!(calls(&driver, BOB, device), [second.0]);
    assert_eq!(calls(&driver, BOB, TABLET), [third.0, second.0], "which device has the third is not known");
    let read = Acknowledge { conversation: WARD, read: Some(second), ..Acknowledge::default() };
    driver.apply(BOB, Command::Acknowledge(read)).expect("Bob has read it");
    assert_eq!(calls(&driver, BOB, TABLET), [third.0]);
}

#[test]
fn looking_for_calls_is_charged_like_other_reads() {
    let mut driver = Driver::new();
    let seq = urgent(&mut driver);
    let (access, device, spent) = (driver.access(BOB), bobs(&driver), Spent::default());
    let view = View::metered(&*driver.engine, driver.now, &spent);
    let standing = view.standing(&access, device, None).expect("readable");
    let before = spent.records();
    assert!(
        matches!(view.call(&access, standing, Seq::ZERO, Seq::MAX), Ok(Look::Call(found, _)) if found == seq)
    );
    assert_eq!(spent.records() - before, 3, "its entry in the index, and two receipts that may be there");
    assert!(view.called(&access, seq).expect("readable").is_some());
    assert_eq!(spent.records() - before, 5, "the message, and the name of who wrote it");
}

#[test]
fn the_index_goes_with_its_message() {
    let mut driver = Driver::new();
    let (first, second) = (urgent(&mut driver), urgent(&mut driver));
    driver.apply(ALICE, Command::DeleteMessage { conversation: WARD, seq: first }).expect("her own");
    assert_eq!(index(&driver, driver.now), [second.0]);
    driver.set_retention(10).expect("Alice is an admin");
    let end = driver.now.after(Duration::from_secs(10));
    assert_eq!(index(&driver, end), [second.0], "it is not rewritten yet");
    while driver.apply(BOB, Command::Reexpire { conversation: WARD }) == Ok(Outcome::Reexpired { more: true })
    {
    }
    assert!(index(&driver, end).is_empty());
    driver.now = end;
    let device = bobs(&driver);
    assert!(calls(&driver, BOB, device).is_empty());
}
