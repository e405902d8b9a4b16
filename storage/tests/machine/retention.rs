//! Shortening retention holds at once, is written into the messages in bounded steps, and is not
//! undone.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use wardline_storage::applier::Applier;
use wardline_storage::command::{Command, Create, Outcome, Publish, Rejection};
use wardline_storage::engine::{Direction, Table};
use wardline_storage::id::{ConversationId, Seq, TenantId, Timestamp};
use wardline_storage::key;
use wardline_storage::model::{Conversation, Kind, Person, Policy, Text};
use wardline_storage::retention::{ByKind, Keeping, Retentions};

use crate::driver::{ALICE, BOB, Driver, POLICY, WARD};

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
    assert_eq!(stored(&driver, end), 2, "though it was not rewritten for its time; the notices stay");
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
    // 303 was published under the 3000 seconds; the others tell of changes.
    assert_eq!(driver.seen(BOB, Direction::Forward), [301, 302, 303, 304]);
    while driver.apply(BOB, REEXPIRE) == Ok(Outcome::Reexpired { more: true }) {}
    assert_eq!(driver.seen(BOB, Direction::Backward), [304, 303, 302, 301]);
    driver.now = Timestamp(driver.now.0 + 9_999);
    assert_eq!(driver.seen(BOB, Direction::Forward), [301, 302, 303, 304]);
    driver.now = Timestamp(driver.now.0 + 1);
    assert_eq!(driver.seen(BOB, Direction::Forward), [301, 302, 304]);
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

/// An hour at least, a day unless said otherwise, ten days at most; a message lives a minute at
/// least. Of another tenant anything goes.
fn governed() -> Driver {
    let mut driver = Driver::new();
    driver.apply(ALICE, Command::SetPolicy(Policy { retention_max: 30 * DAY, ..POLICY })).expect("set");
    let keeping = Keeping { min: HOUR, default: DAY, max: 10 * DAY, message_min: MINUTE };
    let other = (TenantId::new([9; 16]), ByKind::all(Keeping::up_to(DAY)));
    let retentions = Retentions { everybody: ByKind::all(keeping), tenants: vec![other] };
    driver.apply(ALICE, Command::SetRetentions(Arc::new(retentions))).expect("set");
    driver
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const PAIR: ConversationId = ConversationId::new([0xd0; 16]);

fn direct(driver: &mut Driver, retention: Option<Duration>) -> Result<Outcome, Rejection> {
    let others = vec![Person { user: BOB, name: Text::new("bob") }];
    let (conversation, kind, title) = (PAIR, Kind::Direct, Text::new(""));
    driver.apply(ALICE, Command::Create(Create { conversation, kind, others, title, retention }))
}

#[test]
fn an_admin_shortens_down_to_the_floor_and_no_further() {
    let mut driver = governed();
    driver.publish(1);
    let below = HOUR - Duration::from_millis(1);
    let set = |driver: &mut Driver, retention| {
        driver.apply(ALICE, Command::SetRetention { conversation: WARD, retention: Some(retention) })
    };
    assert_eq!(set(&mut driver, below), Err(Rejection::RetentionMin { min: HOUR }));
    assert_eq!(driver.access(BOB).conversation.retention, None, "nothing was changed");
    assert_eq!(set(&mut driver, HOUR), Ok(Outcome::Changed(Some(Seq(2)))));
    driver.now = driver.now.after(HOUR);
    assert_eq!(driver.seen(BOB, Direction::Forward), [2], "who finds it gone finds who shortened what");
}

#[test]
fn neither_of_two_shortens_what_the_other_wrote_below_the_default() {
    let mut driver = governed();
    let below = DAY - Duration::from_millis(1);
    assert_eq!(direct(&mut driver, Some(below)), Err(Rejection::RetentionMin { min: DAY }));
    direct(&mut driver, None).expect("it is new");
    let published = Publish { conversation: PAIR, ..driver.message() };
    driver.apply(BOB, Command::Publish(published)).expect("he is in it");
    let set = |driver: &mut Driver, user, retention| {
        driver.apply(user, Command::SetRetention { conversation: PAIR, retention: Some(retention) })
    };
    for (user, retention) in [(ALICE, Duration::from_secs(1)), (BOB, HOUR), (ALICE, below)] {
        assert_eq!(set(&mut driver, user, retention), Err(Rejection::RetentionMin { min: DAY }));
    }
    assert!(set(&mut driver, ALICE, 5 * DAY).is_ok(), "longer, whoever asks");
    assert!(set(&mut driver, BOB, DAY).is_ok(), "and back");
    driver.now = Timestamp(driver.now.0 + 86_399_999);
    let access = driver.view().access(ALICE, PAIR).expect("readable").expect("a member");
    let chunk = driver.view().entries(&access, Seq::ZERO, Direction::Forward, 10, 1 << 20).expect("readable");
    assert_eq!(chunk.entries[0].seq, Seq(1), "it is there for its day");
}

/// However short the retention becomes afterwards, and in whatever steps.
#[test]
fn a_notice_outlives_what_it_tells_of() {
    let mut driver = governed();
    driver.publish(2);
    driver.apply(ALICE, Command::DeleteMessage { conversation: WARD, seq: Seq(1) }).expect("her own");
    driver.set_retention(7_200).expect("above the floor");
    driver.set_retention(3_600).expect("at the floor");
    while driver.apply(BOB, REEXPIRE) == Ok(Outcome::Reexpired { more: true }) {}
    let end = driver.now.after(10 * DAY);
    driver.now = driver.now.after(HOUR);
    assert_eq!(driver.seen(BOB, Direction::Forward), [3, 4, 5]);
    driver.now = Timestamp(end.0 - 1);
    assert_eq!(driver.seen(BOB, Direction::Forward), [3, 4, 5]);
    driver.now = end;
    assert!(driver.seen(BOB, Direction::Forward).is_empty(), "they, too, are gone on time");
}

#[test]
fn a_message_lives_for_as_long_as_the_operator_says() {
    let mut driver = governed();
    for (millis, taken) in [(1, false), (59_999, false), (60_000, true)] {
        let expires_in = Some(Duration::from_millis(millis));
        let message = Publish { expires_in, ..driver.message() };
        let published = driver.apply(BOB, Command::Publish(message));
        let refused = Err(Rejection::ExpiryMin { min: MINUTE });
        assert_eq!(published.is_ok(), taken);
        assert!(taken || published == refused);
    }
}

#[test]
fn what_was_chosen_before_counts_between_the_operators_bounds() {
    let mut driver = governed();
    driver.set_retention(3_600).expect("at the floor");
    let kept = |driver: &Driver| {
        let rules = driver.view().rules().expect("there is a policy");
        driver.view().summary(driver.access(BOB), &rules).expect("readable").kept
    };
    assert_eq!(kept(&driver), HOUR);
    for (min, max, expected) in [(2 * HOUR, DAY, 2 * HOUR), (MINUTE, 2 * MINUTE, 2 * MINUTE)] {
        let keeping = Keeping { min, default: max, max, message_min: Duration::ZERO };
        let retentions = Retentions { everybody: ByKind::all(keeping), tenants: Vec::new() };
        driver.apply(ALICE, Command::SetRetentions(Arc::new(retentions))).expect("set");
        assert_eq!(kept(&driver), expected);
    }
}
