//! A scan of many records sees one state, whatever else the engine does meanwhile.
//!
//! Records of one generation are written in one batch, so that two generations in a scan are a torn
//! one. Visitors dawdle, so that a scan lasts.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::random::Random;
use super::super::rows::{EARLY, delete, put_until};
use super::folder::{Folder, files_with};
use super::story::PATIENCE;
use super::subject::OnDisk;
use crate::engine::{Direction, Durability, Engine, KeyRange, Mutation, Row, Table};
use crate::id::Timestamp;

const RECORDS: u32 = 2_000;
const DUE: Timestamp = Timestamp(EARLY.0 + 60_000);
/// How long a visitor waits for what must not wait for it.
const DAWDLE: Duration = Duration::from_millis(500);
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// All records of a generation.
fn generation(generation: u32) -> Vec<Mutation> {
    let filler = [generation.to_be_bytes(); 32].concat();
    let record = |i: u32| put_until(Table::Receipt, &i.to_be_bytes(), &filler, Timestamp::NEVER);
    (0..RECORDS).map(record).collect()
}

/// Which generation a scan saw.
fn scan(engine: &dyn Engine, direction: Direction, mut at: impl FnMut(usize)) -> Result<u32, String> {
    let (mut seen, mut torn) = (Vec::with_capacity(RECORDS as usize), None);
    let mut visit = |row: Row<'_>| {
        at(seen.len());
        let generation = row.value[..4].try_into().map(u32::from_be_bytes).expect("a generation");
        if row.value.chunks(4).any(|part| part != &row.value[..4]) {
            torn = Some(format!("a value of generation {generation} is torn"));
        }
        seen.push((row.key.to_vec(), generation));
        ControlFlow::Continue(())
    };
    engine.scan(Table::Receipt, KeyRange::ALL, direction, EARLY, &mut visit).expect("scans");
    if let Some(torn) = torn {
        return Err(torn);
    }
    if direction == Direction::Backward {
        seen.reverse();
    }
    let is_whole = seen.iter().map(|(key, _)| &key[..]).eq((0..RECORDS)
        .map(u32::to_be_bytes)
        .collect::<Vec<_>>()
        .iter()
        .map(|key| &key[..]));
    if !is_whole {
        return Err(format!("a scan saw {} records of {RECORDS}, or others", seen.len()));
    }
    let (first, last) = (seen.iter().map(|seen| seen.1).min(), seen.iter().map(|seen| seen.1).max());
    if first == last {
        Ok(first.unwrap_or(0))
    } else {
        Err(format!("a scan saw generations {first:?} to {last:?}"))
    }
}

pub(super) fn sees_its_beginning(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let engine = on_disk.open(&root.join("store"));
    for (round, direction) in (1..).zip(DIRECTIONS) {
        engine.commit(&generation(round), Durability::Synced).expect("commits");
        engine.reclaim(EARLY).expect("reclaims");
        let seen = thread::scope(|scope| {
            let mut meanwhile = None;
            scan(engine.as_ref(), direction, |at| {
                if at != 1 {
                    return;
                }
                let deleting = scope.spawn(|| {
                    let all: Vec<_> =
                        (0..RECORDS).map(|i| delete(Table::Receipt, &i.to_be_bytes())).collect();
                    engine.commit(&all, Durability::Synced).expect("commits beside a scan");
                });
                // An engine may let the commit wait for the scan.
                wait_for(DAWDLE, || deleting.is_finished());
                meanwhile = Some(deleting);
            })
        });
        assert_eq!(seen, Ok(round), "{direction:?}, while all was deleted");
    }
}

pub(super) fn beside_a_reclaim(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let folder = root.join("store");
    let engine = on_disk.open(&folder);
    let mut random = Random::new();
    for direction in DIRECTIONS {
        let due: Vec<Bytes> = (0..RECORDS).map(|_| random.bytes(32..200)).collect();
        let records = (0..RECORDS).zip(&due);
        let batch: Vec<_> =
            records.map(|(i, value)| put_until(Table::Message, &i.to_be_bytes(), value, DUE)).collect();
        engine.commit(&batch, Durability::Synced).expect("commits");
        let (began, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let (mut seen, mut was_held) = (Vec::new(), false);
        thread::scope(|scope| {
            let reclaiming = scope.spawn(|| {
                wait_for(PATIENCE, || began.load(Ordering::SeqCst));
                let done = engine.reclaim(DUE);
                let held = files_with(&folder, &due);
                ended.store(true, Ordering::SeqCst);
                (done, held)
            });
            let mut visit = |row: Row<'_>| {
                if !began.swap(true, Ordering::SeqCst) {
                    was_held = !wait_for(DAWDLE, || ended.load(Ordering::SeqCst));
                }
                seen.push(Bytes::copy_from_slice(row.value));
                ControlFlow::Continue(())
            };
            engine.scan(Table::Message, KeyRange::ALL, direction, EARLY, &mut visit).expect("scans");
            let (done, held) = reclaiming.join().expect("a reclaim beside a scan");
            done.expect("a reclaim beside a scan succeeds when the scan has ended");
            assert_eq!(held, Vec::<std::path::PathBuf>::new(), "it returned while files held what it freed");
        });
        if direction == Direction::Backward {
            seen.reverse();
        }
        assert!(
            seen == due,
            "a scan saw {} of {RECORDS} records, {direction:?}, held: {was_held}",
            seen.len()
        );
    }
}

pub(super) fn beside_everything(on_disk: &OnDisk<'_>) {
    const LASTS: Duration = Duration::from_secs(5);
    let root = Folder::new();
    let engine = on_disk.open(&root.join("store"));
    let engine = engine.as_ref();
    engine.commit(&generation(1), Durability::Synced).expect("commits");
    // What has been committed, at least, and what may be.
    let (done, begun, clock) = (AtomicU32::new(1), AtomicU32::new(1), AtomicU64::new(EARLY.0));
    let deadline = Instant::now() + LASTS;
    let goes_on = || Instant::now() < deadline;
    thread::scope(|scope| {
        scope.spawn(|| {
            for next in 2.. {
                begun.store(next, Ordering::SeqCst);
                let durability = if next % 8 == 0 { Durability::Synced } else { Durability::Buffered };
                engine.commit(&generation(next), durability).expect("commits beside scans");
                done.store(next, Ordering::SeqCst);
                if !goes_on() {
                    break;
                }
            }
        });
        scope.spawn(|| {
            while goes_on() {
                let now = Timestamp(clock.fetch_add(1, Ordering::SeqCst));
                engine.reclaim(now).expect("reclaims beside scans");
                thread::sleep(Duration::from_millis(10));
            }
        });
        for (direction, dawdles) in DIRECTIONS.into_iter().zip([false, true]) {
            let (done, begun) = (&done, &begun);
            scope.spawn(move || {
                while goes_on() {
                    let least = done.load(Ordering::SeqCst);
                    let seen = scan(engine, direction, |at| {
                        if dawdles && at.is_multiple_of(100) {
                            thread::sleep(Duration::from_millis(1));
                        }
                    });
                    let most = begun.load(Ordering::SeqCst);
                    match seen {
                        Ok(seen) => assert!(
                            (least..=most).contains(&seen),
                            "a scan saw generation {seen}, of {least} to {most}"
                        ),
                        Err(torn) => panic!("{torn}, {direction:?}"),
                    }
                }
            });
        }
    });
    let last = done.load(Ordering::SeqCst);
    assert!(last > 3, "commits go on beside scans: {last}");
    assert_eq!(scan(engine, Direction::Forward, |_| ()), Ok(last));
}

/// Whether it holds in time.
fn wait_for(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}
