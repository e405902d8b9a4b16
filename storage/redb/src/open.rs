//! Opening a folder, and saying clearly why not.
//!
//! Looks at every page and every row before anything is served or written: redb writes into memory
//! until then (see `disk`), so that a folder that is in use, newer or damaged is left as it was
//! found. A store file comes into being whole, under another name, so one that is missing beside
//! its note, empty or cut is damage and never a beginning.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use redb::{MultimapTableHandle, ReadableTable, TableHandle};
use wardline_storage::engine::{EngineError, Table};
use wardline_storage::garbage::Heap;
use wardline_storage::open::OpenError;

use crate::disk::Counts;
use crate::file::{self, Growth, StoreFile};
use crate::note::{self, Note};
use crate::row;

/// The store.
pub(crate) const STORE: &str = "store.redb";
/// One that is being made. What a crash left of it is of no use.
pub(crate) const UNFINISHED: &str = "store.redb.new";
const DOING: &str = "looking at all rows";
/// What opening may take of the disk, beside a part of the file.
const OPENING_BYTES: u64 = 4 << 20;
/// Of a file that was not closed, which pages are free is written anew: so much of it.
const OPENING_SHARE: u64 = 1024;

/// A store that is open, and what was seen of it.
pub(crate) struct Opened {
    pub(crate) file: StoreFile,
    pub(crate) note: Note,
    pub(crate) commits: u64,
    /// All that is there.
    pub(crate) size: Growth,
    /// Held as long as the store is open.
    pub(crate) lock: File,
}

/// Makes the folder if it is missing, and the store if there is none; opens it.
pub(crate) fn open(
    path: &Path,
    cache_bytes: usize,
    counts: &Arc<Counts>,
    garbage: &Heap,
) -> Result<Opened, OpenError> {
    let folder = |source| OpenError::of_folder(path, source);
    prepare_folder(path).map_err(folder)?;
    let lock = lock(path)?;
    let noted = note::read(path).map_err(folder)?;
    if !path.join(STORE).try_exists().map_err(folder)? {
        if let Some(commits) = noted {
            let detail = format!(
                "the file {STORE} is missing, and {commits} commits to it are noted in {}",
                note::NAME
            );
            return Err(damaged(path, detail));
        }
        make(path, cache_bytes, counts).map_err(|error| refused(path, error))?;
    }
    let store = File::options().read(true).write(true).open(path.join(STORE)).map_err(folder)?;
    if store.metadata().map_err(folder)?.len() == 0 {
        return Err(damaged(path, format!("the file {STORE} is empty")));
    }
    let file = StoreFile::open(store, cache_bytes, counts).map_err(|error| refused(path, error.into()))?;
    let has_all_tables = check_tables(path, &file)?;
    let commits = check_count(path, &file, noted)?;
    let size = look_at_all(&file, garbage)
        .map_err(|error| damaged(path, format!("{error}, in the file {STORE}")))?;
    file.disk.release().map_err(folder)?;
    if !has_all_tables {
        // One that an older version did not have.
        file.make_tables(commits).map_err(|error| refused(path, error))?;
    }
    remove_unfinished(path).map_err(folder)?;
    let note = Note::open(path).map_err(folder)?;
    match noted {
        Some(_) => note.write(commits),
        None => note.write_synced(commits).and_then(|()| sync_folder(path)).map_err(folder)?,
    }
    Ok(Opened { file, note, commits, size, lock })
}

/// Whether a folder holds a store, or what is left of one.
pub(crate) fn is_store(path: &Path) -> io::Result<bool> {
    Ok(path.join(STORE).try_exists()? || note::read(path)?.is_some())
}

/// Room that opening a folder may take.
pub(crate) fn room(path: &Path) -> io::Result<u64> {
    match fs::metadata(path.join(STORE)) {
        Ok(store) => Ok(OPENING_BYTES + store.len() / OPENING_SHARE),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(OPENING_BYTES),
        Err(error) => Err(error),
    }
}

/// Makes the folder for its owner alone: payloads lie in it.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes what was done to the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a store file that was never finished.
pub(crate) fn remove_unfinished(path: &Path) -> io::Result<()> {
    match fs::remove_file(path.join(UNFINISHED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn prepare_folder(path: &Path) -> io::Result<()> {
    match make_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_folder(parent.unwrap_or(Path::new(".")))
        }
    }
}

/// redb locks the file, but a reclaim puts another in its place: so the folder is locked, too.
fn lock(path: &Path) -> Result<File, OpenError> {
    let folder = |source| OpenError::of_folder(path, source);
    if !fs::metadata(path).map_err(folder)?.is_dir() {
        return Err(folder(io::ErrorKind::NotADirectory.into()));
    }
    let lock = File::open(path).map_err(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(folder(source)),
    }
}

/// Makes an empty store, whole under its name or not there at all.
fn make(path: &Path, cache_bytes: usize, counts: &Arc<Counts>) -> Result<(), redb::Error> {
    remove_unfinished(path)?;
    drop(StoreFile::create(&path.join(UNFINISHED), cache_bytes, counts)?);
    fs::rename(path.join(UNFINISHED), path.join(STORE))?;
    Ok(sync_folder(path)?)
}

/// Refuses tables that are not known here; whether there are all of those that are.
fn check_tables(path: &Path, file: &StoreFile) -> Result<bool, OpenError> {
    let moment = file.read(DOING).map_err(|error| damaged(path, error.to_string()))?;
    let tables = moment.list_tables().map_err(|error| refused(path, error.into()))?;
    let others = moment.list_multimap_tables().map_err(|error| refused(path, error.into()))?;
    let others = others.map(|table| table.name().to_owned());
    let mut known = 0;
    for name in tables.map(|table| table.name().to_owned()).chain(others) {
        let mut ours = Table::ALL.iter().map(|table| table.name()).chain([file::COMMITS.name()]);
        if !ours.any(|ours| ours == name) {
            let what = format!("it has the table \"{name}\"");
            return Err(OpenError::Newer { path: path.to_owned(), what });
        }
        known += 1;
    }
    Ok(known > Table::ALL.len())
}

/// Refuses a store that ends before the note.
fn check_count(path: &Path, file: &StoreFile, noted: Option<u64>) -> Result<u64, OpenError> {
    let moment = file.read(DOING).map_err(|error| damaged(path, error.to_string()))?;
    let commits = file.commits(&moment).map_err(|error| refused(path, error))?;
    let commits = commits
        .ok_or_else(|| damaged(path, format!("the file {STORE} does not say how many commits it has")))?;
    match noted {
        Some(noted) if commits < noted => {
            let detail = format!(
                "the file {STORE} ends at commit {commits}, and everything up to {noted} was acknowledged \
                 ({})",
                note::NAME
            );
            Err(damaged(path, detail))
        }
        None if commits > 0 => {
            tracing::warn!(
                code = "note-missing",
                file = note::NAME,
                "the note of how far the store is durable is missing or damaged; whether commits at its end are lost cannot be told this time"
            );
            Ok(commits)
        }
        _ => Ok(commits),
    }
}

/// Reads every row: its checksum, when it expires, how large it is.
fn look_at_all(file: &StoreFile, garbage: &Heap) -> Result<Growth, EngineError> {
    let moment = file.read(DOING)?;
    let mut size = Growth::default();
    for table in Table::ALL {
        let rows = match moment.open_table(file::definition(table)) {
            Ok(rows) => rows,
            // A store of before there was this table.
            Err(redb::TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(file.failure(DOING, error.into())),
        };
        let before = size.rows;
        for found in rows.iter().map_err(|error| file.failure(DOING, error.into()))? {
            let (key, stored) = found.map_err(|error| file.failure(DOING, error.into()))?;
            let (expires, value) = row::split(DOING, table, key.value(), stored.value())?;
            garbage.of(table).note_expiry(expires);
            size.rows += 1;
            size.bytes += (key.value().len() + value.len()) as i64;
        }
        // Of what was replaced and deleted, bytes may lie in pages that are free.
        if size.rows > before {
            garbage.of(table).note_unknown();
        }
    }
    Ok(size)
}

fn damaged(path: &Path, detail: String) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), detail, kept: None }
}

/// Why redb did not open the file.
fn refused(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path },
        redb::Error::Corrupted(detail) => {
            damaged(&path, format!("the file {STORE} cannot be read: {detail}"))
        }
        redb::Error::Io(error) if file::is_damage(&error) => {
            damaged(&path, format!("the file {STORE} cannot be read: {error}"))
        }
        // No build of ours wrote such a file.
        redb::Error::UpgradeRequired(version) => {
            damaged(&path, format!("the file {STORE} says that it is of redb's format {version}"))
        }
        redb::Error::Io(source) => OpenError::of_folder(&path, source),
        error => OpenError::Other { path, detail: format!("the file {STORE}: {error}") },
    }
}
