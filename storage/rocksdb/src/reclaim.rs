//! Reclaiming: no file of the store holds what is expired, replaced or deleted when it returns.
//!
//! It flushes every table, so that nothing lingers in the write-ahead log, rewrites whole those
//! tables where something is due, and then looks at the folder: the files that held it must be
//! gone. RocksDB reports neither that a compaction failed nor that it passed over a file, so
//! nothing is taken on trust.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rocksdb::{ColumnFamily, LiveFile, properties};
use wardline_storage::engine::{EngineError, Reclaimed, Table};
use wardline_storage::id::Timestamp;

use crate::engine::{RocksEngine, failure, unfinished};
use crate::options;
use wardline_storage::garbage::{Found, Garbage};

const DOING: &str = "reclaiming";

/// Longest wait for RocksDB to delete files that it needs no more. A scan that is under way holds
/// them.
const DELETION_WAIT: Duration = Duration::from_secs(30);
const DELETION_POLL: Duration = Duration::from_millis(5);

/// A pass over one table. Unless it is finished, what was known of the table's garbage is known
/// again.
struct Pass<'a> {
    table: Table,
    garbage: &'a Garbage,
    found: Option<Found>,
}

impl<'a> Pass<'a> {
    fn begin(table: Table, garbage: &'a Garbage) -> Self {
        Self { table, garbage, found: Some(garbage.take()) }
    }

    fn finish(mut self) {
        self.found = None;
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(found) = self.found {
            self.garbage.restore(found);
        }
    }
}

impl RocksEngine {
    /// See [`wardline_storage::engine::Engine::reclaim`]. One at a time; others wait.
    pub(crate) fn reclaim_tables(&self, now: Timestamp) -> Result<Reclaimed, EngineError> {
        let _one = self.reclaiming.lock();
        self.garbage.hear(now);
        self.expiry.advance(now);
        self.ensure_room_to_flush(DOING)?;
        let errors_before = self.database_property(properties::BACKGROUND_ERRORS);
        // Between two commits: what a commit noted is in the tables that are flushed below, or
        // belongs to the next reclaim.
        let passes: Vec<Pass<'_>> = {
            let _writer = self.writer.lock();
            let due = Table::ALL.into_iter().filter(|table| self.garbage.of(*table).is_due(now));
            due.map(|table| Pass::begin(table, self.garbage.of(table))).collect()
        };

        let mut obsolete = self.files("log").map_err(unreadable)?;
        let families: Vec<&ColumnFamily> = Table::ALL.into_iter().map(|table| self.family(table)).collect();
        self.db.flush_cfs_opt(&families, &options::flush()).map_err(|error| failure(DOING, error))?;
        let (mut done, mut no_room) = (Vec::new(), None);
        for pass in passes {
            let files = self.table_files(pass.table)?;
            match self.ensure_room_to_rewrite(DOING, pass.table, &files) {
                Ok(()) => {
                    obsolete.extend(self.rewrite(pass.table, &files)?);
                    done.push(pass);
                }
                // Another table may be smaller.
                Err(error) => no_room = Some(error),
            }
        }
        self.await_deletion(&obsolete)?;
        self.writer.lock().synced.note_manifest();
        if self.database_property(properties::BACKGROUND_ERRORS) > errors_before {
            return Err(unfinished(
                DOING,
                "RocksDB counted an error in the background; its file LOG says which",
            ));
        }
        done.into_iter().for_each(Pass::finish);
        no_room.map_or_else(|| Ok(self.expiry.take_dropped()), Err)
    }

    /// Rewrites these table files, all that a table has; returns their names.
    fn rewrite(&self, table: Table, files: &[LiveFile]) -> Result<BTreeSet<String>, EngineError> {
        let before = names(files);
        self.db.compact_range_cf_opt(self.family(table), None::<&[u8]>, None::<&[u8]>, &options::reclaim());
        if names(&self.table_files(table)?).is_disjoint(&before) {
            Ok(before)
        } else {
            Err(unfinished(DOING, "RocksDB left a table file as it was; its file LOG says why"))
        }
    }

    fn table_files(&self, table: Table) -> Result<Vec<LiveFile>, EngineError> {
        let mut files = self.db.live_files().map_err(|error| failure(DOING, error))?;
        files.retain(|file| file.column_family_name == table.name());
        Ok(files)
    }

    fn await_deletion(&self, obsolete: &BTreeSet<String>) -> Result<(), EngineError> {
        let deadline = Instant::now() + DELETION_WAIT;
        // A file that cannot be looked for is not known to be gone.
        let exists = |name: &String| self.path.join(name).try_exists().unwrap_or(true);
        while obsolete.iter().any(exists) {
            // A commit that is under way has not failed, and is not to be held up.
            if self.writer.try_lock().is_some_and(|writer| writer.failed) {
                // Waiting would only hold up the end.
                return Err(unfinished(DOING, "a commit failed meanwhile"));
            }
            if Instant::now() > deadline {
                return Err(unfinished(
                    DOING,
                    "RocksDB did not delete its old files in time; a long scan may hold them",
                ));
            }
            thread::sleep(DELETION_POLL);
        }
        Ok(())
    }

    /// The files with an extension that have something in them. An empty log file is the one in
    /// use.
    fn files(&self, extension: &str) -> io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            // A file that went meanwhile is of no interest.
            let is_empty = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
            if name.rsplit_once('.').is_some_and(|(_, found)| found == extension) && !is_empty {
                names.insert(name);
            }
        }
        Ok(names)
    }

    /// Bytes of write-ahead log.
    pub(crate) fn wal_bytes(&self) -> u64 {
        let size = |name: String| fs::metadata(self.path.join(name)).map_or(0, |metadata| metadata.len());
        self.files("log").map_or(0, |names| names.into_iter().map(size).sum())
    }

    /// A figure of the whole database; 0 if RocksDB does not know it.
    pub(crate) fn database_property(&self, name: &properties::PropName) -> u64 {
        self.db.property_int_value(name).ok().flatten().unwrap_or(0)
    }
}

fn names(files: &[LiveFile]) -> BTreeSet<String> {
    files.iter().map(|file| file.name.trim_start_matches('/').to_owned()).collect()
}

fn unreadable(error: io::Error) -> EngineError {
    unfinished(DOING, &error.to_string())
}
