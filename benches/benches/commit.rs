//! What a durable publish costs by group size: the applier on the RocksDB engine against bare
//! RocksDB with the same payloads, both synced once a group.
//!
//! Ours decides and writes more than a payload: the entry's header, the remembered acknowledgement,
//! the conversation, the applied position. The notes say where our time went: deciding or the
//! engine's commit, and on a processor or waiting.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wardline_benches::bare_rocksdb::BareRocks;
use wardline_benches::cpu;
use wardline_benches::message::{PAYLOAD_BYTES, TIME, found, publish};
use wardline_benches::side_by_side::{self, Case};
use wardline_rocksdb::RocksEngine;
use wardline_storage::applier::Applier;
use wardline_storage::command::Submission;

const TOLD: &str = "the kernel tells processor times";
const WRITABLE: &str = "a new folder can be written";

fn main() {
    side_by_side::run(|bench| {
        for size in [1, 10, 100, 1_000] {
            let case = Case {
                group: "commit",
                name: size.to_string(),
                limit: "bare RocksDB",
                units: size,
                unit: "messages",
                time: Duration::from_secs(8),
            };
            let (ours_spent, bare_spent) = (Rc::default(), Rc::default());
            // On the disk that the program was built on; the folder for temporary files may be in
            // memory.
            let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect(WRITABLE);
            let path = folder.path();
            let measured = bench.measure(&case, || {
                (ours(path, size, Rc::clone(&ours_spent)), bare(path, size, Rc::clone(&bare_spent)))
            });
            if measured {
                let (ours, bare) = (ours_spent.get(), bare_spent.get());
                bench.note(format!(
                    "ours, each message: deciding {:.2} µs, the engine's commit {:.2} µs, {:.2} records",
                    ours.each(ours.deciding),
                    ours.each(ours.committing),
                    ours.mutations as f64 / ours.messages as f64,
                ));
                bench.note(format!(
                    "the thread's processor time, each message: {:.2} µs of ours, {:.2} µs of bare RocksDB",
                    ours.each(ours.processor),
                    bare.each(bare.processor),
                ));
            }
        }
    });
}

/// Where the time of one side went.
#[derive(Clone, Copy, Default)]
struct Spent {
    messages: u64,
    mutations: usize,
    deciding: Duration,
    committing: Duration,
    processor: Duration,
}

impl Spent {
    /// Microseconds for each message.
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.messages as f64
    }
}

fn ours(folder: &Path, size: u64, spent: Rc<Cell<Spent>>) -> impl FnMut(u64) -> Duration {
    let engine = RocksEngine::open(folder.join("ours"), wardline_rocksdb::Options::default());
    let mut applier = Applier::new(Arc::new(engine.expect(WRITABLE))).expect(WRITABLE);
    applier.apply_group(TIME, &found()).expect(WRITABLE);
    let mut number = 0;
    move |iterations| {
        let (mut total, mut sum) = (Duration::ZERO, spent.get());
        for _ in 0..iterations {
            let group: Vec<Submission> = (number..number + size).map(publish).collect();
            number += size;
            let (begun, used) = (Instant::now(), cpu::of_this_thread().expect(TOLD));
            let result = applier.apply_group(TIME, &group).expect(WRITABLE);
            total += begun.elapsed();
            sum.processor += cpu::of_this_thread().expect(TOLD) - used;
            assert!(result.verdicts.iter().all(Result::is_ok), "every publish is accepted");
            sum.messages += size;
            sum.mutations += result.stats.mutations;
            sum.deciding += result.stats.apply;
            sum.committing += result.stats.commit;
        }
        spent.set(sum);
        total
    }
}

fn bare(folder: &Path, size: u64, spent: Rc<Cell<Spent>>) -> impl FnMut(u64) -> Duration {
    let mut store = BareRocks::open(folder, PAYLOAD_BYTES).expect(WRITABLE);
    move |iterations| {
        let (begun, used) = (Instant::now(), cpu::of_this_thread().expect(TOLD));
        for _ in 0..iterations {
            store.write(size).expect(WRITABLE);
        }
        let total = begun.elapsed();
        let mut sum = spent.get();
        sum.messages += iterations * size;
        sum.processor += cpu::of_this_thread().expect(TOLD) - used;
        spent.set(sum);
        total
    }
}
