//! Principals share the log: whoever submits much waits behind themselves.

use wardline_storage::hooked::Commits;
use wardline_storage::log::{Bounds, Log, Refused, Share};
use wardline_storage::model::Priority::{Routine, Urgent};

use crate::driver::{Driver, by, delete, eventually, publish, receipt, wide};

/// Submits so many of one principal's, then one of another's; gives in which group, counted from
/// what was held, that one came.
fn group_of_the_other(bounds: Bounds, flood: usize, urgent: bool, other: (u8, u8)) -> usize {
    let mut driver = Driver::start(bounds);
    driver.hold();
    let priority = if urgent { Urgent } else { Routine };
    for _ in 0..flood {
        driver.session.submit(by(1, 7, publish(priority, 0))).expect("there is room");
    }
    driver.session.submit(by(other.0, other.1, publish(priority, 0))).expect("there is room");
    driver.engine.hooks.set(Commits::Pass);
    let last = flood as u64 + 2;
    let place = (0..last).position(|_| driver.session.completion().ticket == last);
    let place = place.expect("it is answered");
    eventually("the observer hears of all", || {
        driver.told.groups().iter().map(|group| group.commands).sum::<usize>() as u64 == last + 1
    });
    // The first is the conversation's, the second was held; answers come in the order of groups.
    let mut through = 0;
    let sizes: Vec<usize> = driver.told.groups()[1..].iter().map(|group| group.commands).collect();
    sizes
        .iter()
        .position(|size| {
            through += size;
            place < through
        })
        .expect("it is in a group")
}

fn small() -> Share {
    Share { group_commands_max: 10, ..Share::ALL }
}

#[test]
fn whoever_submits_much_waits_behind_themselves() {
    let narrow = Bounds { group_commands_max: 64, ..wide() };
    let bounds = Bounds { share: small(), ..narrow };
    for urgent in [false, true] {
        assert_eq!(group_of_the_other(bounds, 500, urgent, (1, 8)), 1, "it is in the very next group");
    }
    // Also where nobody has more than a share, and the group is simply full.
    assert_eq!(group_of_the_other(narrow, 500, false, (2, 8)), 1);
}

#[test]
fn a_principal_has_no_more_of_a_group_than_their_share_while_others_want_it() {
    let mut driver = Driver::start(Bounds { group_commands_max: 40, share: small(), ..wide() });
    driver.hold();
    for _ in 0..100 {
        driver.session.submit(by(1, 7, publish(Routine, 0))).expect("there is room");
    }
    for number in 0..30 {
        driver.session.submit(by(1, 8 + number % 3, publish(Routine, 0))).expect("there is room");
    }
    driver.engine.hooks.set(Commits::Pass);
    let order: Vec<u64> = (0..131).map(|_| driver.session.completion().ticket).collect();
    let others = |tickets: &[u64]| tickets.iter().filter(|ticket| **ticket >= 102).count();
    assert_eq!(others(&order[1..41]), 30, "all of theirs is in the next group: {order:?}");
    eventually("the observer hears of all", || driver.told.groups().len() == 6);
    let sizes: Vec<usize> = driver.told.groups()[2..].iter().map(|group| group.commands).collect();
    assert_eq!(sizes, [40, 40, 40, 10], "and what nobody else wants is not left empty");
}

#[test]
fn what_others_leave_of_a_group_is_for_whoever_waits() {
    for priority in [Routine, Urgent] {
        let share = Share { group_bytes_max: 4_000, ..small() };
        let mut driver = Driver::start(Bounds { share, ..wide() });
        driver.hold();
        for _ in 0..500 {
            driver.session.submit(by(1, 7, publish(priority, 1_000))).expect("there is room");
        }
        driver.session.submit(by(1, 8, publish(Routine, 0))).expect("there is room");
        driver.engine.hooks.set(Commits::Pass);
        for _ in 0..502 {
            driver.session.completion();
        }
        eventually("the observer hears of all", || driver.told.groups().len() == 3);
        assert_eq!(driver.told.groups()[2].commands, 501, "one sync for all of it");
    }
}

#[test]
fn who_had_no_whole_turn_goes_on_with_it() {
    // Seven commands a group, of two with more than a turn's work each: each has as much as the
    // other, whatever a group cuts off.
    let mut driver = Driver::start(Bounds { group_commands_max: 7, ..wide() });
    driver.hold();
    for number in 0..400_u16 {
        driver.session.submit(by(1, 7 + (number % 2) as u8, publish(Routine, 0))).expect("there is room");
    }
    driver.engine.hooks.set(Commits::Pass);
    let order: Vec<u64> = (0..401).map(|_| driver.session.completion().ticket).collect();
    for turns in order[1..321].chunks(64) {
        let first = turns.iter().filter(|ticket| *ticket % 2 == 0).count();
        assert_eq!(first, 32, "{turns:?}");
    }
}

#[test]
fn tenants_have_turns_however_many_people_they_have() {
    let mut driver = Driver::start(Bounds { group_commands_max: 64, ..wide() });
    driver.hold();
    // Forty people of one tenant, and one of another, with more than a turn's work each.
    for user in 10..50 {
        for _ in 0..40 {
            driver.session.submit(by(1, user, publish(Routine, 0))).expect("there is room");
        }
    }
    for _ in 0..64 {
        driver.session.submit(by(2, 60, publish(Routine, 0))).expect("there is room");
    }
    driver.engine.hooks.set(Commits::Pass);
    let first = 2 + 40 * 40;
    let group: Vec<u64> = (0..65).map(|_| driver.session.completion().ticket).skip(1).collect();
    let theirs = group.iter().filter(|ticket| **ticket >= first).count();
    assert_eq!(theirs, 32, "half of the group: {group:?}");
}

#[test]
fn each_caller_keeps_their_order_when_turns_are_given() {
    let bounds = Bounds { group_commands_max: 7, group_bytes_max: 20_000, share: small(), ..wide() };
    let mut driver = Driver::start(bounds);
    driver.hold();
    let mut drawn = 1_u64;
    let mut submitted: [Vec<u64>; 5] = Default::default();
    for ticket in 2..400 {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (user, size) = ((drawn >> 33) as usize % 5, (drawn >> 40) as usize % 9_000);
        driver.session.submit(by(user as u8 % 2, 10 + user as u8, publish(Routine, size))).expect("room");
        submitted[user].push(ticket);
    }
    driver.engine.hooks.set(Commits::Pass);
    let order: Vec<u64> = (0..399).map(|_| driver.session.completion().ticket).collect();
    for tickets in submitted {
        let answered: Vec<u64> = order.iter().copied().filter(|ticket| tickets.contains(ticket)).collect();
        assert_eq!(answered, tickets);
    }
    assert_eq!((driver.log.depth().commands, driver.log.depth().bytes), (0, 0));
}

#[test]
fn what_touches_many_records_is_spread_over_groups() {
    let share = Share { group_records_max: 4, ..Share::ALL };
    let mut driver = Driver::start(Bounds { share, ..wide() });
    driver.hold();
    for _ in 0..12 {
        driver.session.submit(delete()).expect("there is room");
    }
    driver.session.submit(by(1, 8, delete())).expect("there is room");
    driver.engine.hooks.set(Commits::Pass);
    let order: Vec<u64> = (0..14).map(|_| driver.session.completion().ticket).collect();
    assert!(order[1..6].contains(&14), "the other's is in the next group: {order:?}");
}

#[test]
fn a_principal_fills_their_share_of_the_queue_and_nobody_elses() {
    let share = Share { commands_max: 16, ..Share::ALL };
    let mut driver = Driver::start(Bounds { waiting_commands_max: 80, share, ..wide() });
    driver.hold();
    let mut fill = |user: u8, priority| {
        (0..100).take_while(|_| driver.session.submit(by(1, user, publish(priority, 0))).is_ok()).count()
    };
    assert_eq!(fill(7, Routine), 16);
    assert_eq!(fill(7, Urgent), 4, "and less of what is kept for urgent ones");
    assert_eq!((fill(8, Routine), fill(8, Urgent)), (16, 4));
    assert_eq!(driver.session.submit(by(1, 7, publish(Routine, 0))), Err(Refused::Share));
    driver.engine.hooks.set(Commits::Pass);
    for _ in 0..41 {
        driver.session.completion();
    }
    driver.session.submit(by(1, 7, publish(Routine, 0))).expect("there is room again");
    driver.session.completion();
}

#[test]
fn bytes_of_a_principal_are_bounded_but_for_one_submission() {
    let share = Share { bytes_max: 10_000, ..Share::ALL };
    let mut driver = Driver::start(Bounds { share, ..wide() });
    driver.hold();
    driver.session.submit(by(1, 7, publish(Routine, 60_000))).expect("one is taken, however long");
    assert_eq!(driver.session.submit(by(1, 7, publish(Routine, 0))), Err(Refused::Share));
    driver.session.submit(by(1, 8, publish(Routine, 9_000))).expect("another has a share of their own");
    driver.engine.hooks.set(Commits::Pass);
    for _ in 0..3 {
        driver.session.completion();
    }
}

#[test]
fn control_commands_have_room_when_everything_is_full() {
    let share = Share { commands_max: 64, ..Share::ALL };
    let mut driver = Driver::start(Bounds { waiting_commands_max: 64, share, ..wide() });
    driver.hold();
    while driver.session.submit(publish(Routine, 0)).is_ok() {}
    while driver.session.submit(publish(Urgent, 0)).is_ok() {}
    assert_eq!(driver.session.submit(receipt()), Err(Refused::Full), "a receipt can wait");
    let admitted = (0..100).take_while(|_| driver.session.submit(delete()).is_ok()).count();
    assert!(admitted >= 8, "{admitted} of control");
    driver.engine.hooks.set(Commits::Pass);
    while driver.log.depth().commands > 0 {
        driver.session.completion();
    }
}
