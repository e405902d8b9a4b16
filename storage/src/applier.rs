//! Applies ordered groups of submissions to an engine: the only writer of state.
//!
//! A group becomes one batch: what the [`machine`] decided for each submission, and how far each
//! touched partition has come. The batch is committed once, so a group is there whole or not at
//! all. Commands of a group see one another's effects. Order and threads are the log's business.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::command::{Event, Submission, Verdict};
use crate::engine::{Direction, Durability, Engine, EngineError, Mutation, Table};
use crate::fail_point::{self, Point};
use crate::id::{PARTITIONS, PartitionId, Timestamp};
use crate::key;
use crate::log::GroupStats;
use crate::machine::{self, Effects};
use crate::overlay::Overlay;
use crate::recent::Recent;
use crate::record::Record;
use crate::scan;

/// Conversations, memberships and watermarks that were used lately and are kept decoded, at most so
/// many of each: some hundred bytes a record.
const RECENT_RECORDS_MAX: usize = 100_000;

/// Applies groups, one after the other, on one thread.
pub struct Applier {
    state: Recent,
    /// How many submissions of each partition have been applied.
    positions: [u64; PARTITIONS as usize],
    /// The partitions whose position is ahead of what the engine has.
    ahead: [bool; PARTITIONS as usize],
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

/// How many submissions of each partition have been applied to a store.
///
/// # Errors
/// [`EngineError`] if the engine could not be read.
pub fn positions(engine: &dyn Engine) -> Result<[u64; PARTITIONS as usize], EngineError> {
    let mut positions = [0; PARTITIONS as usize];
    // Positions do not expire, so any time does.
    let (span, now) = (key::all_applied(), Timestamp::default());
    scan::each(engine, Table::Meta, &span, Direction::Forward, now, |key, value| {
        if let Some(position) = positions.get_mut(usize::from(key::applied_partition(key)?)) {
            *position = u64::decode(value)?;
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(positions)
}

impl Applier {
    /// Goes on where the engine's state stands.
    ///
    /// # Errors
    /// [`EngineError`] if the engine could not be read.
    pub fn new(engine: Arc<dyn Engine>) -> Result<Self, EngineError> {
        let positions = positions(&*engine)?;
        Ok(Self {
            state: Recent::new(engine, RECENT_RECORDS_MAX),
            positions,
            ahead: [false; PARTITIONS as usize],
            effects: Effects::default(),
        })
    }

    /// How many submissions of a partition have been applied.
    pub fn position(&self, partition: PartitionId) -> u64 {
        self.positions[usize::from(partition.index())]
    }

    /// Applies a group and commits it; when it returns, the verdicts are durable.
    ///
    /// # Errors
    /// [`EngineError`] if the engine failed. Whether the group is durable is then unknown: apply
    /// nothing more.
    pub fn apply_group<'s>(
        &mut self,
        group: impl IntoIterator<Item = &'s Submission>,
    ) -> Result<GroupResult, EngineError> {
        let started = Instant::now();
        let mut overlay = Overlay::new(&self.state);
        let mut verdicts = Vec::new();
        let mut changed = false;
        for submission in group {
            verdicts.push(machine::apply(&overlay, submission, &mut self.effects)?);
            changed |= !self.effects.changes.is_empty();
            overlay.absorb(self.effects.changes.drain(..));
            let partition = usize::from(submission.partition().index());
            self.positions[partition] += 1;
            self.ahead[partition] = true;
        }
        let (mut batch, hot) = overlay.finish();
        let applied = Instant::now();
        // Verdicts that changed nothing rest on groups that are durable already. Their positions go
        // with the next group that changes something: so whatever is written is synced before
        // anything else is written, and a loss of power can tear one record, the last.
        if changed {
            batch.extend(self.position_rows());
            fail_point::pass(Point::Batched);
            self.state.engine().commit(&batch, Durability::Synced)?;
            fail_point::pass(Point::Synced);
            self.ahead.fill(false);
        }
        let stats = GroupStats {
            commands: verdicts.len(),
            mutations: batch.len(),
            apply: applied - started,
            commit: applied.elapsed(),
            ..GroupStats::default()
        };
        self.state.committed(hot);
        Ok(GroupResult { verdicts, events: std::mem::take(&mut self.effects.events), stats })
    }

    fn position_rows(&self) -> impl Iterator<Item = Mutation> {
        let all = (0..PARTITIONS).zip(&self.ahead).zip(&self.positions);
        all.filter(|((_, ahead), _)| **ahead).map(|((partition, _), position)| Mutation::Put {
            table: Table::Meta,
            key: Bytes::from(key::applied(partition)),
            value: position.encode(),
            expires: Timestamp::NEVER,
        })
    }
}
