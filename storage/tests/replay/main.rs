//! One log, applied again elsewhere, gives the same state: the same hash, at every restart.
//!
//! 200,000 commands by default; `WARDLINE_COMMANDS=N` takes more or fewer, `WARDLINE_SEED=N`
//! others. The test of the broker has the same story on the engines that keep files.

mod leader;
mod node;
mod story;

use std::sync::Arc;

use leader::Leader;
use node::{Node, Opened};
use story::setting;
use wardline_storage::format;
use wardline_storage::memory::MemoryEngine;

#[test]
fn what_was_applied_elsewhere_gives_the_same_state() {
    let (seed, commands) = (setting("WARDLINE_SEED", 1), setting("WARDLINE_COMMANDS", 200_000));
    println!("seed {seed}, {commands} commands");
    let log = Leader::lead(seed, commands);
    log.tell();
    for (number, reclaims_every) in [(1, 7), (2, 300)] {
        let engine: Opened = Arc::new(MemoryEngine::default());
        format::check(engine.as_ref()).expect("memory does not fail");
        let mut node = Node::new(format!("memory, {number}"), Box::new(move || Arc::clone(&engine)));
        node.replay(&log, reclaims_every);
    }
}
