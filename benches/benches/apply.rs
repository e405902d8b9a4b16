//! What deciding costs: groups of publishes through the applier on the memory engine, against a
//! memory engine that takes the same mutations without anybody deciding them.
//!
//! Reading state, checking access, remembering the client's id, encoding records and merging a
//! group are ours; putting records into ordered maps is on both sides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wardline_benches::message::{TIME, found, publish};
use wardline_benches::recording::Recording;
use wardline_benches::side_by_side::{self, Case};
use wardline_storage::applier::Applier;
use wardline_storage::command::Submission;
use wardline_storage::engine::{Durability, Engine};
use wardline_storage::memory::MemoryEngine;

/// After so many messages a side begins anew: all of them are kept in memory.
const MESSAGES_MAX: u64 = 100_000;
const WORKS: &str = "memory does not fail";

fn main() {
    side_by_side::run(|bench| {
        for size in [1, 10, 100, 1_000] {
            let case = Case {
                group: "apply",
                name: size.to_string(),
                limit: "the memory engine alone",
                units: size,
                unit: "messages",
                time: Duration::from_secs(6),
            };
            bench.measure(&case, || (ours(size), undecided(size)));
        }
    });
}

/// Groups of publishes, one after the other; an applier that has the conversation.
struct Groups {
    size: u64,
    next: u64,
}

impl Groups {
    fn next(&mut self) -> Vec<Submission> {
        let first = self.next;
        self.next += self.size;
        (first..self.next).map(publish).collect()
    }

    fn applier(engine: Arc<dyn Engine>) -> Applier {
        let mut applier = Applier::new(engine).expect(WORKS);
        applier.apply_group(TIME, &found()).expect(WORKS);
        applier
    }
}

fn ours(size: u64) -> impl FnMut(u64) -> Duration {
    let fresh = || Groups::applier(Arc::new(MemoryEngine::default()));
    let (mut applier, mut groups) = (fresh(), Groups { size, next: 0 });
    move |iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            if groups.next >= MESSAGES_MAX {
                (applier, groups.next) = (fresh(), 0);
            }
            let group = groups.next();
            let begun = Instant::now();
            let result = applier.apply_group(TIME, &group).expect(WORKS);
            total += begun.elapsed();
            assert!(result.verdicts.iter().all(Result::is_ok), "every publish is accepted");
        }
        total
    }
}

fn undecided(size: u64) -> impl FnMut(u64) -> Duration {
    let fresh = || {
        let recording = Arc::new(Recording::default());
        (Groups::applier(Arc::clone(&recording) as _), recording, MemoryEngine::default())
    };
    let ((mut applier, mut recording, mut engine), mut groups) = (fresh(), Groups { size, next: 0 });
    move |iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            if groups.next >= MESSAGES_MAX {
                ((applier, recording, engine), groups.next) = (fresh(), 0);
            }
            applier.apply_group(TIME, &groups.next()).expect(WORKS);
            let batch = recording.hooks.batch();
            let begun = Instant::now();
            engine.commit(&batch, Durability::Synced).expect(WORKS);
            total += begun.elapsed();
        }
        total
    }
}
