//! What rots while a store is open is never served.
//!
//! A store that is larger than the memory that its engine may use is open when bits flip in its
//! files. Opening has checked them before that, so only reading can notice. A record that is read
//! must be as it was written, or the read fails. Whether a key that rotted is missed, this does not
//! ask: of a tree whose pages are not checked by those above them, nobody can know.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;

use super::super::random::Random;
use super::super::rows::{EARLY, put};
use super::folder::{Folder, files};
use super::subject::{MEMORY, OnDisk};
use crate::engine::{Direction, Durability, Engine, KeyRange, Row, Table};

const RECORDS: u32 = 2_000;
const VALUE_BYTES: usize = 8_000;
/// Less is not looked at: notes, lists, locks.
const FILE_BYTES_MIN: u64 = 64 << 10;
/// One bit in so many bytes, about.
const ROTS_EVERY: u64 = 64 << 10;

pub(super) fn is_never_served(on_disk: &OnDisk<'_>) {
    const { assert!(RECORDS as usize * VALUE_BYTES > MEMORY.memory_bytes) };
    let root = Folder::in_memory();
    let folder = root.join("store");
    let mut random = Random::new();
    let seed = random.seed();
    write(on_disk.open(&folder).as_ref());
    let engine = on_disk.open(&folder);
    assert_eq!(wrong(engine.as_ref()), Vec::<String>::new(), "before anything rots");
    rot(&folder, &mut random);
    // Twice: what was read before may be remembered.
    for _ in 0..2 {
        assert_eq!(wrong(engine.as_ref()), Vec::<String>::new(), "after bits flipped; {seed}");
    }
}

fn write(engine: &dyn Engine) {
    for part in (0..RECORDS).collect::<Vec<_>>().chunks(100) {
        let batch: Vec<_> =
            part.iter().map(|i| put(Table::Conversation, &i.to_be_bytes(), &value(*i))).collect();
        engine.commit(&batch, Durability::Synced).expect("commits");
    }
    engine.reclaim(EARLY).expect("reclaims");
}

fn value(i: u32) -> Bytes {
    Random(u64::from(i)).bytes(VALUE_BYTES..VALUE_BYTES + 1)
}

/// Flips bits all over the larger files.
fn rot(folder: &Path, random: &mut Random) {
    for file in files(folder) {
        let file = File::options().read(true).write(true).open(file).expect("opens");
        let length = file.metadata().expect("it is there").len();
        if length < FILE_BYTES_MIN {
            continue;
        }
        for _ in 0..=length / ROTS_EVERY {
            let (at, mut byte) = (random.below(length), [0]);
            file.read_exact_at(&mut byte, at).expect("reads");
            byte[0] ^= 1 << random.below(8);
            file.write_all_at(&byte, at).expect("writes");
        }
    }
}

/// What an engine shows that was never written.
fn wrong(engine: &dyn Engine) -> Vec<String> {
    let mut wrong = Vec::new();
    for i in 0..RECORDS {
        let read = engine.get(Table::Conversation, &i.to_be_bytes(), EARLY);
        if read.is_ok_and(|read| read.is_some_and(|read| read != value(i))) {
            wrong.push(format!("record {i} was read otherwise than it was written"));
        }
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let mut visit = |row: Row<'_>| {
            let i = row.key.try_into().map(u32::from_be_bytes);
            if i.is_err() || i.is_ok_and(|i| i >= RECORDS || row.value != value(i)) {
                wrong.push(format!("{:?} was shown, {direction:?}, as it was never written", row.key));
            }
            ControlFlow::Continue(())
        };
        // That it cannot be read is an answer.
        let _ = engine.scan(Table::Conversation, KeyRange::ALL, direction, EARLY, &mut visit);
    }
    wrong.truncate(3);
    wrong
}
