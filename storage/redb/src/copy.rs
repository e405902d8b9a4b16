//! A copy of the store in another file, made beside reads and commits.
//!
//! It goes through the tables in steps. Each step looks at the store anew, between two commits:
//! first it catches up on what changed in the part that it has copied already, then it copies some
//! more as it is now. So no step needs the state of an earlier one, nothing that redb would keep
//! pages for is held longer than a step, and memory is bounded by a step and by what is committed
//! within it. When all is copied it only catches up, until a step takes little time.
//! After each step the copy is durable, and is the store at that moment as far as it reaches.

use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wardline_storage::engine::{Durability, EngineError, Reclaimed, Table};
use wardline_storage::id::Timestamp;

use crate::engine::{Moment, RedbEngine};
use crate::file::{Batch, Growth, StoreFile};
use crate::followed::Followed;
use crate::row;

/// About what one step copies, keys and values.
const STEP_BYTES: usize = 1 << 20;
/// Commits are to wait no longer than this for the last round, if they leave the choice.
const ROUND: Duration = Duration::from_millis(20);
/// After so many rounds that took longer, one may take twice as long.
const PATIENCE: u32 = 16;

/// A copy that is being made.
pub(crate) struct Copy<'a> {
    engine: &'a RedbEngine,
    into: &'a StoreFile,
    doing: &'static str,
    /// What is expired then is left out.
    now: Timestamp,
    reached: Reached,
    /// What was left out.
    pub(crate) expired: Reclaimed,
    /// What the copy holds.
    pub(crate) size: Growth,
    /// How many batches of the store it has.
    pub(crate) commits: u64,
}

/// How far the rows are copied.
#[derive(Debug, Default)]
struct Reached {
    /// This many tables are copied.
    tables: usize,
    /// The last key of the next one.
    key: Option<Vec<u8>>,
}

impl Reached {
    fn is_end(&self) -> bool {
        self.tables == Table::ALL.len()
    }

    fn has(&self, table: Table, key: &[u8]) -> bool {
        let number = table as usize;
        number < self.tables
            || number == self.tables && self.key.as_deref().is_some_and(|reached| key <= reached)
    }

    fn next_table(&mut self) {
        (self.tables, self.key) = (self.tables + 1, None);
    }
}

/// As long as it lives, the engine remembers what changes.
pub(crate) struct Following<'a>(&'a RedbEngine);

impl<'a> Following<'a> {
    /// Begins between two commits, where `begin` is called.
    pub(crate) fn begin(engine: &'a RedbEngine, begin: impl FnOnce()) -> Self {
        let mut writer = engine.writer.lock();
        writer.followed = Some(Followed::default());
        begin();
        Self(engine)
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.0.writer.lock().followed = None;
    }
}

impl<'a> Copy<'a> {
    /// Into an empty store. The engine has to follow what changes from now on.
    pub(crate) fn begin(
        engine: &'a RedbEngine,
        into: &'a StoreFile,
        doing: &'static str,
        now: Timestamp,
    ) -> Self {
        Self {
            engine,
            into,
            doing,
            now,
            reached: Reached::default(),
            expired: Reclaimed::default(),
            size: Growth::default(),
            commits: 0,
        }
    }

    /// Copies all: the copy is the store at the moment that the last step looked at.
    pub(crate) fn run(&mut self) -> Result<(), EngineError> {
        while !self.reached.is_end() {
            self.advance()?;
        }
        Ok(())
    }

    /// Catches up until that takes little time: what changes meanwhile is little, too.
    pub(crate) fn settle(&mut self) -> Result<(), EngineError> {
        let mut round = ROUND;
        loop {
            for _ in 0..PATIENCE {
                let began = Instant::now();
                self.advance()?;
                if began.elapsed() <= round {
                    return Ok(());
                }
            }
            round *= 2;
        }
    }

    fn advance(&mut self) -> Result<(), EngineError> {
        let moment = self.engine.look(self.doing, &mut self.engine.writer.lock())?;
        self.step(moment)
    }

    /// Catches up with a moment, and copies some more if there is more.
    pub(crate) fn step(&mut self, moment: Moment) -> Result<(), EngineError> {
        let (into, doing) = (self.into, self.doing);
        let grown = into.commit(doing, Durability::Synced, moment.commits, |batch| {
            self.catch_up(&moment, batch)?;
            self.copy_some(&moment, batch)
        })?;
        self.size.rows += grown.rows;
        self.size.bytes += grown.bytes;
        self.commits = moment.commits;
        Ok(())
    }

    fn catch_up(&self, moment: &Moment, batch: &mut Batch<'_>) -> Result<(), EngineError> {
        for table in Table::ALL {
            let changed =
                moment.changed.iter().filter(|(of, key)| *of == table && self.reached.has(table, key));
            let mut changed = changed.peekable();
            if changed.peek().is_none() {
                continue;
            }
            let rows = moment.file.table(self.doing, &moment.rows, table)?;
            for (_, key) in changed {
                let found =
                    rows.get(&**key).map_err(|error| moment.file.failure(self.doing, error.into()))?;
                match found {
                    Some(stored) if self.is_live(table, key, stored.value())? => {
                        batch.put(table, key, stored.value())?;
                    }
                    _ => batch.delete(table, key)?,
                }
            }
        }
        Ok(())
    }

    /// Whether a row is to be in the copy.
    fn is_live(&self, table: Table, key: &[u8], stored: &[u8]) -> Result<bool, EngineError> {
        let (expires, _) = row::split(self.doing, table, key, stored)?;
        let is_live = expires > self.now;
        if is_live {
            self.engine.garbage.of(table).note_expiry(expires);
        }
        Ok(is_live)
    }

    fn copy_some(&mut self, moment: &Moment, batch: &mut Batch<'_>) -> Result<(), EngineError> {
        let mut left = STEP_BYTES;
        while left > 0
            && let Some(table) = Table::ALL.get(self.reached.tables)
        {
            left = self.copy_from(*table, moment, batch, left)?;
        }
        Ok(())
    }

    /// Copies of a table from where it was reached; gives what is left of a step.
    fn copy_from(
        &mut self,
        table: Table,
        moment: &Moment,
        batch: &mut Batch<'_>,
        mut left: usize,
    ) -> Result<usize, EngineError> {
        let failure = |error: redb::StorageError| moment.file.failure(self.doing, error.into());
        let rows = moment.file.table(self.doing, &moment.rows, table)?;
        let reached = self.reached.key.take();
        let from = reached.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for found in rows.range::<&[u8]>((from, Bound::Unbounded)).map_err(failure)? {
            let (key, stored) = found.map_err(failure)?;
            let (key, stored) = (key.value(), stored.value());
            let (expires, value) = row::split(self.doing, table, key, stored)?;
            let bytes = key.len() + value.len();
            if expires > self.now {
                self.engine.garbage.of(table).note_expiry(expires);
                batch.put(table, key, stored)?;
            } else {
                self.expired.records += 1;
                self.expired.bytes += bytes as u64;
            }
            left = left.saturating_sub(bytes.max(1));
            if left == 0 || self.engine.is_far_ahead.load(Ordering::Relaxed) {
                self.reached.key = Some(key.to_vec());
                return Ok(0);
            }
        }
        self.reached.next_table();
        Ok(left)
    }
}
