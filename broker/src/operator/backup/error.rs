//! What can go wrong with backups and restores: what, where, and what to do.
//!
//! Nothing is decided here. After any of these a repository has the backups that it had, and a
//! target is as it was; the texts say what is to be changed before it is tried again.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::Damage;
use super::manifest::ManifestError;
use crate::operator::private::PrivateError;

/// A backup could not be made or removed. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file or folder cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another backup of this store is being made there.
    #[error("another backup of this store is being made in {}: wait for it", path.display())]
    Busy {
        /// The repository.
        path: PathBuf,
    },
    /// It is to be made within a backup.
    #[error("{} is itself a backup, not a folder of backups: name the folder around it", path.display())]
    IsBackup {
        /// The backup.
        path: PathBuf,
    },
    /// The checkpoint has a folder, which no engine of this version makes.
    #[error("the checkpoint {} is not a flat folder of files: it was made by another version", path.display())]
    Folder {
        /// What is no file.
        path: PathBuf,
    },
}

/// A backup was not restored. The operator must act; the target is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Its manifest cannot be believed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// One of its files is not as it was written.
    #[error("{0}; nothing was restored, use another backup (`wardline verify` tells which are good)")]
    Damaged(Damage),
    /// There is something in the target.
    #[error("{} is there already and not empty: move it away first, or restore to another folder", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// The target is a link that leads nowhere.
    #[error("{} is a link to a folder that is not there: make that folder, or name another", path.display())]
    Nowhere {
        /// The target.
        path: PathBuf,
    },
    /// There is less room than the backup takes.
    #[error(
        "the backup takes {} MiB, and there are {} MiB free at {}: make room, or restore to another folder",
        needed_bytes.div_ceil(1 << 20), free_bytes >> 20, path.display()
    )]
    Room {
        /// The target.
        path: PathBuf,
        /// How much it takes.
        needed_bytes: u64,
        /// How much there is.
        free_bytes: u64,
    },
    /// Others could read the target.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The copy could not be written.
    #[error("cannot {doing} {}: {source}; nothing was restored", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All files are as they were written, but the store does not open.
    #[error("the restored store does not open: {detail}; nothing was restored, use another backup")]
    Opening {
        /// The engine's words.
        detail: String,
    },
}

/// Says of a backup what could not be done.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::File { doing, path: path.to_owned(), source }
}

/// Says of a restore what could not be done.
pub(super) fn not_restored(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    move |source| RestoreError::File { doing, path: path.to_owned(), source }
}
