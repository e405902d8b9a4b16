//! Applies ordered groups of submissions to an engine: the only writer of state.
//!
//! A group becomes one batch: what the [`machine`] decided for each submission, and how far the
//! store has come with it, in position and in time. The batch is committed once, so a group is
//! there whole or not at all. Commands of a group see one another's effects. A group that changes
//! nothing is not written, and is as if it had never been. Order and threads are the log's
//! business.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::command::{Command, Event, Submission, Verdict};
use crate::engine::{Durability, Engine, EngineError, Mutation, Table};
use crate::fail_point::{self, Point};
use crate::id::Timestamp;
use crate::key;
use crate::log::GroupStats;
use crate::machine::{self, Effects};
use crate::model::Applied;
use crate::overlay::Overlay;
use crate::recent::Recent;
use crate::record::Record;
use crate::state;

/// Conversations, memberships and watermarks that were used lately and are kept decoded, at most so
/// many of each: some hundred bytes a record.
const RECENT_RECORDS_MAX: usize = 100_000;

/// Applies groups, one after the other, on one thread.
pub struct Applier {
    state: Recent,
    applied: Applied,
    effects: Effects,
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
        let applied = state::applied(&*engine)?;
        Ok(Self { state: Recent::new(engine, RECENT_RECORDS_MAX), applied, effects: Effects::default() })
    }

    /// How far it has come.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// Applies a group at a time and commits it; when it returns, the verdicts are durable. If the
    /// time lies before that of the last group, it counts as that: the log's time never goes back.
    ///
    /// # Errors
    /// [`EngineError`] if the engine failed. Whether the group is durable is then unknown: apply
    /// nothing more.
    pub fn apply_group<'s>(
        &mut self,
        time: Timestamp,
        group: impl IntoIterator<Item = &'s Submission>,
    ) -> Result<GroupResult, EngineError> {
        let started = Instant::now();
        let time = time.max(self.applied.time);
        let mut overlay = Overlay::new(&self.state);
        let mut verdicts = Vec::new();
        let mut changed = false;
        for submission in group {
            verdicts.push(machine::apply(&overlay, time, submission, &mut self.effects)?);
            let passes = matches!(submission.command, Command::Tick) && time > self.applied.time;
            changed |= passes || !self.effects.changes.is_empty();
            overlay.absorb(self.effects.changes.drain(..));
        }
        let (mut batch, hot) = overlay.finish();
        let decided = Instant::now();
        // Verdicts that changed nothing rest on groups that are durable already. So whatever is
        // written is synced before anything else is written, and a loss of power can tear one
        // record, the last.
        if changed {
            let applied = Applied { position: self.applied.position + verdicts.len() as u64, time };
            batch.push(applied_row(applied));
            fail_point::pass(Point::Batched);
            self.state.engine().commit(&batch, Durability::Synced)?;
            fail_point::pass(Point::Synced);
            self.applied = applied;
        }
        let stats = GroupStats {
            applied: self.applied,
            commands: verdicts.len(),
            mutations: batch.len(),
            apply: decided - started,
            commit: decided.elapsed(),
            ..GroupStats::default()
        };
        self.state.committed(hot);
        Ok(GroupResult { verdicts, events: std::mem::take(&mut self.effects.events), stats })
    }
}

/// What notes how far a store has come.
pub(crate) fn applied_row(applied: Applied) -> Mutation {
    Mutation::Put {
        table: Table::Meta,
        key: Bytes::from_static(key::APPLIED),
        value: applied.encode(),
        expires: Timestamp::NEVER,
    }
}
