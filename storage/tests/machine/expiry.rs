//! A message is there until the millisecond before its expiry, and in no read from that millisecond
//! on.

use std::time::Duration;

use wardline_storage::command::{Command, Outcome, Publish, Rejection};
use wardline_storage::engine::Direction;
use wardline_storage::id::{Seq, Timestamp};

use crate::driver::{ALICE, BOB, Driver, WARD};

const KEPT: Duration = Duration::from_millis(500);

/// A ward with one message that expires after [`KEPT`], so many milliseconds before (or at) its
/// end.
fn before_expiry(millis: u64) -> Driver {
    let mut driver = Driver::new();
    let message = Publish { expires_in: Some(KEPT), ..driver.message() };
    let published = driver.apply(ALICE, Command::Publish(message));
    assert_eq!(published, Ok(Outcome::Published { seq: Seq(1), time: driver.now }));
    driver.now = Timestamp(driver.now.after(KEPT).0 - millis);
    driver
}

#[test]
fn every_read_forgets_at_the_same_millisecond() {
    for (millis, there) in [(1, true), (0, false)] {
        let driver = before_expiry(millis);
        let expected: &[u64] = if there { &[1] } else { &[] };
        assert_eq!(driver.seen(BOB, Direction::Forward), expected);
        assert_eq!(driver.seen(BOB, Direction::Backward), expected);
        assert_eq!(driver.unread(BOB), u32::from(there));
        for user in [ALICE, BOB] {
            let recipients =
                driver.view().recipients(&driver.access(user), Seq(1), None, 10).expect("readable");
            assert_eq!(recipients.is_some(), there);
        }
    }
}

#[test]
fn replying_and_deleting_find_it_until_the_same_millisecond() {
    for (millis, there) in [(1, true), (0, false)] {
        let mut driver = before_expiry(millis);
        let reply = Publish { reply_to: Some(Seq(1)), ..driver.message() };
        let replied = driver.apply(BOB, Command::Publish(reply));
        let seq = Seq(if there { 3 } else { 2 });
        let deleted = driver.apply(ALICE, Command::DeleteMessage { conversation: WARD, seq: Seq(1) });
        if there {
            assert_eq!(replied, Ok(Outcome::Published { seq: Seq(2), time: driver.now }));
            assert_eq!(deleted, Ok(Outcome::Changed(Some(seq))));
        } else {
            assert_eq!((replied, deleted), (Err(Rejection::NotFound), Err(Rejection::NotFound)));
        }
    }
}

#[test]
fn a_repetition_is_answered_though_its_message_is_gone() {
    let mut driver = Driver::new();
    let message = Publish { expires_in: Some(KEPT), ..driver.message() };
    let first = driver.apply(ALICE, Command::Publish(message.clone()));
    driver.now = driver.now.after(Duration::from_millis(59_999));
    assert_eq!(driver.apply(ALICE, Command::Publish(message.clone())), first);
    assert!(driver.seen(BOB, Direction::Forward).is_empty(), "and is not brought back");
    driver.now = driver.now.after(Duration::from_millis(1));
    let again = driver.apply(ALICE, Command::Publish(message));
    assert_eq!(again, Ok(Outcome::Published { seq: Seq(2), time: driver.now }), "the window is over");
}
