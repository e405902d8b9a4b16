//! What waits for the committer: a submission, where its verdict goes, and how much it is.
//!
//! Decides nothing: the queue takes it in, a lane says whose turn it is.

use std::collections::VecDeque;
use std::time::Instant;

use crate::command::Submission;
use crate::log::Reply;

/// What the committer commits together, in order. Its memory is used again and again.
pub(super) type Group = VecDeque<Waiting>;

/// A submission, and where its verdict goes.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) submission: Submission,
    pub(super) reply: Reply,
    /// When it was taken in.
    pub(super) since: Instant,
    pub(super) weight: usize,
    /// Touched beyond those that every command does.
    pub(super) records: usize,
    pub(super) is_pressing: bool,
    /// Whose it is, as its lane knows them.
    pub(super) pile: u32,
}

impl Waiting {
    /// How much work it is, roughly, in commands that touch a few records.
    pub(super) fn cost(&self) -> usize {
        const BYTES: usize = 1024;
        1 + self.records + self.weight / BYTES
    }
}
