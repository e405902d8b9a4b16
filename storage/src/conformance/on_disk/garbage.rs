//! After a reclaim no file holds what is expired, replaced or deleted, and all else is there.
//!
//! Values are looked for by their first bytes, in every file of the folder; so an engine that seals
//! or compresses cannot be judged by this, and is told so.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::super::random::Random;
use super::super::rows::{EARLY, delete, put, put_until};
use super::folder::{Folder, files_with};
use super::subject::OnDisk;
use crate::engine::{Durability, Mutation, Table};
use crate::id::Timestamp;

const DUE: Timestamp = Timestamp(EARLY.0 + 60_000);
const LATE: Timestamp = Timestamp(EARLY.0 + 3_600_000);
/// Times that records are written, each in files of its own if the engine makes some.
const LAYERS: u8 = 3;
const EACH: u8 = 24;

/// What was written: what must be there, and what must be gone.
struct Written {
    random: Random,
    live: BTreeMap<(Table, [u8; 3]), Bytes>,
    gone: Vec<Bytes>,
}

impl Written {
    fn marker(&mut self) -> Bytes {
        self.random.bytes(32..600)
    }

    /// A layer: records that are due, records that live, and some that replace and delete others of
    /// this layer and of the one before.
    fn layer(&mut self, layer: u8) -> Vec<Mutation> {
        let mut batch = Vec::new();
        for i in 0..EACH {
            for table in Table::ALL.into_iter().filter(|table| table.expires()) {
                let (due, live) = (self.marker(), self.marker());
                batch.push(put_until(table, &[layer, i, 1], &due, DUE));
                batch.push(put_until(table, &[layer, i, 2], &live, LATE));
                self.gone.push(due);
                self.live.insert((table, [layer, i, 2]), live);
            }
            for (table, expires) in [(Table::Message, LATE), (Table::Conversation, Timestamp::NEVER)] {
                for key in [[layer, i, 3], [layer.saturating_sub(1), i, 3]] {
                    let value = self.marker();
                    batch.push(put_until(table, &key, &value, expires));
                    self.gone.extend(self.live.insert((table, key), value));
                }
                let deleted = self.marker();
                batch.push(put_until(table, &[layer, i, 4], &deleted, expires));
                batch.push(delete(table, &[layer.saturating_sub(1), i, 4]));
                self.gone.push(deleted);
            }
        }
        batch
    }
}

pub(super) fn no_file_holds_it(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let folder = root.join("store");
    let mut written = Written { random: Random::new(), live: BTreeMap::new(), gone: Vec::new() };
    let seed = written.random.seed();
    let mut engine = on_disk.open(&folder);
    for layer in 0..LAYERS {
        for part in written.layer(layer).chunks(50) {
            engine.commit(part, Durability::Synced).expect("commits");
        }
        if layer == 0 {
            drop(engine);
            engine = on_disk.open(&folder);
        }
        if layer < LAYERS - 1 {
            engine.reclaim(EARLY).expect("reclaims");
        }
    }
    let last: Vec<_> = (0..EACH)
        .flat_map(|i| [Table::Message, Table::Conversation].map(|table| delete(table, &[LAYERS - 1, i, 4])))
        .collect();
    engine.commit(&last, Durability::Synced).expect("commits");
    let holding = || files_with(&folder, &written.gone);
    assert!(!holding().is_empty(), "no file holds what was written in the clear: this rule cannot judge");
    assert!(engine.health(DUE).oldest_unreclaimed > Duration::ZERO, "what waits to be reclaimed is told");

    let reclaimed = engine.reclaim(DUE).expect("reclaims");

    assert_eq!(holding(), Vec::<std::path::PathBuf>::new(), "bytes outlived their time; {seed}");
    let tables = Table::ALL.into_iter().filter(|table| table.expires()).count() as u64;
    let due = u64::from(LAYERS) * u64::from(EACH) * tables;
    assert_eq!(reclaimed.records, due, "each expired record is counted once; {seed}");
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO, "nothing waits any more");
    // A later commit and the end write no old buffer out.
    engine.commit(&[put(Table::Meta, b"later", b"value")], Durability::Synced).expect("commits");
    drop(engine);
    assert_eq!(holding(), Vec::<std::path::PathBuf>::new(), "closing brings nothing back; {seed}");
    let engine = on_disk.open(&folder);
    assert_eq!(holding(), Vec::<std::path::PathBuf>::new(), "opening brings nothing back; {seed}");
    for ((table, key), value) in &written.live {
        let found = engine.get(*table, key, DUE).expect("reads");
        assert_eq!(found.as_ref(), Some(value), "a live record went: {table:?} {key:?}; {seed}");
    }
    let expired = engine.get(Table::Message, &[0, 0, 1], EARLY).expect("reads");
    assert_eq!(expired, None, "what was reclaimed does not come back for an earlier reader");
}

pub(super) fn from_every_table(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let folder = root.join("store");
    let engine = on_disk.open(&folder);
    let mut random = Random::new();
    let seed = random.seed();
    let markers: Vec<[Bytes; 3]> = Table::ALL.map(|_| [(); 3].map(|()| random.bytes(32..600))).into();
    let write = |of: fn(Table, &[Bytes; 3]) -> Mutation| {
        let batch: Vec<_> = Table::ALL.into_iter().zip(&markers).map(|(table, m)| of(table, m)).collect();
        engine.commit(&batch, Durability::Synced).expect("commits");
    };
    let holding = |which: usize| files_with(&folder, markers.iter().map(|markers| &markers[which]));
    write(|table, [first, ..]| put(table, b"replaced", first));
    write(|table, [_, second, _]| put(table, b"deleted", second));
    engine.reclaim(EARLY).expect("reclaims");
    assert!(!holding(0).is_empty() && !holding(1).is_empty(), "what lives is in a file");
    assert_eq!(engine.health(DUE).oldest_unreclaimed, Duration::ZERO, "nothing waits");

    write(|table, [_, _, third]| put(table, b"replaced", third));
    assert!(engine.health(LATE).oldest_unreclaimed > Duration::ZERO, "replaced bytes wait");
    engine.reclaim(DUE).expect("reclaims");
    assert_eq!(holding(0), Vec::<std::path::PathBuf>::new(), "replaced bytes are in a file; {seed}");
    write(|table, _| delete(table, b"deleted"));
    engine.reclaim(DUE).expect("reclaims");
    assert_eq!(holding(1), Vec::<std::path::PathBuf>::new(), "deleted bytes are in a file; {seed}");
    for (table, [_, _, third]) in Table::ALL.into_iter().zip(&markers) {
        assert_eq!(engine.get(table, b"replaced", EARLY).expect("reads").as_ref(), Some(third), "{table:?}");
    }
}
