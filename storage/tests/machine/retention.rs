//! Shortening retention holds at once, is written into the messages in bounded steps, and is not
//! undone.

use std::ops::ControlFlow;
use std::time::Duration;

use wardline_storage::applier::Applier;
use wardline_storage::command::{Command, Outcome, Rejection};
use wardline_storage::engine::{Direction, Table};
use wardline_storage::id::{Seq, Timestamp};
use wardline_storage::key;
use wardline_storage::model::Conversation;

use crate::driver::{ALICE, BOB, Driver, WARD};

const REEXPIRE: Command = Command::Reexpire { conversation: WARD };

/// How many entries the engine itself would still give at a time.
fn stored(driver: &Driver, now: Timestamp) -> usize {
    let all = key::messages(WARD, Seq(1), Seq::MAX);
    let mut count = 0;
    let mut visit = |_: wardline_storage::engine::Row<'_>| {
        count += 1;
        ControlFlow::Continue(())
    };
    driver.engine.scan(Table::Message, all.range(), Direction::Forward, now, &mut visit).expect("readable");
    count
}

#[test]
fn a_shortening_holds_before_anything_is_rewritten() {
    let mut driver = Driver::new();
    driver.publish(600);
    driver.now = driver.now.after(Duration::from_secs(9));
    driver.set_retention(10).expect("Alice is an admin");
    assert_eq!(driver.seen(BOB, Direction::Forward).len(), 601);
    driver.now = driver.now.after(Duration::from_secs(1));
    assert_eq!(driver.seen(BOB, Direction::Forward), [601], "only the notice is younger than ten seconds");
    assert_eq!(driver.unread(BOB), 0);
    assert_eq!(stored(&driver, driver.now), 601, "nothing was rewritten yet");
}

#[test]
fn what_is_written_after_a_shortening_has_the_shorter_time() {
    let mut driver = Driver::new();
    driver.publish(1);
    driver.set_retention(10).expect("Alice is an admin");
    driver.apply(ALICE, Command::DeleteMessage { conversation: WARD, seq: Seq(1) }).expect("her own");
    let end = driver.now.after(Duration::from_secs(10));
    assert_eq!(stored(&driver, Timestamp(end.0 - 1)), 3, "what is left of it, and two notices");
    assert_eq!(stored(&driver, end), 0, "though it was not rewritten for its time");
}

#[test]
fn rewriting_goes_in_steps_and_survives_a_restart() {
    let mut driver = Driver::new();
    driver.publish(600);
    driver.now = driver.now.after(Duration::from_secs(5));
    driver.set_retention(10).expect("Alice is an admin");
    let due = |driver: &Driver| driver.view().reexpiring(None, 10).expect("readable").items;
    assert_eq!(due(&driver), [WARD]);
    assert_eq!(driver.apply(BOB, REEXPIRE), Ok(Outcome::Reexpired { more: true }));
    driver.applier = Applier::new(driver.engine.clone()).expect("readable");
    assert_eq!(due(&driver), [WARD], "a broker that starts finds what is left");
    let end = driver.now.after(Duration::from_secs(5));
    assert_eq!(stored(&driver, end), 601 - 256);
    assert_eq!(driver.apply(BOB, REEXPIRE), Ok(Outcome::Reexpired { more: true }));
    assert_eq!(driver.apply(BOB, REEXPIRE), Ok(Outcome::Reexpired { more: false }));
    assert_eq!(stored(&driver, end), 1, "the engine forgets by itself now, all but the notice");
    assert!(due(&driver).is_empty());
    assert!(driver.access(BOB).conversation.shortenings.is_empty());
    assert_eq!(driver.apply(BOB, REEXPIRE), Ok(Outcome::Reexpired { more: false }), "and again is harmless");
}

#[test]
fn a_lengthening_brings_nothing_back_and_spares_what_is_new() {
    let mut driver = Driver::new();
    driver.publish(300);
    driver.set_retention(10).expect("shortened");
    driver.apply(BOB, REEXPIRE).expect("half of it is rewritten");
    driver.set_retention(3000).expect("lengthened again");
    driver.publish(1);
    driver.set_retention(20).expect("shortened less");
    driver.now = driver.now.after(Duration::from_secs(10));
    // 301 tells of the 10 seconds and was published under them; 302 and 303 came later.
    assert_eq!(driver.seen(BOB, Direction::Forward), [302, 303, 304]);
    while driver.apply(BOB, REEXPIRE) == Ok(Outcome::Reexpired { more: true }) {}
    assert_eq!(driver.seen(BOB, Direction::Backward), [304, 303, 302]);
    driver.now = Timestamp(driver.now.0 + 9_999);
    assert_eq!(driver.seen(BOB, Direction::Forward), [302, 303, 304]);
    driver.now = Timestamp(driver.now.0 + 1);
    assert!(driver.seen(BOB, Direction::Forward).is_empty());
}

#[test]
fn too_many_shortenings_at_once_have_to_wait() {
    let mut driver = Driver::new();
    driver.publish(1);
    let steps = Conversation::SHORTENINGS_MAX as u64;
    for step in 1..=steps {
        driver.set_retention(step * 10).expect("there is room");
        driver.set_retention(3000).expect("a lengthening needs no room");
    }
    assert_eq!(driver.set_retention((steps + 1) * 10), Err(Rejection::RetentionBusy));
    assert!(driver.set_retention(5).is_ok(), "one that covers all earlier ones needs no room");
    assert_eq!(driver.access(ALICE).conversation.shortenings.len(), 1);
    assert_eq!(driver.apply(BOB, REEXPIRE), Ok(Outcome::Reexpired { more: false }));
    driver.set_retention(3000).expect("a lengthening needs no room");
    assert!(driver.set_retention(90).is_ok());
}
