//! A node that applies what another one ordered, from the bytes of its groups, and compares the
//! states.
//!
//! It starts anew wherever a state is to be compared, and more often; it reclaims when it likes, by
//! the log's time. Its own clock shows today, a year or more behind the one that ordered.

use std::sync::Arc;

use wardline_storage::applier::Applier;
use wardline_storage::command::Group;
use wardline_storage::engine::Engine;
use wardline_storage::record::Record as _;
use wardline_storage::state_hash;

use crate::leader::Ordered;

/// An engine that is open.
pub(crate) type Opened = Arc<dyn Engine>;

/// Groups between two starts.
const LIFE: usize = 100;

/// See the module's documentation.
pub(crate) struct Node {
    name: String,
    /// Opens the store, also one that was closed.
    open: Box<dyn FnMut() -> Opened>,
}

impl Node {
    pub(crate) fn new(name: String, open: Box<dyn FnMut() -> Opened>) -> Self {
        Self { name, open }
    }

    /// Applies all of it, and reclaims after every so many groups.
    ///
    /// # Panics
    /// If a state is not the leader's.
    #[allow(clippy::print_stdout)] // for whoever looks what was compared
    pub(crate) fn replay(&mut self, ordered: &Ordered, reclaims_every: usize) {
        let begun = std::time::Instant::now();
        let name = &self.name;
        let mut hashes = ordered.hashes.iter().peekable();
        let (mut engine, mut applier) = open(&mut self.open);
        let mut starts = 1;
        for (count, bytes) in (1..).zip(&ordered.groups) {
            let group = Group::decode(bytes).expect("the leader wrote it");
            let before = applier.applied();
            assert_eq!(before.position, group.position, "{name}: it goes on where it was");
            let applied = applier.apply_group(group.time, &group.submissions).expect("it is applied");
            assert_eq!(applied.stats.applied.time, group.time, "{name}: at the leader's time");
            if count % reclaims_every == 0 {
                engine.reclaim(applier.applied().time).expect("it is reclaimed");
            }
            let compares = hashes.next_if(|(after, _)| *after == count);
            if let Some((_, expected)) = compares {
                let found = state_hash::of(&*engine).expect("it is readable");
                assert_eq!(&found, expected, "{name}: another state after {count} groups");
            }
            if compares.is_some() || count % LIFE == 0 {
                drop((engine, applier));
                (engine, applier) = open(&mut self.open);
                starts += 1;
            }
        }
        assert!(hashes.next().is_none(), "every state was compared");
        println!(
            "{name}: {} states are the same, {starts} starts, {:?}",
            ordered.hashes.len(),
            begun.elapsed()
        );
    }
}

fn open(open: &mut Box<dyn FnMut() -> Opened>) -> (Opened, Applier) {
    let engine = open();
    let applier = Applier::new(Arc::clone(&engine)).expect("it is readable");
    (engine, applier)
}
