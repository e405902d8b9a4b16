//! Rules about keys, values, order, batches and consistency.
//!
//! Nothing here expires; time is [`expiry`](super::expiry)'s business. Each rule starts from an
//! empty engine, and its assertions say which rule was broken.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;

use super::rows::{EARLY, Rule, collect, commit, contents, delete, key, put, read};
use crate::engine::{Direction, Durability, Engine, KEY_BYTES_MAX, KeyRange, Row, Table};

pub(super) const RULES: &[Rule] = &[
    an_empty_engine_has_nothing,
    a_record_is_read_as_it_was_last_written,
    the_last_mutation_of_a_batch_wins,
    tables_are_apart,
    a_scan_goes_through_its_range_in_order,
    a_scan_of_an_empty_range_shows_nothing,
    a_scan_stops_when_told,
    keys_are_plain_bytes,
    large_values_and_batches_are_kept_whole,
    a_visitor_may_read,
    a_scan_sees_one_state,
    an_empty_batch_is_a_batch,
    the_engine_has_a_name,
];

fn an_empty_engine_has_nothing(engine: &dyn Engine) {
    for table in Table::ALL {
        assert_eq!(read(engine, table, b"key"), None);
        assert!(contents(engine, table, EARLY).is_empty(), "an engine made fresh is empty");
    }
}

fn a_record_is_read_as_it_was_last_written(engine: &dyn Engine) {
    for durability in [Durability::Synced, Durability::Buffered] {
        for value in [&b"first"[..], b"second, longer", b"3", b""] {
            engine.commit(&[put(Table::Device, b"key", value)], durability).expect("commits");
            assert_eq!(read(engine, Table::Device, b"key").as_deref(), Some(value));
        }
        engine.commit(&[delete(Table::Device, b"key")], durability).expect("commits");
        assert_eq!(read(engine, Table::Device, b"key"), None, "what was deleted is gone");
        engine.commit(&[delete(Table::Device, b"key")], durability).expect("deleting nothing is no error");
    }
    commit(engine, &[put(Table::Device, b"key", b"again")]);
    assert_eq!(read(engine, Table::Device, b"key").as_deref(), Some(&b"again"[..]));
}

fn the_last_mutation_of_a_batch_wins(engine: &dyn Engine) {
    let batch = [
        put(Table::Cursor, b"rewritten", b"1"),
        put(Table::Cursor, b"rewritten", b"2"),
        put(Table::Cursor, b"deleted", b"1"),
        delete(Table::Cursor, b"deleted"),
        delete(Table::Cursor, b"restored"),
        put(Table::Cursor, b"restored", b"1"),
    ];
    commit(engine, &batch);
    assert_eq!(read(engine, Table::Cursor, b"rewritten").as_deref(), Some(&b"2"[..]));
    assert_eq!(read(engine, Table::Cursor, b"deleted"), None);
    assert_eq!(read(engine, Table::Cursor, b"restored").as_deref(), Some(&b"1"[..]));
}

fn tables_are_apart(engine: &dyn Engine) {
    let batch: Vec<_> = Table::ALL.iter().map(|table| put(*table, b"key", table.name().as_bytes())).collect();
    commit(engine, &batch);
    for table in Table::ALL {
        assert_eq!(read(engine, table, b"key").as_deref(), Some(table.name().as_bytes()));
        assert_eq!(contents(engine, table, EARLY).len(), 1);
    }
    commit(engine, &[delete(Table::Member, b"key")]);
    for table in Table::ALL {
        assert_eq!(read(engine, table, b"key").is_none(), table == Table::Member, "{table:?}");
    }
}

/// Keys that are easily mixed up, in their order.
fn awkward_keys() -> Vec<Bytes> {
    let keys: [&[u8]; 12] = [
        &[0],
        &[0, 0],
        &[0, 0xff],
        &[1],
        &[1, 0],
        b"a",
        b"a\0",
        b"a\0b",
        b"ab",
        &[0x7f, 0x80],
        &[0xff],
        &[0xff, 0xff],
    ];
    keys.into_iter().map(key).collect()
}

fn a_scan_goes_through_its_range_in_order(engine: &dyn Engine) {
    let keys = awkward_keys();
    // Written in another order than they are read.
    for (i, key) in keys.iter().enumerate().rev() {
        commit(engine, &[put(Table::Membership, key, &[u8::try_from(i).expect("few keys")])]);
    }
    let empty = Bytes::new();
    let last = Bytes::from_static(KeyRange::ALL.to);
    let bounds: Vec<&Bytes> = [&empty].into_iter().chain(&keys).chain([&last]).collect();
    for from in &bounds {
        for to in &bounds {
            let mut expected: Vec<Bytes> =
                keys.iter().filter(|key| *from <= *key && *key < *to).cloned().collect();
            for direction in [Direction::Forward, Direction::Backward] {
                let found = collect(engine, Table::Membership, (from, to), direction, EARLY);
                let found: Vec<Bytes> = found.into_iter().map(|(key, _)| key).collect();
                assert_eq!(found, expected, "{direction:?} from {from:?} (included) to {to:?} (excluded)");
                expected.reverse();
            }
        }
    }
}

fn a_scan_of_an_empty_range_shows_nothing(engine: &dyn Engine) {
    commit(engine, &[put(Table::Member, b"b", b"")]);
    for range in [(&b"b"[..], &b"b"[..]), (b"c", b"a"), (b"a", b"b"), (b"c", b"d")] {
        for direction in [Direction::Forward, Direction::Backward] {
            assert!(
                collect(engine, Table::Member, range, direction, EARLY).is_empty(),
                "{range:?} {direction:?}"
            );
        }
    }
}

fn a_scan_stops_when_told(engine: &dyn Engine) {
    let batch: Vec<_> = (0..10_u8).map(|i| put(Table::Member, &[i], b"")).collect();
    commit(engine, &batch);
    for (direction, expected) in [(Direction::Forward, [0, 1, 2]), (Direction::Backward, [9, 8, 7])] {
        let mut seen = Vec::new();
        let mut visit = |row: Row<'_>| {
            let key = row.key;
            seen.push(key[0]);
            if seen.len() == expected.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        engine.scan(Table::Member, KeyRange::ALL, direction, EARLY, &mut visit).expect("scans");
        assert_eq!(seen, expected, "{direction:?}");
    }
}

fn keys_are_plain_bytes(engine: &dyn Engine) {
    let mut keys = awkward_keys();
    keys.push(Bytes::from(vec![0xff; KEY_BYTES_MAX]));
    keys.push(Bytes::from(vec![0; KEY_BYTES_MAX]));
    for key in &keys {
        commit(engine, &[put(Table::Message, key, key)]);
    }
    for key in &keys {
        assert_eq!(read(engine, Table::Message, key).as_ref(), Some(key));
    }
    assert_eq!(contents(engine, Table::Message, EARLY).len(), keys.len());
    for key in keys.iter().step_by(2) {
        commit(engine, &[delete(Table::Message, key)]);
    }
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(read(engine, Table::Message, key).is_none(), i % 2 == 0, "{key:?}");
    }
}

fn large_values_and_batches_are_kept_whole(engine: &dyn Engine) {
    const RECORDS: u32 = 20_000;
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let mut batch: Vec<_> =
        (0..RECORDS).map(|i| put(Table::Receipt, &i.to_be_bytes(), &i.to_le_bytes())).collect();
    batch.push(put(Table::Message, b"large", &large));
    engine.commit(&batch, Durability::Synced).expect("commits");
    assert_eq!(read(engine, Table::Message, b"large").as_deref(), Some(&large[..]));
    let found = contents(engine, Table::Receipt, EARLY);
    assert_eq!(found.len(), RECORDS as usize);
    assert!(
        found
            .iter()
            .zip(0_u32..)
            .all(|((key, value), i)| { key[..] == i.to_be_bytes() && value[..] == i.to_le_bytes() })
    );
}

fn a_visitor_may_read(engine: &dyn Engine) {
    let batch: Vec<_> = (0..10_u8).map(|i| put(Table::Member, &[i], &[i])).collect();
    commit(engine, &batch);
    let waiting = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut visited = 0;
        let mut visit = |row: Row<'_>| {
            let Row { key, value, .. } = row;
            if visited == 0 {
                // A writer that waits for the scan must not make the scan's own reads wait for it.
                scope.spawn(|| {
                    waiting.store(true, Ordering::SeqCst);
                    commit(engine, &[put(Table::Cursor, b"beside", b"")]);
                });
                while !waiting.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
            visited += 1;
            assert_eq!(read(engine, Table::Member, key).as_deref(), Some(value));
            assert_eq!(
                collect(engine, Table::Member, (key, &[0xff]), Direction::Backward, EARLY).len(),
                11 - visited
            );
            ControlFlow::Continue(())
        };
        engine.scan(Table::Member, KeyRange::ALL, Direction::Forward, EARLY, &mut visit).expect("scans");
        assert_eq!(visited, 10);
    });
    assert!(read(engine, Table::Cursor, b"beside").is_some());
}

/// A writer moves one unit between many records, in batches that keep the sum; scans must always
/// see the sum.
fn a_scan_sees_one_state(engine: &dyn Engine) {
    const RECORDS: u16 = 200;
    const ROUNDS: u32 = 300;
    let write = |round: u32| {
        let (gives, takes) = (round % u32::from(RECORDS), (round + 1) % u32::from(RECORDS));
        let batch: Vec<_> = (0..RECORDS)
            .map(|i| {
                let balance = 100 - u8::from(u32::from(i) == gives) + u8::from(u32::from(i) == takes);
                put(Table::Cursor, &i.to_be_bytes(), &[balance])
            })
            .collect();
        commit(engine, &batch);
    };
    write(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (1..ROUNDS).for_each(&write);
            stop.store(true, Ordering::SeqCst);
        });
        for direction in [Direction::Forward, Direction::Backward].into_iter().cycle() {
            let KeyRange { from, to } = KeyRange::ALL;
            let found = collect(engine, Table::Cursor, (from, to), direction, EARLY);
            assert_eq!(found.len(), usize::from(RECORDS));
            let sum: u32 = found.iter().map(|(_, balance)| u32::from(balance[0])).sum();
            assert_eq!(sum, 100 * u32::from(RECORDS), "a scan saw half of a batch");
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
    });
}

fn an_empty_batch_is_a_batch(engine: &dyn Engine) {
    engine.commit(&[], Durability::Synced).expect("an empty batch is committed");
    engine.commit(&[], Durability::Buffered).expect("an empty batch is committed");
}

fn the_engine_has_a_name(engine: &dyn Engine) {
    let name = engine.name();
    assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name:?}");
}
