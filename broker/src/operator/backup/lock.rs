//! A repository's lock: one backup of a store at a time is made or removed there.
//!
//! Each store has a lock of its own, so that several may share a repository. Whoever has it removes
//! what that store's earlier backups left unfinished, and nothing else: what is unfinished bears
//! the store's identity in its name.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::{BackupError, failed};
use super::file;
use super::identity::StoreIdentity;
use super::repository::{is_backup, is_name};

/// Longest wait for another backup of the same store.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Backups that are being made or removed end like this. They count for nothing.
const UNFINISHED: &str = "partial";

/// The right to make and remove backups of one store in a repository.
pub(super) struct Lock<'a> {
    repository: &'a Path,
    whose: String,
    _held: File,
}

impl<'a> Lock<'a> {
    /// Makes the repository if it is missing, waits for its turn, and removes what was left
    /// unfinished.
    pub(super) fn take(repository: &'a Path, store: Option<&StoreIdentity>) -> Result<Self, BackupError> {
        if is_backup(repository) {
            return Err(BackupError::IsBackup { path: repository.to_owned() });
        }
        match create_private(repository) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("make the folder", repository)(error));
            }
            _ => {}
        }
        let whose = store.map_or_else(|| "unknown".to_owned(), StoreIdentity::to_string);
        let path = repository.join(format!(".lock-{whose}"));
        let held = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = Self { repository, whose, _held: wait_for(held.map_err(failed("open", &path))?, &path)? };
        lock.remove_unfinished()?;
        Ok(lock)
    }

    /// The name of a backup until it is complete, and while it is removed.
    pub(super) fn unfinished(&self, name: &str) -> PathBuf {
        self.repository.join(format!("{name}.{}.{UNFINISHED}", self.whose))
    }

    /// Makes the folder of a backup that is begun.
    pub(super) fn begin(&self, name: &str) -> Result<PathBuf, BackupError> {
        let folder = self.unfinished(name);
        create_private(&folder).map_err(failed("make the folder", &folder))?;
        Ok(folder)
    }

    /// Removes a backup: first it is none any more, then its files go.
    pub(super) fn remove(&self, backup: &Path) -> Result<(), BackupError> {
        let going = self.unfinished(&backup.file_name().unwrap_or_default().to_string_lossy());
        let remove = || {
            fs::rename(backup, &going)?;
            fs::remove_dir_all(&going)
        };
        remove().map_err(failed("remove", backup))
    }

    fn remove_unfinished(&self) -> Result<(), BackupError> {
        let entries = fs::read_dir(self.repository).map_err(failed("read", self.repository))?;
        for left in entries.flatten().map(|entry| entry.path()) {
            let name = left.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ending = format!(".{}.{UNFINISHED}", self.whose);
            if name.strip_suffix(&ending).is_some_and(is_name) {
                fs::remove_dir_all(&left).map_err(failed("remove", &left))?;
            }
        }
        file::sync_folder(self.repository).map_err(failed("sync", self.repository))
    }
}

fn wait_for(lock: File, path: &Path) -> Result<File, BackupError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
            Err(Errno::WOULDBLOCK) => return Err(BackupError::Busy { path: file::parent(path).to_owned() }),
            Err(error) => return Err(failed("lock", path)(error.into())),
        }
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}
