//! What reading a backlog costs: the chunks that a session reads of the store, against a bare
//! RocksDB iterator over the same records in the same store.
//!
//! The messages lie in table files, as those of a device that was away do. Ours also checks access
//! before each chunk, looks at expiry and membership, decodes, and names the senders; encoding
//! frames and sending them is not in it.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wardline_benches::backlog::{self, MESSAGES, NOW};
use wardline_benches::bare_rocksdb::BareRocks;
use wardline_benches::message::{CONVERSATION, READER};
use wardline_benches::side_by_side::{self, Case};
use wardline_rocksdb::RocksEngine;
use wardline_storage::engine::Direction;
use wardline_storage::id::{ConversationId, Seq};
use wardline_storage::view::View;

/// As a session reads: entries, and bytes of payload.
const CHUNK_ENTRIES: usize = 256;
const CHUNK_BYTES: usize = 32 * 1024;

fn main() {
    side_by_side::run(|bench| {
        let case = Case {
            group: "catch-up",
            name: MESSAGES.to_string(),
            limit: "a bare RocksDB iterator",
            units: MESSAGES,
            unit: "messages",
            time: Duration::from_secs(8),
        };
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
        bench.measure(&case, || {
            let engine = backlog::store(&folder.path().join("store"));
            (session(engine), iterator(folder.path()))
        });
    });
}

fn session(engine: RocksEngine) -> impl FnMut(u64) -> Duration {
    move |iterations| {
        let begun = Instant::now();
        for _ in 0..iterations {
            assert_eq!(read_backlog(&engine), MESSAGES, "the backlog is whole");
        }
        begun.elapsed()
    }
}

/// Reads from the beginning until there is no more; how many messages there were.
fn read_backlog(engine: &RocksEngine) -> u64 {
    let (mut after, mut entries) = (Seq::ZERO, 0);
    loop {
        let view = View::new(engine, NOW);
        let access = view.access(READER, ConversationId::new(CONVERSATION)).expect("it can be read");
        let access = access.expect("the reader is a member");
        let chunk = view
            .entries(&access, after, Direction::Forward, CHUNK_ENTRIES, CHUNK_BYTES)
            .expect("it can be read");
        entries += black_box(&chunk.entries).len() as u64;
        after = chunk.through;
        if !chunk.more {
            return entries;
        }
    }
}

fn iterator(folder: &Path) -> impl FnMut(u64) -> Duration {
    let store = BareRocks::beside(&folder.join("store")).expect("the engine's store opens for reading");
    move |iterations| {
        let begun = Instant::now();
        for _ in 0..iterations {
            let scanned = store.scan().expect("it can be read");
            assert_eq!(scanned.records, MESSAGES, "the same records");
            black_box(scanned.bytes);
        }
        begun.elapsed()
    }
}
