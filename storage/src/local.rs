//! The local log: group commit on one machine.

use std::sync::Arc;
use std::time::Duration;

use crate::command::Submission;
use crate::engine::Engine;
use crate::log::{Depth, Log, Observer, Refused, Reply};

/// Bounds of the local log.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most submissions that may wait.
    pub waiting_commands_max: usize,
    /// Most bytes that may wait.
    pub waiting_bytes_max: usize,
    /// Most commands in one group.
    pub group_commands_max: usize,
    /// Most bytes in one group.
    pub group_bytes_max: usize,
    /// Longest time [`Log::close`] waits for what is left.
    pub close_timeout: Duration,
}

/// Group commit on one machine: takes all that wait, applies them, writes one batch, syncs once, answers.
#[derive(Debug)]
pub struct LocalLog {}

impl LocalLog {
    /// Starts the committer's thread on an engine whose format was checked.
    pub fn start(engine: Arc<dyn Engine>, bounds: Bounds, observer: impl Observer) -> std::io::Result<Self> {
        todo!()
    }
}

impl Log for LocalLog {
    fn submit(&self, submission: Submission, reply: Reply) -> Result<(), (Refused, Reply)> {
        todo!()
    }

    fn depth(&self) -> Depth {
        todo!()
    }

    fn close(&self) {
        todo!()
    }
}
