//! One log gives the same state on every engine: in memory, in RocksDB and in redb, from the same
//! bytes, however often they start, reclaim, and whatever memory they may use.
//!
//! 200,000 commands by default; `WARDLINE_COMMANDS=N` takes more or fewer, `WARDLINE_SEED=N`
//! others. It stands here because nothing below the broker knows more than one engine.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

#[path = "../../storage/tests/replay/leader.rs"]
mod leader;
#[path = "../../storage/tests/replay/node.rs"]
mod node;
#[path = "../../storage/tests/replay/story.rs"]
mod story;

use std::path::Path;
use std::sync::Arc;
use std::thread;

use leader::Leader;
use node::{Node, Opened};
use story::setting;
use wardline_redb::Redb;
use wardline_rocksdb::Rocks;
use wardline_storage::format;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::open::{Opener, Options};

/// A node on files, each start of which has other memory.
fn on_files(engine: &'static dyn Opener, folder: &Path) -> Node {
    let (folder, mut starts) = (folder.to_owned(), 0);
    let open = move || -> Opened {
        starts += 1;
        let options = Options::with_memory((16 << 20) * (1 + starts % 3));
        let opened = engine.open(&folder, options).unwrap();
        format::check(opened.as_ref()).unwrap();
        opened
    };
    Node::new(engine.name().to_owned(), Box::new(open))
}

#[test]
fn every_engine_comes_to_the_same_state() {
    let (seed, commands) = (setting("WARDLINE_SEED", 1), setting("WARDLINE_COMMANDS", 200_000));
    println!("seed {seed}, {commands} commands");
    let log = Leader::lead(seed, commands);
    log.tell();
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let engine: Opened = Arc::new(MemoryEngine::default());
            format::check(engine.as_ref()).unwrap();
            Node::new("memory".to_owned(), Box::new(move || Arc::clone(&engine))).replay(&log, 70);
        });
        let rocksdb = scope.spawn(|| on_files(&Rocks, &folder.path().join("rocksdb")).replay(&log, 150));
        let redb = scope.spawn(|| on_files(&Redb, &folder.path().join("redb")).replay(&log, 250));
        for node in [memory, rocksdb, redb] {
            node.join().unwrap();
        }
    });
}
