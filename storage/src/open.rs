//! Opening a store: the seam by which a binary names its engines, and the answer why not.
//!
//! An [`Opener`] is an engine before it is open: its name, whether a folder holds a store of it,
//! and how to open that. Whoever serves a store goes through [`open`], which refuses a folder that
//! holds the store of another engine before anything is touched. An engine repairs nothing and
//! adopts nothing when it opens: what is in use, newer or damaged is left as it was found.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::engine::Engine;

/// A folder with this name in a data folder: a restore is not finished, and what lies around it is
/// no store yet.
pub const RESTORING: &str = ".restoring";

/// What an operator may choose of any engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Memory for caches and buffers, in bytes.
    pub memory_bytes: usize,
    /// Room on the disk that is kept for it; 0: none. What a commit leaves to be written later, and
    /// a restart would have to write, must fit into it.
    pub ballast_bytes: u64,
    /// Whether the disk is nearly full: see [`Engine::spare_disk`].
    pub is_sparing: bool,
}

impl Options {
    /// With so much memory, and a disk of which nothing is known.
    pub const fn with_memory(memory_bytes: usize) -> Self {
        Self { memory_bytes, ballast_bytes: 0, is_sparing: false }
    }
}

/// An engine before it is open.
pub trait Opener: Sync {
    /// Its short name: what the configuration calls it, and what [`Engine::name`] gives.
    fn name(&self) -> &'static str;

    /// Whether what it holds outlives the process.
    fn keeps_files(&self) -> bool;

    /// Whether the folder holds a store of this engine, or what is left of one. Opens nothing,
    /// changes nothing; a folder that is not there holds none.
    ///
    /// # Errors
    /// [`io::Error`] if the folder cannot be looked into.
    fn is_store(&self, folder: &Path) -> io::Result<bool>;

    /// Room on the disk that opening a folder may take, about: what a recovery writes before
    /// anything is read. Opens nothing, changes nothing.
    ///
    /// # Errors
    /// [`io::Error`] if the folder cannot be looked into.
    fn room_to_open(&self, folder: &Path, options: Options) -> io::Result<u64> {
        let _ = (folder, options);
        Ok(0)
    }

    /// Opens a folder, making it if it is missing (its parent must exist). One that keeps no files
    /// leaves the folder alone. The format is checked apart, by [`format::check`](crate::format).
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, newer, out of reach or damaged.
    fn open(&self, folder: &Path, options: Options) -> Result<Arc<dyn Engine>, OpenError>;
}

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
    /// It was written by a version that came later.
    #[error(
        "the data folder {} was written by a newer version ({what}): start that version, or restore a backup \
         made by this one",
        path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// What is not known here.
        what: String,
    },
    /// It holds the store of another engine.
    #[error(
        "the data folder {} holds a store of the engine \"{found}\", not \"{wanted}\": set storage.engine to \
         \"{found}\", or choose another folder",
        path.display()
    )]
    OtherEngine {
        /// The folder.
        path: PathBuf,
        /// Whose store it is.
        found: &'static str,
        /// Which engine was to open it.
        wanted: &'static str,
    },
    /// A restore into it was cut short.
    #[error(
        "the data folder {} was not restored to the end: empty it, {RESTORING} too, and restore the backup again",
        path.display()
    )]
    HalfRestored {
        /// The folder.
        path: PathBuf,
    },
    /// The folder, or a file in it, cannot be reached.
    #[error("the data folder {} cannot be used: {source}; check that its parent exists, and who owns it", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Its disk has no room for what opening writes.
    #[error(
        "the data folder {} cannot be opened, since its disk is full ({detail}): make room on it, then start again; \
         nothing is lost",
        path.display()
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// The system's or the engine's words.
        detail: String,
    },
    /// There is no room for the ballast of a store that is new.
    #[error(
        "the ballast of {} MiB does not fit on the disk of the data folder {}, which has {} MiB free: make room, or set \
         storage.ballast lower (\"0B\": none, and then a full disk refuses control commands and starts)",
        size_bytes >> 20, path.display(), free_bytes >> 20
    )]
    Ballast {
        /// The folder.
        path: PathBuf,
        /// What was asked for.
        size_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// What lies there is not what was written, or ends before what was acknowledged.
    #[error(
        "the data in {} is damaged: {detail}; restore a backup into an empty folder{}",
        path.display(),
        match kept {
            Some(kept) => format!("; what was found is kept in {}", kept.display()),
            None => ", nothing was changed".to_owned(),
        }
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong, with the file if it is known.
        detail: String,
        /// Where the files lie as they were found, if opening may have changed them.
        kept: Option<PathBuf>,
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

impl OpenError {
    /// What it means that a folder, or a file in it, could not be used.
    pub fn of_folder(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoRoom { path, detail: source.to_string() }
            }
            _ => Self::Folder { path, source },
        }
    }
}

/// Opens a folder with one of the engines there are.
///
/// # Errors
/// [`OpenError`], also if the folder holds the store of another of them, or half of a restored one.
pub fn open(
    engines: &[&dyn Opener],
    chosen: &dyn Opener,
    folder: &Path,
    options: Options,
) -> Result<Arc<dyn Engine>, OpenError> {
    refuse_others(engines, chosen, folder)?;
    if chosen.keeps_files() && folder.join(RESTORING).symlink_metadata().is_ok() {
        return Err(OpenError::HalfRestored { path: folder.to_owned() });
    }
    chosen.open(folder, options)
}

/// Whether the folder holds a store of the chosen one of the engines there are. Opens nothing.
///
/// # Errors
/// [`OpenError`] if it cannot be looked into, or holds the store of another of them.
pub fn is_store(engines: &[&dyn Opener], chosen: &dyn Opener, folder: &Path) -> Result<bool, OpenError> {
    refuse_others(engines, chosen, folder)?;
    looked_into(chosen, folder)
}

/// An engine that keeps no files leaves the folder alone, whatever is in it.
fn refuse_others(engines: &[&dyn Opener], chosen: &dyn Opener, folder: &Path) -> Result<(), OpenError> {
    let others = engines.iter().filter(|other| chosen.keeps_files() && other.name() != chosen.name());
    for other in others {
        if looked_into(*other, folder)? {
            let (path, found, wanted) = (folder.to_owned(), other.name(), chosen.name());
            return Err(OpenError::OtherEngine { path, found, wanted });
        }
    }
    Ok(())
}

fn looked_into(engine: &dyn Opener, folder: &Path) -> Result<bool, OpenError> {
    engine.is_store(folder).map_err(|source| OpenError::of_folder(folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operators read these: what is wrong, where, and what to do.
    #[test]
    fn each_refusal_says_what_is_wrong_where_and_what_to_do() {
        let path = || PathBuf::from("/srv/data");
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let damaged = |kept: Option<&str>| OpenError::Damaged {
            path: path(),
            detail: "the log is gone".to_owned(),
            kept: kept.map(PathBuf::from),
        };
        let cases = [
            (
                OpenError::InUse { path: path() },
                "the data folder /srv/data is in use: stop the other broker, or choose another folder",
            ),
            (
                OpenError::Newer { path: path(), what: "it has the table \"audit\"".to_owned() },
                "the data folder /srv/data was written by a newer version (it has the table \"audit\"): start that \
                 version, or restore a backup made by this one",
            ),
            (
                OpenError::OtherEngine { path: path(), found: "redb", wanted: "rocksdb" },
                "the data folder /srv/data holds a store of the engine \"redb\", not \"rocksdb\": set storage.engine \
                 to \"redb\", or choose another folder",
            ),
            (
                OpenError::HalfRestored { path: path() },
                "the data folder /srv/data was not restored to the end: empty it, .restoring too, and restore the \
                 backup again",
            ),
            (
                OpenError::Folder { path: path(), source: denied() },
                "the data folder /srv/data cannot be used: permission denied; check that its parent exists, and who \
                 owns it",
            ),
            (
                OpenError::of_folder(&path(), io::ErrorKind::StorageFull.into()),
                "the data folder /srv/data cannot be opened, since its disk is full (no storage space): make room on \
                 it, then start again; nothing is lost",
            ),
            (
                OpenError::Ballast { path: path(), size_bytes: 256 << 20, free_bytes: 5 << 20 },
                "the ballast of 256 MiB does not fit on the disk of the data folder /srv/data, which has 5 MiB free: \
                 make room, or set storage.ballast lower (\"0B\": none, and then a full disk refuses control commands \
                 and starts)",
            ),
            (
                damaged(None),
                "the data in /srv/data is damaged: the log is gone; restore a backup into an empty folder, nothing \
                 was changed",
            ),
            (
                damaged(Some("/srv/data/as-found")),
                "the data in /srv/data is damaged: the log is gone; restore a backup into an empty folder; what was \
                 found is kept in /srv/data/as-found",
            ),
            (
                OpenError::Other { path: path(), detail: "no such thing".to_owned() },
                "the data folder /srv/data could not be opened: no such thing",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
