//! Opening a folder, and saying clearly why not.
//!
//! Owns the folder's making and the meaning of RocksDB's errors at opening. Repairs nothing and adopts nothing: a
//! folder that is in use, newer or damaged is left as it was found.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::{ColumnFamilyDescriptor, DB, ErrorKind};
use rustix::fs::{Mode, OFlags};
use thiserror::Error;
use wardline_storage::engine::Table;

use crate::options;

/// The folder could not be opened. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("the data folder {} is in use: stop the other broker, or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It has tables that this version does not know.
    #[error(
        "the data folder {} was written by a newer version (it has the table \"{table}\"): start that version, or restore a backup made by this one",
        path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// A table that is not known here.
        table: String,
    },
    /// The folder, or a file in it, cannot be reached.
    #[error("the data folder {} cannot be used: {source}; check that its parent exists, and who owns it", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// What lies there is not what was written.
    #[error("the data in {} is damaged: {detail}; restore a backup, nothing was changed", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The engine's words; they name the file if it is known.
        detail: String,
    },
    /// Anything else.
    #[error("the data folder {} could not be opened: {detail}", path.display())]
    Other {
        /// The folder.
        path: PathBuf,
        /// The engine's words.
        detail: String,
    },
}

/// Makes the folder if it is missing, checks its tables, opens it.
pub(crate) fn open(
    path: &Path,
    mut database: rocksdb::Options,
    tables: Vec<ColumnFamilyDescriptor>,
) -> Result<DB, OpenError> {
    prepare_folder(path).map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
    if path.join("CURRENT").exists() {
        refuse_unknown_tables(path, &database)?;
    }
    options::set_direct_io(&mut database, takes_direct_io(path));
    DB::open_cf_descriptors(&database, path, tables).map_err(|error| classify(path, &error))
}

/// A file that is made and removed, to see what the folder can do.
const PROBE: &str = ".writable";

/// Whether files of the folder can be written around the page cache.
fn takes_direct_io(path: &Path) -> bool {
    let (probe, flags) = (path.join(PROBE), OFlags::WRONLY | OFlags::CREATE | OFlags::DIRECT);
    let opened = rustix::fs::open(&probe, flags, Mode::RUSR | Mode::WUSR);
    // If it is left behind, the next start removes it.
    let _ = std::fs::remove_file(&probe);
    if let Err(error) = &opened {
        tracing::info!(%error, "the file system takes no direct writes: table files go through the page cache");
    }
    opened.is_ok()
}

fn prepare_folder(path: &Path) -> io::Result<()> {
    match make_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
        Ok(()) => {
            // RocksDB syncs its folder, but not the folder's own entry: a loss of power could take all of it.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
    }
    // Fails here, with the system's own words, if it is no folder or not ours.
    let probe = path.join(PROBE);
    std::fs::write(&probe, [])?;
    std::fs::remove_file(&probe)
}

/// Makes the folder for its owner alone: payloads lie in it.
fn make_private(path: &Path) -> io::Result<()> {
    let mut folder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)
}

fn refuse_unknown_tables(path: &Path, database: &rocksdb::Options) -> Result<(), OpenError> {
    let known: BTreeSet<&str> =
        Table::ALL.iter().map(|table| table.name()).chain([options::UNUSED_TABLE]).collect();
    let found = DB::list_cf(database, path).map_err(|error| classify(path, &error))?;
    match found.into_iter().find(|name| !known.contains(name.as_str())) {
        Some(table) => Err(OpenError::Newer { path: path.to_owned(), table }),
        None => Ok(()),
    }
}

/// RocksDB gives a kind and a text. The lock and the permissions are only in the text, whose words come from
/// `env/fs_posix.cc` and `strerror`.
fn classify(path: &Path, error: &rocksdb::Error) -> OpenError {
    let detail = error.as_ref();
    let path = path.to_owned();
    let folder = |kind: io::ErrorKind| OpenError::Folder {
        path: path.clone(),
        source: io::Error::new(kind, detail.to_owned()),
    };
    match error.kind() {
        ErrorKind::IOError if detail.contains("lock hold by") || detail.contains("While lock file") => {
            OpenError::InUse { path }
        }
        ErrorKind::IOError if detail.contains("Permission denied") => folder(io::ErrorKind::PermissionDenied),
        ErrorKind::IOError if detail.contains("No space left") => folder(io::ErrorKind::StorageFull),
        ErrorKind::Corruption => OpenError::Damaged { path, detail: detail.to_owned() },
        _ => OpenError::Other { path, detail: detail.to_owned() },
    }
}
