//! What a durable publish costs by group size: the applier on the RocksDB engine against bare RocksDB with the same
//! payloads, both synced once a group.
//!
//! Ours decides and writes more than a payload: the entry's header, the remembered acknowledgement, the conversation,
//! the applied position. The note says how much of the time is deciding, and how much the engine's commit.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wardline_benches::bare_rocksdb::BareRocks;
use wardline_benches::message::{PAYLOAD_BYTES, create, publish};
use wardline_benches::side_by_side::{self, Case};
use wardline_rocksdb::RocksEngine;
use wardline_storage::applier::Applier;
use wardline_storage::command::Submission;

fn main() {
    side_by_side::run(|bench| {
        for size in [1, 10, 100, 1_000] {
            let case = Case {
                group: "commit",
                name: size.to_string(),
                limit: "bare RocksDB",
                units: size,
                unit: "messages",
                time: Duration::from_secs(10),
            };
            let spent = Rc::new(Cell::new(Spent::default()));
            // On the disk that the program was built on; the folder for temporary files may be in memory.
            let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
            let measured = bench
                .measure(&case, || (ours(folder.path(), size, Rc::clone(&spent)), bare(folder.path(), size)));
            if measured {
                bench.note(spent.get());
            }
        }
    });
}

/// Where our time went.
#[derive(Clone, Copy, Default)]
struct Spent {
    deciding: Duration,
    committing: Duration,
    commands: usize,
    mutations: usize,
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.commands as f64;
        write!(
            f,
            "ours, each message: deciding {:.2} µs, the engine's commit {:.2} µs, {:.2} records",
            each(self.deciding),
            each(self.committing),
            self.mutations as f64 / self.commands as f64,
        )
    }
}

fn ours(folder: &Path, size: u64, spent: Rc<Cell<Spent>>) -> impl FnMut(u64) -> Duration {
    let engine = RocksEngine::open(folder.join("ours"), wardline_rocksdb::Options::default());
    let mut applier = Applier::new(Arc::new(engine.expect("a new folder opens"))).expect("it can be read");
    applier.apply_group(&[create()]).expect("it can be written");
    let mut number = 0;
    move |iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let group: Vec<Submission> = (number..number + size).map(publish).collect();
            number += size;
            let begun = Instant::now();
            let result = applier.apply_group(&group).expect("it can be written");
            total += begun.elapsed();
            assert!(result.verdicts.iter().all(Result::is_ok), "every publish is accepted");
            let sum = spent.get();
            spent.set(Spent {
                deciding: sum.deciding + result.stats.apply,
                committing: sum.committing + result.stats.commit,
                commands: sum.commands + result.stats.commands,
                mutations: sum.mutations + result.stats.mutations,
            });
        }
        total
    }
}

fn bare(folder: &Path, size: u64) -> impl FnMut(u64) -> Duration {
    let mut store = BareRocks::open(folder, PAYLOAD_BYTES).expect("a new folder opens");
    move |iterations| {
        let begun = Instant::now();
        for _ in 0..iterations {
            store.write(size).expect("it can be written");
        }
        begun.elapsed()
    }
}
