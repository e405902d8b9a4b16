//! No read goes on without end.

use std::sync::Arc;
use std::time::Duration;

use wardline_storage::command::Command;
use wardline_storage::engine::{Direction, Table};
use wardline_storage::id::{DeviceId, Seq};
use wardline_storage::key;
use wardline_storage::view::UNREAD_MAX;

use crate::driver::{ALICE, BOB, Driver};

#[test]
fn unread_messages_are_counted_up_to_a_bound() {
    let mut driver = Driver::new();
    driver.publish(UNREAD_MAX as usize - 1);
    assert_eq!(driver.unread(BOB), UNREAD_MAX - 1);
    driver.publish(10);
    assert_eq!(driver.unread(BOB), UNREAD_MAX);
    assert_eq!(driver.unread(ALICE), 0, "one's own are read");
}

#[test]
fn a_read_that_passes_over_much_stops_and_says_where_to_go_on() {
    let mut driver = Driver::new();
    driver.publish(5_000);
    driver.now = driver.now.after(Duration::from_secs(10));
    driver.set_retention(10).expect("all but the notice is gone, and nothing is rewritten yet");
    let access = driver.access(BOB);
    let first = driver.view().entries(&access, Seq::ZERO, Direction::Forward, 10, 1 << 20).expect("readable");
    assert_eq!((first.entries.len(), first.through, first.more), (0, Seq(4_096), true));
    let next =
        driver.view().entries(&access, first.through, Direction::Forward, 10, 1 << 20).expect("readable");
    assert_eq!((next.entries.len(), next.through, next.more), (1, Seq(5_001), false));
    assert_eq!(driver.seen(BOB, Direction::Backward), [5_001]);
}

#[test]
fn a_chunk_keeps_to_its_bytes_after_the_first_entry() {
    let mut driver = Driver::new();
    driver.publish(4);
    let access = driver.access(BOB);
    for (bytes_max, entries, through) in [(0, 1, 1), (5, 1, 1), (9, 1, 1), (10, 2, 2), (20, 4, 4)] {
        let chunk =
            driver.view().entries(&access, Seq::ZERO, Direction::Forward, 10, bytes_max).expect("readable");
        assert_eq!((chunk.entries.len(), chunk.through, chunk.more), (entries, Seq(through), entries < 4));
    }
}

#[test]
fn a_position_beyond_the_head_comes_back_to_it() {
    let mut driver = Driver::new();
    driver.publish(3);
    let access = driver.access(BOB);
    let chunk = driver.view().entries(&access, Seq(9), Direction::Forward, 10, 1 << 20).expect("readable");
    assert_eq!((chunk.entries.len(), chunk.through, chunk.more), (0, Seq(3), false));
}

/// The driver lets a person have four.
#[test]
fn of_too_many_devices_the_one_not_seen_for_longest_is_forgotten() {
    let mut driver = Driver::new();
    let mut register = |number: u8| {
        driver.now = driver.now.after(Duration::from_secs(86_400));
        let mut register = driver.submission(BOB, Command::RegisterDevice);
        Arc::make_mut(&mut register.actor).device = DeviceId::new([number; 16]);
        driver.applier.apply_group(driver.now, &[register]).expect("the engine works");
        let registered = |number| {
            let at = key::device(BOB, DeviceId::new([number; 16]));
            driver.engine.get(Table::Device, &at, driver.now).expect("readable").is_some()
        };
        (1..=6).filter(|number| registered(*number)).collect::<Vec<u8>>()
    };
    for number in 1..=4 {
        register(number);
    }
    assert_eq!(register(1), [1, 2, 3, 4], "known already");
    assert_eq!(register(5), [1, 3, 4, 5]);
    assert_eq!(register(6), [1, 4, 5, 6]);
}

/// A device that never acknowledged is owed what came since it was registered, and what nobody
/// received.
#[test]
fn a_new_device_goes_on_where_it_is_owed_something() {
    let mut driver = Driver::new();
    driver.publish(100);
    driver.now = driver.now.after(Duration::from_secs(1));
    let mut register = driver.submission(BOB, Command::RegisterDevice);
    Arc::make_mut(&mut register.actor).device = DeviceId::new([0xd2; 16]);
    driver.applier.apply_group(driver.now, &[register]).expect("the engine works");
    driver.publish(100);
    let position = |driver: &Driver, device| {
        driver.view().device_position(&driver.access(BOB), DeviceId::new([device; 16])).expect("readable")
    };
    assert_eq!(position(&driver, 0xd2), Seq::ZERO, "nobody received anything yet");
    let acknowledge = wardline_storage::command::Acknowledge {
        conversation: crate::driver::WARD,
        delivered: Some(Seq(150)),
        ..Default::default()
    };
    driver.apply(BOB, Command::Acknowledge(acknowledge)).expect("it is within the head");
    assert_eq!(position(&driver, 0xd1), Seq(150), "its own place");
    assert_eq!(position(&driver, 0xd2), Seq(100), "what came since it was registered");
    assert_eq!(position(&driver, 0xd3), Seq(150), "not registered: what nobody received");
}
