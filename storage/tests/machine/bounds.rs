//! No read goes on without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use wardline_storage::command::{Acknowledge, Command, Publish, Rejection};
use wardline_storage::engine::{Direction, Engine, EngineError, KeyRange, Table, Visit};
use wardline_storage::hooked::{HookedEngine, Hooks};
use wardline_storage::id::{DeviceId, Seq, Timestamp, UserId};
use wardline_storage::key;
use wardline_storage::model::{Person, Priority, Role, Text};
use wardline_storage::view::{PASSED_OVER_MAX, Spent, UNREAD_MAX, View};

use crate::driver::{ALICE, BOB, Driver, WARD};

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
    assert_eq!((first.entries.len(), first.through, first.more), (0, Seq(PASSED_OVER_MAX as u64), true));
    let (mut steps, mut from) = (1, first.through);
    loop {
        let next = driver.view().entries(&access, from, Direction::Forward, 10, 1 << 20).expect("readable");
        (steps, from) = (steps + 1, next.through);
        if !next.more {
            assert_eq!((next.entries.len(), next.through), (1, Seq(5_001)));
            break;
        }
        assert!(next.entries.is_empty());
    }
    assert_eq!(steps, 5_000_usize.div_ceil(PASSED_OVER_MAX));
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
fn people_who_are_mentioned_count_in_a_chunk() {
    let mut driver = Driver::new();
    for number in [1, 3, 5] {
        let person = |number| Person { user: UserId::new([number; 16]), name: Text::new("somebody") };
        let people = vec![person(number), person(number + 1)];
        let role = Role::Member;
        let add = Command::AddMembers { conversation: WARD, people, role, share_history: false };
        driver.apply(ALICE, add).expect("Alice is an admin");
    }
    let access = driver.access(BOB);
    let read = |bytes_max| {
        driver.view().entries(&access, Seq::ZERO, Direction::Forward, 10, bytes_max).expect("readable")
    };
    assert_eq!(read(1 << 20).entries.len(), 3);
    assert_eq!(read(2 * 136 * 2).entries.len(), 2, "a notice is as long as the names in it");
    assert_eq!(read(0).entries.len(), 1);
}

#[test]
fn a_view_tells_what_it_cost() {
    let mut driver = Driver::new();
    driver.publish(10);
    let (access, spent) = (driver.access(BOB), Spent::default());
    let view = View::metered(&*driver.engine, driver.now, &spent);
    view.entries(&access, Seq::ZERO, Direction::Forward, 5, 1 << 20).expect("readable");
    // One more, to know that there is more, and the sender's name.
    assert_eq!(spent.records(), 7);
    assert!(spent.bytes() > 7 * 16, "{} bytes", spent.bytes());
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

/// Counts what is copied of messages, and what is looked at where it lies.
#[derive(Default)]
struct Watched {
    copied: AtomicUsize,
    looked_at: AtomicUsize,
}

impl Hooks for Watched {
    fn get(
        &self,
        below: &dyn Engine,
        table: Table,
        key: &[u8],
        now: Timestamp,
    ) -> Result<Option<Bytes>, EngineError> {
        self.copied.fetch_add(usize::from(table == Table::Message), Ordering::Relaxed);
        below.get(table, key, now)
    }

    fn scan(
        &self,
        below: &dyn Engine,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        below.scan(table, range, direction, now, &mut |row| {
            self.looked_at.fetch_add(usize::from(table == Table::Message), Ordering::Relaxed);
            visit(row)
        })
    }
}

#[test]
fn single_receipts_copy_no_message_and_look_at_one_each() {
    let engine = Arc::new(HookedEngine::new(Watched::default()));
    let mut driver = Driver::on(Arc::clone(&engine) as _);
    for number in 1..=20 {
        let priority = if number == 20 { Priority::Routine } else { Priority::Urgent };
        let message = Publish { payload: vec![7; 60_000].into(), priority, ..driver.message() };
        driver.apply(ALICE, Command::Publish(message)).expect("Alice is a member");
    }
    let acknowledge = |seqs: Vec<u64>| {
        let delivered_only: Vec<Seq> = seqs.into_iter().map(Seq).collect();
        let read_only = delivered_only.clone();
        let (delivered, read) = (None, None);
        Command::Acknowledge(Acknowledge { conversation: WARD, delivered, read, delivered_only, read_only })
    };
    let counts =
        || [&engine.hooks.copied, &engine.hooks.looked_at].map(|count| count.swap(0, Ordering::Relaxed));
    counts();
    driver.apply(BOB, acknowledge((1..=16).collect())).expect("they are urgent");
    assert_eq!(counts(), [0, 32]);
    assert_eq!(driver.apply(BOB, acknowledge(vec![20])), Err(Rejection::NotUrgent));
    driver.apply(ALICE, Command::DeleteMessage { conversation: WARD, seq: Seq(17) }).expect("it is hers");
    driver.apply(BOB, acknowledge(vec![17])).expect("there is nothing left to certify");
    driver.now = driver.now.after(Duration::from_secs(4_000));
    driver.apply(BOB, acknowledge(vec![18])).expect("nor here: it has expired");
}
