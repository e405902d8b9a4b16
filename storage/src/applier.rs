//! Applies ordered groups of submissions to an engine: the only writer of state.
//!
//! A group becomes one batch: what the [`machine`](crate::machine) decided for each submission, and how far each
//! touched partition has come. The batch is committed once, so a group is there whole or not at all. Commands of
//! a group see one another's effects. Order and threads are the log's business.

use std::sync::Arc;

use crate::command::{Event, Submission, Verdict};
use crate::engine::{Engine, EngineError};
use crate::log::GroupStats;

/// Applies groups, one after the other, on one thread.
pub struct Applier {
    engine: Arc<dyn Engine>,
}

/// What came of a group that is durable.
#[derive(Debug)]
pub struct GroupResult {
    /// One verdict per submission, in the group's order.
    pub verdicts: Vec<Verdict>,
    /// What others must hear of, in order.
    pub events: Vec<Event>,
    /// Figures for metrics.
    pub stats: GroupStats,
}

impl Applier {
    /// Goes on where the engine's state stands.
    ///
    /// # Errors
    /// [`EngineError`] if the engine could not be read.
    pub fn new(engine: Arc<dyn Engine>) -> Result<Self, EngineError> {
        Ok(Self { engine })
    }

    /// Applies a group and commits it; when it returns, the verdicts are durable.
    ///
    /// # Errors
    /// [`EngineError`] if the engine failed. Whether the group is durable is then unknown: apply nothing more.
    pub fn apply_group(&mut self, group: &[Submission]) -> Result<GroupResult, EngineError> {
        let _ = (&self.engine, group);
        todo!()
    }
}
