//! A store of the RocksDB engine with a backlog in it: many messages of one conversation, in table
//! files.

use std::path::Path;
use std::sync::Arc;

use wardline_rocksdb::{Options, RocksEngine};
use wardline_storage::applier::Applier;
use wardline_storage::command::Submission;
use wardline_storage::engine::{Engine, Table};
use wardline_storage::id::{ConversationId, Seq, Timestamp};
use wardline_storage::key;
use wardline_storage::memory::MemoryEngine;

use crate::message::{CONVERSATION, TIME, found, publish};

/// Messages of a backlog.
pub const MESSAGES: u64 = 10_000;
/// Messages written at a time.
pub const GROUP: u64 = 1_000;
/// When it is read: shortly after it was written, so nothing has expired.
pub const NOW: Timestamp = Timestamp(TIME.0 + 1_000);

/// Makes a store with a backlog of [`MESSAGES`] in a new folder.
///
/// # Panics
/// If it cannot be made: a bench cannot go on without.
pub fn store(folder: &Path) -> RocksEngine {
    store_of(folder, MESSAGES)
}

/// Makes a store with so many messages, a multiple of [`GROUP`].
///
/// # Panics
/// As [`store`].
pub fn store_of(folder: &Path, messages: u64) -> RocksEngine {
    let works = "a new folder can be written";
    let engine = Arc::new(RocksEngine::open(folder, Options::default()).expect(works));
    let mut applier = Applier::new(Arc::clone(&engine) as _).expect(works);
    applier.apply_group(TIME, &found()).expect(works);
    for first in (0..messages).step_by(GROUP as usize) {
        let group: Vec<Submission> = (first..first + GROUP).map(publish).collect();
        applier.apply_group(TIME, &group).expect(works);
    }
    // Out of the memory tables: whoever was away for a while finds it in files.
    engine.reclaim(NOW).expect(works);
    drop(applier);
    Arc::into_inner(engine).expect("the applier was the other owner")
}

/// Bytes that the engine stores for a message: its record, and eight of expiry before it.
///
/// # Panics
/// Never: memory does not fail.
pub fn record_bytes() -> usize {
    let works = "memory does not fail";
    let engine = Arc::new(MemoryEngine::default());
    let mut applier = Applier::new(Arc::clone(&engine) as _).expect(works);
    applier.apply_group(TIME, &[found().as_slice(), &[publish(0)]].concat()).expect(works);
    let key = key::message(ConversationId::new(CONVERSATION), Seq(1));
    let record = Engine::get(&*engine, Table::Message, &key, NOW).expect(works);
    size_of::<u64>() + record.expect("it was just published").len()
}
