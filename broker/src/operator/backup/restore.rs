//! Restoring: from a backup to a data folder that a broker can be started on.
//!
//! Every byte is compared with the manifest while it is copied, everything is synced, and the store
//! is opened once; only then does the folder get its name. It never writes into a folder that has
//! anything in it, and takes nothing from a backup that is damaged or newer.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{self, Damage, Failed};
use super::manifest::{Manifest, ManifestError};

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

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// The data folder.
    pub folder: PathBuf,
}

/// Restores a backup to the folder `to`, which must be missing or empty, its parent there. `open`
/// opens a store, checks its format and closes it again; its error is the reason why it cannot.
/// Blocks.
///
/// # Errors
/// [`RestoreError`]; the target is then as it was.
pub fn restore(
    backup: &Path,
    to: &Path,
    open: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Restored, RestoreError> {
    let manifest = Manifest::read(backup)?;
    refuse_content(to)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let staging = to.with_file_name(format!(".{name}.restoring"));
    let result = fill(&manifest, backup, &staging, to, open);
    if result.is_err() {
        // What is left behind, the next restore removes.
        let _ = fs::remove_dir_all(&staging);
    }
    result.map(|()| Restored { manifest, folder: to.to_owned() })
}

fn fill(
    manifest: &Manifest,
    backup: &Path,
    staging: &Path,
    to: &Path,
    open: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), RestoreError> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", staging)(error));
        }
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(staging).map_err(failed("make the folder", staging))?;
    for entry in &manifest.files {
        file::take(backup, entry, staging).map_err(|why| match why {
            Failed::Damaged(damage) => RestoreError::Damaged(damage),
            Failed::Write(error) => failed("write", &staging.join(&entry.name))(error),
        })?;
    }
    open(staging).map_err(|detail| RestoreError::Opening { detail })?;
    let finish = || {
        file::sync_folder(staging)?;
        // Over an empty folder if there is one; rename(2) refuses any other.
        fs::rename(staging, to)?;
        file::sync_folder(file::parent(to))
    };
    finish().map_err(failed("give the restored store the name", to))
}

fn refuse_content(to: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(RestoreError::NotEmpty { path: to.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look into", to)(error)),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    move |source| RestoreError::File { doing, path: path.to_owned(), source }
}
