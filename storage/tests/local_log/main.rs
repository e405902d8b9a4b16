//! The local log: what it groups, when it answers, whom it refuses, how it ends.

mod driver;
mod shares;

use std::thread;
use std::time::{Duration, Instant};

use driver::{Driver, PATIENCE, Session, eventually, publish, receipt, wide};
use wardline_storage::command::Outcome;
use wardline_storage::engine::Durability;
use wardline_storage::hooked::Commits;
use wardline_storage::id::{Seq, Timestamp};
use wardline_storage::log::{Bounds, Log, Lost, Refused};
use wardline_storage::model::Priority::{Routine, Urgent};

#[test]
fn what_waits_during_a_commit_shares_the_next_sync() {
    let mut driver = Driver::start(wide());
    driver.hold();
    let commits = driver.engine.hooks.returned().len();
    for _ in 0..500 {
        driver.session.submit(publish(Routine, 10)).unwrap();
    }
    driver.engine.hooks.set(Commits::Pass);
    // 1 from the hold, 500 from here, after the notice-free creation: sequences go on without a
    // hole.
    for i in 0..501 {
        assert_eq!(driver.session.published(), (1 + i, Seq(1 + i)));
    }
    assert_eq!(driver.engine.hooks.returned().len(), commits + 2, "one sync for the first, one for the 500");
    eventually("the observer hears of the groups", || driver.told.groups().len() == 3);
    assert_eq!(driver.told.groups()[2].commands, 500);
    assert!(driver.told.events() >= 501);
}

#[test]
fn nothing_is_answered_or_told_before_its_commit_returned() {
    let mut driver = Driver::start(wide());
    let events = driver.told.events();
    driver.hold();
    driver.session.submit(publish(Urgent, 10)).unwrap();
    // The committer stands inside the commit: an answer sent ahead of it would be here already.
    assert!(driver.session.try_completion().is_none(), "answered before the commit returned");
    assert_eq!(
        (driver.told.groups().len(), driver.told.events()),
        (1, events),
        "told before the commit returned"
    );
    driver.engine.hooks.set(Commits::Pass);
    assert_eq!(driver.session.published().0, 1);
    assert_eq!(driver.session.published().0, 2);
}

#[test]
fn what_changes_state_is_synced() {
    let mut driver = Driver::start(wide());
    for _ in 0..20 {
        driver.session.submit(publish(Routine, 10)).unwrap();
        driver.session.published();
    }
    let commits = driver.engine.hooks.returned();
    assert!(
        commits.len() >= 21 && commits.iter().all(|(_, asked)| *asked == Durability::Synced),
        "{commits:?}"
    );
}

#[test]
fn a_group_has_one_time_and_an_answer_says_where_it_stands() {
    let mut driver = Driver::start(wide());
    driver.clock.set(Timestamp(1_700_000_000_100));
    driver.hold();
    for _ in 0..3 {
        driver.session.submit(publish(Routine, 0)).unwrap();
    }
    // Whatever the clock said when they were submitted, and though it is set back.
    driver.clock.set(Timestamp(1_600_000_000_000));
    driver.engine.hooks.set(Commits::Pass);
    for position in [2, 5, 5, 5] {
        let completion = driver.session.completion();
        assert_eq!(completion.position, position);
        assert!(driver.log.applied().position >= position, "who is answered can read it");
        let verdict = completion.verdict.expect("durable");
        assert!(
            matches!(verdict, Ok(Outcome::Published { time: Timestamp(1_700_000_000_100), .. })),
            "{verdict:?}"
        );
    }
}

/// How many messages go into each group, when so long ones wait during the commit of a first one.
fn group_sizes(bounds: Bounds, payloads: &[usize]) -> Vec<usize> {
    let mut driver = Driver::start(bounds);
    driver.hold();
    for payload in payloads {
        driver.session.submit(publish(Routine, *payload)).expect("there is room");
    }
    driver.engine.hooks.set(Commits::Pass);
    for i in 0..=payloads.len() as u64 {
        assert_eq!(driver.session.published(), (1 + i, Seq(1 + i)));
    }
    let sizes = || driver.told.groups().iter().map(|group| group.commands).collect::<Vec<usize>>();
    eventually("the observer hears of every group", || sizes().iter().sum::<usize>() == 2 + payloads.len());
    assert_eq!((driver.log.depth().commands, driver.log.depth().bytes), (0, 0));
    let sizes = sizes();
    assert_eq!(sizes[..2], [1, 1], "the conversation and the first message");
    sizes[2..].to_vec()
}

#[test]
fn a_group_keeps_its_bounds() {
    let by_commands = Bounds { group_commands_max: 10, ..wide() };
    assert_eq!(group_sizes(by_commands, &[0; 25]), [10, 10, 5]);
    assert_eq!(group_sizes(by_commands, &[0; 10]), [10], "what just fits");

    let weight = publish(Routine, 2_000).weight();
    let by_bytes = Bounds { group_bytes_max: 2 * weight, ..wide() };
    assert_eq!(group_sizes(by_bytes, &[2_000; 5]), [2, 2, 1], "what just fits");
    assert_eq!(group_sizes(by_bytes, &[2_000, 6_000, 2_000]), [1, 1, 1], "heavier than a group: alone");

    let both = Bounds { group_commands_max: 10, group_bytes_max: 5_000, ..wide() };
    let payloads = [[0; 25].as_slice(), &[6_000], &[2_000; 4]].concat();
    assert_eq!(group_sizes(both, &payloads), [10, 10, 5, 1, 2, 2]);
}

/// Everything after a failure: lost, stopped, said once, never tried again.
fn fails_for_good(how: Commits, text: &str) {
    let mut driver = Driver::start(wide());
    driver.hold();
    for _ in 0..30 {
        driver.session.submit(publish(Routine, 10)).expect("taken in");
    }
    let entered = driver.engine.hooks.entered();
    driver.engine.hooks.set(how);
    for ticket in 1..32 {
        let completion = driver.session.completion();
        assert_eq!((completion.ticket, completion.verdict.err()), (ticket, Some(Lost)));
    }
    eventually("the observer hears of the failure", || !driver.told.failures().is_empty());
    // Even if the disk would work again.
    driver.engine.hooks.set(Commits::Pass);
    assert_eq!(driver.session.submit(publish(Routine, 10)), Err(Refused::Stopped));
    assert_eq!(driver.session.submit(publish(Urgent, 10)), Err(Refused::Stopped));
    driver.log.close();
    assert_eq!(driver.engine.hooks.entered(), entered, "a failed commit is never tried again");
    let failures = driver.told.failures();
    assert!(failures.len() == 1 && failures[0].contains(text), "{failures:?}");
    assert_eq!(driver.told.groups().len(), 1, "what failed is not told as committed");
}

#[test]
fn after_a_failed_commit_everything_is_lost_and_nothing_is_tried_again() {
    fails_for_good(Commits::Fail, "planted failure");
}

#[test]
fn a_panic_stops_the_log_and_leaves_nobody_waiting() {
    fails_for_good(Commits::Panic, "panicked");
}

#[test]
fn a_full_log_refuses_and_keeps_room_for_urgent_messages() {
    let mut driver = Driver::start(Bounds { waiting_commands_max: 80, ..wide() });
    driver.hold();
    let mut taken = 0;
    while driver.session.submit(publish(Routine, 0)) != Err(Refused::Full) {
        taken += 1;
    }
    assert_eq!(taken, 70, "routine messages may fill seven eighths");
    assert_eq!((driver.log.depth().commands, driver.log.depth().commands_max), (70, 80));
    let mut urgent = 0;
    while driver.session.submit(publish(Urgent, 0)) != Err(Refused::Full) {
        urgent += 1;
    }
    assert_eq!(urgent, 10, "the last eighth is for urgent ones");
    assert_eq!(driver.session.submit(publish(Routine, 0)), Err(Refused::Full));
    driver.engine.hooks.set(Commits::Pass);
    for _ in 0..81 {
        driver.session.published();
    }
    assert_eq!((driver.log.depth().commands, driver.log.depth().bytes), (0, 0));
    driver.session.submit(publish(Routine, 0)).expect("there is room again");
    driver.session.published();
}

#[test]
fn bytes_are_bounded_like_commands() {
    let weight = publish(Routine, 9_000).weight();
    let mut driver = Driver::start(Bounds { waiting_bytes_max: 8 * weight, ..wide() });
    driver.hold();
    let mut taken = 0;
    while driver.session.submit(publish(Routine, 9_000)) != Err(Refused::Full) {
        taken += 1;
    }
    assert_eq!(taken, 7, "seven eighths, to the byte");
    assert_eq!(driver.log.depth().bytes, taken * weight);
    driver.session.submit(publish(Urgent, 9_000)).expect("an urgent message has room, to the byte");
    driver.session.submit(publish(Routine, 100_000)).expect_err("heavier than all that may wait");
    driver.engine.hooks.set(Commits::Pass);
    for _ in 0..taken + 2 {
        driver.session.published();
    }
}

#[test]
fn urgent_messages_overtake_and_each_kind_keeps_its_order() {
    let mut driver = Driver::start(Bounds { group_commands_max: 3, ..wide() });
    driver.hold();
    // Tickets 2 to 6 are routine, 7 to 10 urgent.
    for _ in 0..5 {
        driver.session.submit(publish(Routine, 0)).unwrap();
    }
    for _ in 0..4 {
        driver.session.submit(publish(Urgent, 0)).unwrap();
    }
    driver.engine.hooks.set(Commits::Pass);
    let order: Vec<u64> = (0..10).map(|_| driver.session.published().0).collect();
    assert_eq!(order, [1, 7, 8, 9, 10, 2, 3, 4, 5, 6]);
}

#[test]
fn urgent_messages_are_owed_from_their_taking_in_until_their_answer() {
    let bounds = Bounds { waiting_commands_max: 8, ..wide() };
    let mut driver = Driver::start(bounds);
    driver.hold();
    assert!(!driver.log.owes_urgent(), "a routine message is none");
    let room = (0..).take_while(|_| driver.session.submit(publish(Urgent, 0)).is_ok()).count();
    assert_eq!(room, 8);
    assert!(driver.log.owes_urgent());
    // They, and the one that was held.
    driver.engine.hooks.set(Commits::Pass);
    for _ in 0..room + 1 {
        driver.session.published();
    }
    eventually("nothing is owed", || !driver.log.owes_urgent());
    driver.hold();
    driver.session.submit(publish(Urgent, 0)).expect("taken in");
    assert!(driver.log.owes_urgent(), "what was refused before is not counted");
    driver.engine.hooks.set(Commits::Pass);
    eventually("nothing is owed", || !driver.log.owes_urgent());
}

#[test]
fn a_log_that_failed_owes_nothing_urgent() {
    let mut driver = Driver::start(Bounds { group_commands_max: 1, ..wide() });
    driver.hold();
    // One is in hand when it fails, one waits.
    driver.session.submit(publish(Urgent, 0)).unwrap();
    driver.session.submit(publish(Urgent, 0)).unwrap();
    assert!(driver.log.owes_urgent());
    driver.engine.hooks.set(Commits::Fail);
    for _ in 0..3 {
        assert!(driver.session.completion().verdict.is_err());
    }
    eventually("nothing is owed", || !driver.log.owes_urgent());
}

#[test]
fn receipts_wait_for_company_and_go_with_whatever_does_not() {
    let mut driver = Driver::start(Bounds { receipts_wait: PATIENCE * 10, ..wide() });
    let (entered, groups) = (driver.engine.hooks.entered(), driver.told.groups().len());
    for _ in 0..5 {
        driver.session.submit(receipt()).unwrap();
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!((driver.engine.hooks.entered(), driver.log.depth().commands), (entered, 5));
    driver.session.submit(publish(Routine, 0)).unwrap();
    for _ in 0..6 {
        assert!(driver.session.completion().verdict.is_ok());
    }
    eventually("one group is told", || driver.told.groups().len() == groups + 1);
    assert_eq!(driver.told.groups()[groups].commands, 6);
    driver.session.submit(receipt()).unwrap();
    driver.session.submit(publish(Urgent, 0)).unwrap();
    for _ in 0..2 {
        assert!(driver.session.completion().verdict.is_ok());
    }
    // Nor does the end wait for them.
    driver.session.submit(receipt()).unwrap();
    driver.log.close();
    assert!(driver.session.completion().verdict.is_ok());
}

#[test]
fn receipts_that_a_full_group_left_behind_wait_for_company_again() {
    let never = Bounds { receipts_wait: PATIENCE * 10, ..wide() };
    let mut driver = Driver::start(Bounds { group_commands_max: 2, ..never });
    driver.hold();
    driver.session.submit(publish(Routine, 0)).unwrap();
    driver.session.submit(publish(Routine, 0)).unwrap();
    driver.session.submit(receipt()).unwrap();
    driver.engine.hooks.set(Commits::Pass);
    for _ in 0..3 {
        driver.session.published();
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!(driver.log.depth().commands, 1, "nothing that presses is left");
}

#[test]
fn receipts_do_not_wait_longer_than_they_may_or_for_more_than_a_group() {
    let mut driver = Driver::start(Bounds { receipts_wait: Duration::from_millis(30), ..wide() });
    let begun = Instant::now();
    driver.session.submit(receipt()).unwrap();
    assert!(driver.session.completion().verdict.is_ok());
    assert!(begun.elapsed() >= Duration::from_millis(30));

    let never = Bounds { receipts_wait: PATIENCE * 10, ..wide() };
    let small = Bounds { group_commands_max: 10, ..never };
    // An eighth is kept for urgent messages.
    let full = Bounds { waiting_commands_max: 16, group_commands_max: 16, ..never };
    for (bounds, count) in [(small, 10), (full, 14)] {
        let mut driver = Driver::start(bounds);
        for _ in 0..count {
            driver.session.submit(receipt()).unwrap();
        }
        for _ in 0..count {
            assert!(driver.session.completion().verdict.is_ok());
        }
    }
}

#[test]
fn every_caller_keeps_its_order() {
    const CALLERS: u64 = 8;
    const MESSAGES: u64 = 300;
    let driver = Driver::start(Bounds { group_commands_max: 37, ..wide() });
    let all: Vec<Vec<Seq>> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = Session::new(&driver.log);
                    for _ in 0..MESSAGES {
                        session.submit(publish(Routine, 5)).expect("taken in");
                    }
                    (0..MESSAGES)
                        .map(|ticket| {
                            let (answered, seq) = session.published();
                            assert_eq!(answered, ticket);
                            seq
                        })
                        .collect()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("no caller fails")).collect()
    });
    for seqs in &all {
        assert!(seqs.is_sorted_by(|earlier, later| earlier < later), "a caller's messages were reordered");
    }
    let mut together: Vec<Seq> = all.into_iter().flatten().collect();
    together.sort();
    assert_eq!(
        together,
        (1..=CALLERS * MESSAGES).map(Seq).collect::<Vec<_>>(),
        "each has a place of its own"
    );
}

#[test]
fn close_finishes_what_waits_and_takes_nothing_more() {
    let mut driver = Driver::start(Bounds { group_commands_max: 10, ..wide() });
    driver.hold();
    for _ in 0..100 {
        driver.session.submit(publish(Routine, 10)).unwrap();
    }
    let log = driver.log.clone();
    let closing = thread::spawn(move || log.close());
    eventually("the log takes nothing in", || {
        driver.session.submit(publish(Routine, 0)) == Err(Refused::Stopped)
    });
    assert!(!closing.is_finished(), "close waits for the commit");
    driver.engine.hooks.set(Commits::Pass);
    closing.join().unwrap();
    // All answers are there by now: no waiting.
    for _ in 0..101 {
        assert!(driver.session.try_completion().is_some_and(|completion| completion.verdict.is_ok()));
    }
    driver.log.close();
    assert_eq!(driver.session.submit(publish(Urgent, 0)), Err(Refused::Stopped));
    assert!(driver.told.failures().is_empty());
}

#[test]
fn close_does_not_wait_for_ever() {
    let mut driver = Driver::start(Bounds { close_timeout: Duration::from_millis(50), ..wide() });
    driver.hold();
    driver.session.submit(publish(Routine, 10)).unwrap();
    let began = Instant::now();
    driver.log.close();
    assert!(began.elapsed() < PATIENCE);
    let completion = driver.session.completion();
    assert_eq!((completion.ticket, completion.verdict.err()), (2, Some(Lost)), "what waited is given up");
    // The one in the commit gets its true answer once there is one.
    driver.engine.hooks.set(Commits::Pass);
    assert_eq!(driver.session.published().0, 1);
}

#[test]
fn dropping_the_log_lets_go_of_the_engine() {
    let mut driver = Driver::start(wide());
    driver.session.submit(publish(Routine, 10)).unwrap();
    let Driver { engine, log, mut session, .. } = driver;
    session.published();
    drop((session, log));
    assert_eq!(std::sync::Arc::strong_count(&engine), 1, "the store could be opened again now");
}
