//! The suite that every engine must pass: each rule of [`engine`](crate::engine) as a check that
//! panics.
//!
//! For one's own engine, in a test, with the feature `conformance`:
//!
//! ```
//! # use wardline_storage::{conformance, memory::MemoryEngine};
//! conformance::run(&mut || Box::new(MemoryEngine::default()));
//! ```
//!
//! An engine whose state outlives it also passes [`run_durable`], and one that keeps files
//! [`run_on_disk`]. Random checks take their seed from `WARDLINE_SEED` and name it when they fail.

mod bytes_and_order;
mod expiry;
mod on_disk;
mod random;
mod rows;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::engine::{Durability, Engine, Table};
use rows::{EARLY, contents, delete_all, key, put, put_until, read};

pub use on_disk::{OnDisk, RULES_ON_DISK, RuleOnDisk, run_on_disk};

/// Checks every rule, each on a fresh, empty engine that `fresh` makes.
///
/// # Panics
/// If the engine breaks a rule.
pub fn run(fresh: &mut dyn FnMut() -> Box<dyn Engine>) {
    let rules = bytes_and_order::RULES.iter().chain(expiry::RULES).chain(random::RULES);
    for rule in rules {
        rule(fresh().as_ref());
    }
}

/// Checks that what was synced is there after reopening. `open` is called several times, always
/// after the engine of the time before was dropped, and must open the same store, which is empty at
/// first.
///
/// # Panics
/// If the engine breaks a rule.
pub fn run_durable(open: &mut dyn FnMut() -> Box<dyn Engine>) {
    let mut expected = BTreeMap::new();
    for round in 0..4_u8 {
        let engine = open();
        assert_eq!(
            contents(engine.as_ref(), Table::Message, EARLY),
            expected,
            "synced records outlive the engine"
        );
        let kept = key(&[round, 1]);
        let gone = key(&[round, 2]);
        let value = Bytes::from(vec![round; 1 + 5_000 * usize::from(round)]);
        let batch = [
            put_until(Table::Message, &kept, &value, EARLY.after(std::time::Duration::from_secs(60))),
            put_until(Table::Message, &gone, &value, EARLY),
            put(Table::Meta, b"round", &[round]),
        ];
        engine.commit(&batch, Durability::Synced).expect("commits");
        if round == 2 {
            let reclaimed = engine.reclaim(EARLY).expect("reclaims");
            assert!(reclaimed.records >= 1, "what expired before reopening is reclaimed too: {reclaimed:?}");
            delete_all(engine.as_ref(), &[key(&[0, 1])]);
            expected.remove(&key(&[0, 1]));
        }
        expected.insert(kept, value);
        assert_eq!(read(engine.as_ref(), Table::Meta, b"round"), Some(Bytes::copy_from_slice(&[round])));
    }
    let engine = open();
    assert_eq!(contents(engine.as_ref(), Table::Message, EARLY), expected);
    assert_eq!(read(engine.as_ref(), Table::Meta, b"round"), Some(Bytes::from_static(&[3])));
}
