//! Rules about time: what is gone when, and what reclaiming frees.
//!
//! Time is given, never read, so an engine passes at any hour. Reads are checked before and after
//! reclaiming, which must not change what they show.

use std::time::Duration;

use super::rows::{EARLY, Rule, collect, commit, contents, delete, insert_until, put, put_until, read};
use crate::engine::{Direction, Engine, KeyRange, Reclaimed, Table};
use crate::id::Timestamp;

pub(super) const RULES: &[Rule] = &[
    a_record_is_gone_at_its_very_time,
    rewriting_changes_the_expiry,
    reclaim_frees_what_is_expired_and_nothing_else,
    reclaim_frees_nothing_twice,
    what_waits_to_be_reclaimed_has_an_age,
    a_reader_from_the_future_frees_nothing,
    a_scan_passes_over_the_expired,
    an_expired_record_can_be_written_anew,
];

const DUE: Timestamp = Timestamp(5_000);
const BEFORE_DUE: Timestamp = Timestamp(4_999);
const LATE: Timestamp = Timestamp(9_000);

fn expiring() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|table| table.expires())
}

fn is_there(engine: &dyn Engine, table: Table, key: &[u8], now: Timestamp) -> bool {
    let got = engine.get(table, key, now).expect("reads").is_some();
    for direction in [Direction::Forward, Direction::Backward] {
        let KeyRange { from, to } = KeyRange::ALL;
        let scanned = collect(engine, table, (from, to), direction, now);
        let scanned = scanned.iter().any(|(found, _)| found == key);
        assert_eq!(got, scanned, "a read and a scan {direction:?} agree at {now:?}");
    }
    got
}

fn a_record_is_gone_at_its_very_time(engine: &dyn Engine) {
    for table in expiring() {
        // One that replaces nothing, for all that the engine knows, and one that may.
        commit(
            engine,
            &[insert_until(table, b"new", b"value", DUE), put_until(table, b"due", b"value", DUE)],
        );
        commit(engine, &[put(table, b"stays", b"value")]);
    }
    let check = || {
        for table in expiring() {
            for key in [b"due".as_slice(), b"new"] {
                assert!(
                    is_there(engine, table, key, BEFORE_DUE),
                    "a millisecond before its time it is there"
                );
                assert!(!is_there(engine, table, key, DUE), "at its time it is gone");
                assert!(!is_there(engine, table, key, Timestamp(DUE.0 + 1)));
            }
            assert!(is_there(engine, table, b"stays", Timestamp(u64::MAX - 1)), "never is never");
        }
    };
    check();
    engine.reclaim(BEFORE_DUE).expect("reclaims");
    check();
    engine.reclaim(DUE).expect("reclaims");
    for table in expiring() {
        assert!(!is_there(engine, table, b"due", DUE));
        assert!(!is_there(engine, table, b"new", DUE));
        assert!(is_there(engine, table, b"stays", Timestamp(u64::MAX - 1)));
    }
}

fn rewriting_changes_the_expiry(engine: &dyn Engine) {
    let table = Table::Message;
    commit(engine, &[put_until(table, b"longer", b"1", DUE), put_until(table, b"shorter", b"1", LATE)]);
    commit(engine, &[put_until(table, b"longer", b"2", LATE), put_until(table, b"shorter", b"2", DUE)]);
    for _ in 0..2 {
        assert!(is_there(engine, table, b"longer", DUE));
        assert!(!is_there(engine, table, b"longer", LATE));
        assert!(
            !is_there(engine, table, b"shorter", DUE),
            "the longer life of an older version does not count"
        );
        engine.reclaim(DUE).expect("reclaims");
    }
    assert_eq!(engine.get(table, b"longer", DUE).expect("reads").as_deref(), Some(&b"2"[..]));
    assert!(!is_there(engine, table, b"shorter", BEFORE_DUE), "the older version does not come back");
}

fn reclaim_frees_what_is_expired_and_nothing_else(engine: &dyn Engine) {
    let mut expected = Reclaimed::default();
    for table in expiring() {
        for i in 0..100_u8 {
            // A third is due, a third later, a third never.
            let expires = [DUE, LATE, Timestamp::NEVER][usize::from(i % 3)];
            let value = vec![i; usize::from(i)];
            commit(engine, &[put_until(table, &[i], &value, expires)]);
            if i % 3 == 0 {
                expected.records += 1;
                expected.bytes += 1 + value.len() as u64;
            }
        }
    }
    for table in Table::ALL.into_iter().filter(|table| !table.expires()) {
        commit(engine, &[put(table, b"stays", b"value")]);
    }
    let before: Vec<_> = Table::ALL.into_iter().map(|table| contents(engine, table, DUE)).collect();
    assert_eq!(engine.reclaim(EARLY).expect("reclaims"), Reclaimed::default(), "nothing is due yet");
    assert_eq!(engine.reclaim(DUE).expect("reclaims"), expected, "what is due is freed and counted");
    for (table, before) in Table::ALL.into_iter().zip(before) {
        assert_eq!(contents(engine, table, DUE), before, "{table:?}: what lives stays as it is");
    }
}

fn reclaim_frees_nothing_twice(engine: &dyn Engine) {
    commit(engine, &[put_until(Table::Dedupe, b"due", b"value", DUE)]);
    let freed = engine.reclaim(LATE).expect("reclaims");
    assert_eq!(freed, Reclaimed { records: 1, bytes: 8 });
    assert_eq!(engine.reclaim(LATE).expect("reclaims"), Reclaimed::default());
    commit(engine, &[put_until(Table::Dedupe, b"due", b"value", DUE), delete(Table::Dedupe, b"due")]);
    assert_eq!(engine.reclaim(LATE).expect("reclaims").records, 0, "what was deleted did not expire");
}

fn what_waits_to_be_reclaimed_has_an_age(engine: &dyn Engine) {
    let age = |now: Timestamp| engine.health(now).oldest_unreclaimed;
    assert_eq!(age(EARLY), Duration::ZERO, "nothing waits in an empty engine");
    commit(engine, &[insert_until(Table::Message, b"due", b"value", DUE)]);
    commit(engine, &[insert_until(Table::Receipt, b"later", b"value", LATE)]);
    assert_eq!(age(DUE), Duration::ZERO);
    assert_eq!(
        age(DUE.after(Duration::from_millis(700))),
        Duration::from_millis(700),
        "since the earliest expiry"
    );
    engine.reclaim(DUE.after(Duration::from_millis(800))).expect("reclaims");
    assert_eq!(age(DUE.after(Duration::from_millis(900))), Duration::ZERO, "what was freed waits no more");
    assert_eq!(
        age(LATE.after(Duration::from_millis(50))),
        Duration::from_millis(50),
        "the rest is not forgotten"
    );
    engine.reclaim(LATE.after(Duration::from_millis(60))).expect("reclaims");
    assert_eq!(age(LATE.after(Duration::from_secs(9))), Duration::ZERO);
}

/// What is freed goes by the latest time given to a reclaim, never by a reader's clock.
fn a_reader_from_the_future_frees_nothing(engine: &dyn Engine) {
    let (soon, late) = (EARLY.after(Duration::from_secs(1)), EARLY.after(Duration::from_secs(3_600)));
    for table in expiring() {
        commit(engine, &[put_until(table, b"key", b"value", soon), put_until(table, b"other", b"", soon)]);
        assert!(!is_there(engine, table, b"key", late));
        assert!(contents(engine, table, late).is_empty());
        engine.health(late);
        commit(engine, &[delete(table, b"other")]);
    }
    engine.reclaim(EARLY).expect("reclaims");
    for table in expiring() {
        assert!(is_there(engine, table, b"key", EARLY), "{table:?}");
    }
    engine.reclaim(soon).expect("reclaims");
    // A clock that was set back brings nothing back, and takes nothing more.
    for table in expiring() {
        commit(engine, &[put_until(table, b"key", b"again", late)]);
    }
    engine.reclaim(EARLY).expect("reclaims");
    for table in expiring() {
        assert!(is_there(engine, table, b"key", EARLY), "{table:?}");
    }
}

fn a_scan_passes_over_the_expired(engine: &dyn Engine) {
    let batch: Vec<_> = (0..50_u8)
        .map(|i| put_until(Table::Receipt, &[i], &[i], if i % 2 == 0 { DUE } else { LATE }))
        .collect();
    commit(engine, &batch);
    let KeyRange { from, to } = KeyRange::ALL;
    let keys = |direction| -> Vec<u8> {
        collect(engine, Table::Receipt, (from, to), direction, DUE).iter().map(|(key, _)| key[0]).collect()
    };
    let odd: Vec<u8> = (0..50).filter(|i| i % 2 == 1).collect();
    assert_eq!(keys(Direction::Forward), odd);
    assert_eq!(keys(Direction::Backward), odd.into_iter().rev().collect::<Vec<_>>());
}

fn an_expired_record_can_be_written_anew(engine: &dyn Engine) {
    commit(engine, &[put_until(Table::Dedupe, b"key", b"old", DUE)]);
    commit(engine, &[insert_until(Table::Dedupe, b"key", b"new", LATE)]);
    assert_eq!(engine.get(Table::Dedupe, b"key", DUE).expect("reads").as_deref(), Some(&b"new"[..]));
    commit(engine, &[delete(Table::Dedupe, b"key")]);
    assert_eq!(read(engine, Table::Dedupe, b"key"), None);
    engine.reclaim(DUE).expect("reclaims");
    assert_eq!(read(engine, Table::Dedupe, b"key"), None);
}
