//! The one path by which state changes: sequences of commands through the applier, and every read,
//! against the model.
//!
//! The input chooses who does what when, and how commands are grouped; outcomes, events and reads
//! must be the model's, and the grouping must not matter. Choices that run out are drawn from a
//! fixed seed; a short input is a short sequence.

use std::sync::Arc;

use wardline_storage::memory::MemoryEngine;

use crate::model::check::{Tally, grouping, sequence};
use crate::model::generate::Draw;

/// Longest sequence, so that an execution takes milliseconds.
const COMMANDS_MAX: u64 = 120;

/// Runs a sequence of commands.
///
/// # Panics
/// If the machine or the view differs from the model.
pub fn run(data: &[u8]) {
    let Some((&how, chosen)) = data.split_first() else { return };
    let draw = Draw::new(chosen, u64::from(how));
    // A command takes about so many choices.
    let commands_max = (6 + chosen.len() as u64 / 6).min(COMMANDS_MAX);
    let outcome = match how % 4 {
        0 => grouping(draw, commands_max),
        _ => sequence(Arc::new(MemoryEngine::default()), draw, commands_max, &mut Tally::default()),
    };
    if let Err(what) = outcome {
        panic!("{what}");
    }
}
