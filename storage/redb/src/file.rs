//! A store file that redb has open: its tables, and one batch as one write transaction.
//!
//! One table of redb for each table, keys and stored values as bytes, and one of our own that
//! counts the batches. Knows redb's errors: what could not be read, and what is not what was
//! written, becomes an [`EngineError`] without keys or values.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, Durability as Wait, ReadTransaction, ReadableDatabase, StorageError,
    TableDefinition, WriteTransaction,
};
use wardline_storage::engine::{Durability, EngineError, Mutation, Table};

use crate::disk::{Counts, Disk};
use crate::row;

/// Our own table: how many batches the store has.
pub(crate) const COMMITS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("wardline_commits");
const COUNT: &[u8] = b"count";

/// How redb knows a table.
pub(crate) const fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

/// A table within a write transaction.
type Writing<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;
/// A table as it was at one moment.
pub(crate) type Reading = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// An open store file. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct StoreFile {
    database: Database,
    pub(crate) disk: Disk,
}

/// What a batch added to the store, or took from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) rows: i64,
    /// Of keys and values.
    pub(crate) bytes: i64,
}

impl StoreFile {
    /// Makes an empty store in a file that is not there yet.
    pub(crate) fn create(path: &Path, cache_bytes: usize, counts: &Arc<Counts>) -> Result<Self, redb::Error> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let disk = Disk::new(FileBackend::new(file)?, Arc::clone(counts));
        let database = Builder::new().set_cache_size(cache_bytes).create_with_backend(disk.clone())?;
        let store = Self { database, disk };
        store.make_tables(0)?;
        Ok(store)
    }

    /// Opens a file, checking all its pages. Nothing is written to it before
    /// [`Disk::release`].
    ///
    /// # Errors
    /// redb's; a panic of its is damage, too.
    pub(crate) fn open(file: File, cache_bytes: usize, counts: &Arc<Counts>) -> Result<Self, DatabaseError> {
        let disk = Disk::new(FileBackend::new(file)?, Arc::clone(counts));
        disk.hold()?;
        let open = || {
            let mut builder = Builder::new();
            builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
            builder.create_with_backend(disk.clone())
        };
        let panicked = |_| DatabaseError::Storage(StorageError::Corrupted("redb cannot read it".to_owned()));
        let database = catch_unwind(AssertUnwindSafe(open)).map_err(panicked)??;
        Ok(Self { database, disk })
    }

    /// The store as it is now; commits do not change what it shows.
    pub(crate) fn read(&self, doing: &'static str) -> Result<ReadTransaction, EngineError> {
        self.database.begin_read().map_err(|error| self.failure(doing, error.into()))
    }

    /// One table of it.
    pub(crate) fn table(
        &self,
        doing: &'static str,
        moment: &ReadTransaction,
        table: Table,
    ) -> Result<Reading, EngineError> {
        moment.open_table(definition(table)).map_err(|error| self.failure(doing, error.into()))
    }

    /// How many batches the store has; `None`: the count is not what was written.
    pub(crate) fn commits(&self, moment: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
        let table = moment.open_table(COMMITS)?;
        Ok(table.get(COUNT)?.and_then(|stored| row::split_count(COUNT, stored.value())))
    }

    /// Makes the tables that are missing, and the count.
    pub(crate) fn make_tables(&self, commits: u64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        for table in Table::ALL {
            transaction.open_table(definition(table))?;
        }
        count(&transaction, commits)?;
        Ok(transaction.commit()?)
    }

    /// Commits what `write` writes, with the count.
    pub(crate) fn commit(
        &self,
        doing: &'static str,
        durability: Durability,
        commits: u64,
        write: impl FnOnce(&mut Batch<'_>) -> Result<(), EngineError>,
    ) -> Result<Growth, EngineError> {
        let failure = |error: redb::Error| self.failure(doing, error);
        let mut transaction = self.database.begin_write().map_err(|error| failure(error.into()))?;
        let wait = match durability {
            Durability::Synced => Wait::Immediate,
            Durability::Buffered => Wait::None,
        };
        transaction.set_durability(wait).map_err(|error| failure(error.into()))?;
        let growth = {
            let mut batch = Batch {
                transaction: &transaction,
                file: self,
                doing,
                tables: [const { None }; Table::ALL.len()],
                growth: Growth::default(),
            };
            write(&mut batch)?;
            batch.growth
        };
        count(&transaction, commits).map_err(failure)?;
        transaction.commit().map_err(|error| failure(error.into()))?;
        Ok(growth)
    }

    /// redb's error as ours.
    pub(crate) fn failure(&self, doing: &'static str, error: redb::Error) -> EngineError {
        if let Some(at) = self.disk.damaged_at() {
            let detail = format!("the page at byte {at} of the store file is not what was written");
            return EngineError::Corrupt { doing, detail };
        }
        let detail = error.to_string();
        match error {
            redb::Error::Corrupted(_) => EngineError::Corrupt { doing, detail },
            redb::Error::Io(error) if is_damage(&error) => EngineError::Corrupt { doing, detail },
            _ => EngineError::Io { doing, detail },
        }
    }
}

/// Whether the system's error says that the file is not what it was.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn count(transaction: &WriteTransaction, commits: u64) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(COMMITS)?;
    table.insert(COUNT, row::join_count(COUNT, commits).as_slice())?;
    Ok(())
}

/// A batch that is being written.
pub(crate) struct Batch<'a> {
    transaction: &'a WriteTransaction,
    file: &'a StoreFile,
    doing: &'static str,
    /// Those that were written to.
    tables: [Option<Writing<'a>>; Table::ALL.len()],
    growth: Growth,
}

impl<'a> Batch<'a> {
    /// Writes one change; a stored value is put together in `buffer`.
    pub(crate) fn apply(&mut self, mutation: &Mutation, buffer: &mut Vec<u8>) -> Result<(), EngineError> {
        match mutation {
            Mutation::Put { table, key, value, expires }
            | Mutation::Insert { table, key, value, expires } => {
                row::join(*table, key, *expires, value, buffer);
                self.put(*table, key, buffer)
            }
            Mutation::Delete { table, key } => self.delete(*table, key),
        }
    }

    /// Writes a stored value.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], stored: &[u8]) -> Result<(), EngineError> {
        let replaced = self
            .table(table)?
            .insert(key, stored)
            .map(|old| old.map(|old| row::value_bytes(old.value())))
            .map_err(|error| self.file.failure(self.doing, error.into()))?;
        self.shrink(key, replaced);
        self.growth.rows += 1;
        self.growth.bytes += (key.len() + row::value_bytes(stored)) as i64;
        Ok(())
    }

    /// Removes a row, if it is there.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), EngineError> {
        let removed = self
            .table(table)?
            .remove(key)
            .map(|old| old.map(|old| row::value_bytes(old.value())))
            .map_err(|error| self.file.failure(self.doing, error.into()))?;
        self.shrink(key, removed);
        Ok(())
    }

    fn shrink(&mut self, key: &[u8], value_bytes: Option<usize>) {
        if let Some(value_bytes) = value_bytes {
            self.growth.rows -= 1;
            self.growth.bytes -= (key.len() + value_bytes) as i64;
        }
    }

    fn table(&mut self, table: Table) -> Result<&mut Writing<'a>, EngineError> {
        let place = &mut self.tables[table as usize];
        match place {
            Some(table) => Ok(table),
            None => {
                let opened = self.transaction.open_table(definition(table));
                Ok(place.insert(opened.map_err(|error| self.file.failure(self.doing, error.into()))?))
            }
        }
    }
}
