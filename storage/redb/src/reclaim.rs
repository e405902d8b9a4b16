//! Reclaiming: no file of the store holds what is expired, replaced or deleted when it returns.
//!
//! redb leaves old bytes in pages that are free, so only a copy is without them. It is made beside
//! the store, and takes its place when it has caught up: between two commits, after a sync of the
//! copy, by a rename and a sync of the folder. A crash leaves the one or the other, each whole, and
//! an unfinished copy is removed at the next opening. The old file goes when the last read that
//! began with it ends.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use wardline_storage::engine::{EngineError, Reclaimed, Table};
use wardline_storage::garbage::{Found, Heap};
use wardline_storage::id::Timestamp;

use crate::copy::{Copy, Following};
use crate::disk::Counts;
use crate::engine::{RedbEngine, unfinished};
use crate::file::StoreFile;
use crate::open::{self, STORE, UNFINISHED};
use crate::room;

const DOING: &str = "reclaiming";

/// Longest wait for reads of the old file.
const READS_WAIT: Duration = Duration::from_secs(30);
const READS_POLL: Duration = Duration::from_millis(2);

/// A pass over all tables. Unless it is finished, what was known of their garbage is known again.
struct Pass<'a> {
    garbage: &'a Heap,
    found: Option<[Found; Table::ALL.len()]>,
}

impl<'a> Pass<'a> {
    fn begin(garbage: &'a Heap) -> Self {
        Self { garbage, found: Some(Table::ALL.map(|table| garbage.of(table).take())) }
    }

    fn finish(mut self) {
        self.found = None;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        for (table, found) in Table::ALL.into_iter().zip(self.found.into_iter().flatten()) {
            self.garbage.of(table).restore(found);
        }
    }
}

/// Counts how long commits wait.
struct Stall<'a> {
    began: Instant,
    counts: &'a Counts,
}

impl Drop for Stall<'_> {
    fn drop(&mut self) {
        self.counts.stall.fetch_add(self.began.elapsed().as_micros() as u64, Ordering::Relaxed);
    }
}

impl RedbEngine {
    /// See [`wardline_storage::engine::Engine::reclaim`]. One at a time; others wait.
    pub(crate) fn reclaim_store(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        let _one = self.copying.lock();
        self.garbage.hear(now);
        if !Table::ALL.into_iter().any(|table| self.garbage.of(table).is_due(now)) {
            return Ok(Reclaimed::default());
        }
        room::ensure(DOING, &self.path, self.size.rows(), self.size.bytes())?;
        let mut pass = None;
        // Between two commits: what a commit noted is copied, or belongs to the next reclaim.
        let following = Following::begin(self, || pass = Some(Pass::begin(&self.garbage)));
        let replaced = self.replace(now);
        drop(following);
        if replaced.is_err() {
            // If it cannot be removed now, the next one does, or the next start.
            let _ = open::remove_unfinished(&self.path);
        }
        let (old, reclaimed) = replaced?;
        self.await_reads(old)?;
        pass.into_iter().for_each(Pass::finish);
        Ok(reclaimed)
    }

    /// Puts a copy in the store's place; gives the old file.
    fn replace(&self, now: Timestamp) -> Result<(Arc<StoreFile>, Reclaimed), EngineError> {
        open::remove_unfinished(&self.path).map_err(unreadable)?;
        let file = StoreFile::create(&self.path.join(UNFINISHED), self.cache_bytes, &self.counts);
        let file = Arc::new(file.map_err(|error| unfinished(DOING, &error.to_string()))?);
        let mut copy = Copy::begin(self, &file, DOING, now);
        copy.run()?;
        copy.settle()?;

        // From here on commits wait.
        let writer = &mut *self.writer.lock();
        let _stall = Stall { began: Instant::now(), counts: &self.counts };
        copy.step(self.look(DOING, writer)?)?;
        let (size, expired) = (copy.size, copy.expired);
        fs::rename(self.path.join(UNFINISHED), self.path.join(STORE)).map_err(unreadable)?;
        let old = std::mem::replace(&mut *self.current.write(), file);
        self.size.set(size);
        if let Err(error) = open::sync_folder(&self.path) {
            // Which of the two a loss of power leaves, nobody knows: no commit may build on it.
            writer.failed = true;
            return Err(unreadable(error));
        }
        Ok((old, expired))
    }

    /// Closes a file that is the store no more, once nobody reads it.
    fn await_reads(&self, mut old: Arc<StoreFile>) -> Result<(), EngineError> {
        let deadline = Instant::now() + READS_WAIT;
        loop {
            match Arc::try_unwrap(old) {
                Ok(file) => {
                    file.disk.abandon();
                    drop(file);
                    return Ok(());
                }
                Err(shared) => old = shared,
            }
            // A commit that is under way has not failed, and is not to be held up.
            if self.writer.try_lock().is_some_and(|writer| writer.failed) {
                // Waiting would only hold up the end.
                return Err(unfinished(DOING, "a commit failed meanwhile"));
            }
            if Instant::now() > deadline {
                return Err(unfinished(DOING, "a long scan holds the old file"));
            }
            thread::sleep(READS_POLL);
        }
    }
}

fn unreadable(error: io::Error) -> EngineError {
    unfinished(DOING, &error.to_string())
}
