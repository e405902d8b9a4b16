//! Making a backup, and removing old ones.
//!
//! One at a time in a repository. Every byte of the checkpoint is read and hashed; a file that the
//! newest backup has under the same name with the same bytes is linked there, after its copy was
//! read too, so that rot is not handed on. A backup is made under another name and renamed when all
//! of it is synced: whatever has a backup's name is complete.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;
use wardline_storage::id::Timestamp;
use wardline_storage::model::Applied;

use super::file;
use super::manifest::{self, Listed, Manifest, ManifestError};
use super::repository::{PARTIAL, list};

/// Held while a backup is made or removed.
const LOCK: &str = ".lock";

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
    /// Another backup is being made there.
    #[error("another backup is being made in {}: wait for it", path.display())]
    Busy {
        /// The repository.
        path: PathBuf,
    },
    /// The checkpoint has a folder, which no engine of this version makes.
    #[error("the checkpoint {} is not a flat folder of files: it was made by another version", path.display())]
    Folder {
        /// What is no file.
        path: PathBuf,
    },
}

/// What is backed up.
#[derive(Clone, Debug)]
pub struct Source {
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
    /// The engine that made it.
    pub engine: String,
    /// The store's format.
    pub format: u32,
    /// How far it has come, at least.
    pub applied: Applied,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The backup's folder.
    pub folder: PathBuf,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were written; the others are linked with the backup before.
    pub files_written: usize,
    /// Their bytes.
    pub bytes_written: u64,
}

/// Makes a backup of a checkpoint in `repository`, which is made if it is missing. Blocks.
///
/// # Errors
/// [`BackupError`]; then nothing has the name of a backup that was not there before.
pub fn make(source: &Source, repository: &Path, now: Timestamp) -> Result<Made, BackupError> {
    let _lock = lock(repository)?;
    let name = name(now);
    let partial = repository.join(format!("{name}{PARTIAL}"));
    create_private(&partial).map_err(failed("make the folder", &partial))?;
    let before = newest(repository);
    let (mut files, mut written) = (Vec::new(), Vec::new());
    for name in names(&source.checkpoint)? {
        let from = source.checkpoint.join(&name);
        let known = before.as_ref().and_then(|(folder, manifest)| {
            Some((folder, manifest.files.iter().find(|entry| entry.name == name)?))
        });
        let linked = known.map(|(folder, entry)| link(&source.checkpoint, folder, entry, &partial));
        let entry = match linked.transpose().map_err(failed("read", &from))?.flatten() {
            Some(entry) => entry,
            None => {
                let entry =
                    file::copy(&source.checkpoint, &name, &partial).map_err(failed("back up", &from))?;
                written.push(entry.bytes);
                entry
            }
        };
        files.push(entry);
    }
    let manifest = Manifest::new(source.engine.clone(), source.format, source.applied, now, files);
    let folder = repository.join(name);
    let finish = || {
        // The names before the manifest, the manifest before the backup's name.
        file::sync_folder(&partial)?;
        file::write(&partial.join(manifest::NAME), manifest.sealed().as_bytes())?;
        file::sync_folder(&partial)?;
        fs::rename(&partial, &folder)?;
        file::sync_folder(repository)
    };
    finish().map_err(failed("finish", &folder))?;
    Ok(Made {
        files: manifest.files.len(),
        bytes: manifest.bytes(),
        files_written: written.len(),
        bytes_written: written.iter().sum(),
        folder,
    })
}

/// Removes the backups that are older than `keep`, but for the newest one; gives their folders.
/// Blocks.
///
/// # Errors
/// [`BackupError`]; some may have been removed by then.
pub fn prune(repository: &Path, keep: Duration, now: Timestamp) -> Result<Vec<PathBuf>, BackupError> {
    let _lock = lock(repository)?;
    let mut all = list(repository).map_err(failed("read", repository))?;
    all.pop();
    let mut removed = Vec::new();
    let oldest = name(Timestamp(now.0.saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX))));
    for folder in all {
        // Their names are times, and hold where a manifest is damaged.
        if folder.file_name().is_some_and(|name| *name.to_string_lossy() < *oldest) {
            let going = PathBuf::from(format!("{}{PARTIAL}", folder.display()));
            fs::rename(&folder, &going)
                .and_then(|()| fs::remove_dir_all(&going))
                .map_err(failed("remove", &folder))?;
            removed.push(folder);
        }
    }
    file::sync_folder(repository).map_err(failed("sync", repository))?;
    Ok(removed)
}

/// Links a file of the newest backup, if it is the same as that of the checkpoint and still as it
/// was written. `Ok(None)`: it is to be copied.
fn link(checkpoint: &Path, newest: &Path, entry: &Listed, into: &Path) -> io::Result<Option<Listed>> {
    if fs::metadata(checkpoint.join(&entry.name))?.len() != entry.bytes {
        return Ok(None);
    }
    if file::hash(checkpoint, &entry.name)? != *entry {
        return Ok(None);
    }
    if let Err(damage) = file::check(newest, entry) {
        tracing::warn!(code = "backup-damaged", %damage, "the backup before is damaged; the file is backed up anew");
        return Ok(None);
    }
    // Not every file system has links.
    let linked = fs::hard_link(newest.join(&entry.name), into.join(&entry.name)).is_ok();
    Ok(linked.then(|| entry.clone()))
}

fn newest(repository: &Path) -> Option<(PathBuf, Manifest)> {
    let folder = list(repository).ok()?.pop()?;
    match Manifest::read(&folder) {
        Ok(manifest) => Some((folder, manifest)),
        Err(ManifestError::Newer { .. }) => None,
        Err(error) => {
            tracing::warn!(code = "backup-damaged", %error, "the backup before is damaged; everything is backed up anew");
            None
        }
    }
}

/// The files of a checkpoint, by name.
fn names(checkpoint: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(checkpoint).map_err(failed("read", checkpoint))? {
        let path = entry.map_err(failed("read", checkpoint))?.path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if path.is_file() => names.push(name.to_owned()),
            _ => return Err(BackupError::Folder { path }),
        }
    }
    names.sort();
    Ok(names)
}

/// Makes the repository if it is missing, takes it for this process alone, and removes what was
/// left unfinished there.
fn lock(repository: &Path) -> Result<File, BackupError> {
    match create_private(repository) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("make the folder", repository)(error));
        }
        _ => {}
    }
    let path = repository.join(LOCK);
    let lock = File::options().write(true).create(true).truncate(false).open(&path);
    let lock = lock.map_err(failed("open", &path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(BackupError::Busy { path: repository.to_owned() }),
        Err(error) => return Err(failed("lock", &path)(error.into())),
    }
    for entry in fs::read_dir(repository).map_err(failed("read", repository))?.flatten() {
        let left = entry.path();
        if left.to_string_lossy().ends_with(PARTIAL) {
            fs::remove_dir_all(&left).map_err(failed("remove", &left))?;
        }
    }
    Ok(lock)
}

fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// The name of a backup that is made now, like `20261123T082214.120Z`.
fn name(now: Timestamp) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_millis(now.0);
    humantime::format_rfc3339_millis(time).to_string().replace(['-', ':'], "")
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::File { doing, path: path.to_owned(), source }
}
