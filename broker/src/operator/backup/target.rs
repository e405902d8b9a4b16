//! Where a restore goes, tried out before anything is copied.
//!
//! A folder that can be renamed over gets the store whole or not at all. A mount point cannot, nor
//! one whose parent is somebody else's: such a folder is filled from a folder within it, at the
//! end, and as long as that one is there no engine opens the folder. Dropped before the end, a
//! target is as it was.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};
use wardline_storage::open::RESTORING;

use super::error::{RestoreError, not_restored};
use super::file;
use crate::operator::private::{self, Content};

/// What a file system may keep in its root.
const LOST_AND_FOUND: &str = "lost+found";

/// Where a restore goes.
pub(super) struct Target {
    to: PathBuf,
    /// Where the store is made. Removed when this is dropped.
    staging: PathBuf,
    is_within: bool,
}

impl Drop for Target {
    fn drop(&mut self) {
        // What is left behind, the next restore removes.
        let _ = fs::remove_dir_all(&self.staging);
    }
}

impl Target {
    /// Makes the folder in which the store is made, on the file system where it is to be, and sees
    /// whether it can go to its place from there.
    pub(super) fn try_out(to: &Path, needed_bytes: u64) -> Result<Self, RestoreError> {
        let to = resolve(to)?;
        let is_there = refuse_content(&to)?;
        let beside = beside(&to).and_then(|staging| make(&staging).map(|()| staging));
        let target = match beside {
            Ok(staging) if !is_there || is_replaceable(&staging, &to) => {
                Self { to, staging, is_within: false }
            }
            Err(error) if !is_there => return Err(not_restored("make a folder beside", &to)(error)),
            beside => {
                let _ = beside.map(fs::remove_dir);
                let staging = to.join(RESTORING);
                private::narrow(&to, Content::Restored)?;
                make(&staging).map_err(not_restored("make the folder", &staging))?;
                Self { to, staging, is_within: true }
            }
        };
        target.refuse_too_little_room(needed_bytes)?;
        Ok(target)
    }

    /// Where the store is to be made.
    pub(super) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Gives the store its place.
    pub(super) fn finish(self) -> io::Result<()> {
        file::sync_folder(&self.staging)?;
        if !self.is_within {
            // Over an empty folder if there is one; rename(2) refuses any other.
            fs::rename(&self.staging, &self.to)?;
            return file::sync_folder(file::parent(&self.to));
        }
        for entry in fs::read_dir(&self.staging)? {
            let entry = entry?;
            fs::rename(entry.path(), self.to.join(entry.file_name()))?;
        }
        file::sync_folder(&self.to)?;
        // From here on it is a store.
        fs::remove_dir(&self.staging)?;
        file::sync_folder(&self.to)
    }

    fn refuse_too_little_room(&self, needed_bytes: u64) -> Result<(), RestoreError> {
        // A file system that does not tell is tried.
        let Ok(system) = statvfs(&self.staging) else { return Ok(()) };
        let free_bytes = system.f_bavail.saturating_mul(system.f_frsize);
        match free_bytes < needed_bytes {
            true => Err(RestoreError::Room { path: self.to.clone(), needed_bytes, free_bytes }),
            false => Ok(()),
        }
    }
}

/// What a target that is there is called without links.
fn resolve(to: &Path) -> Result<PathBuf, RestoreError> {
    match fs::canonicalize(to) {
        Ok(to) => Ok(to),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match to.symlink_metadata() {
            Ok(_) => Err(RestoreError::Nowhere { path: to.to_owned() }),
            Err(_) => Ok(to.to_owned()),
        },
        Err(error) => Err(not_restored("look at", to)(error)),
    }
}

/// Whether the target is there; an error, if there is anything in it.
fn refuse_content(to: &Path) -> Result<bool, RestoreError> {
    let entries = match fs::read_dir(to) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(not_restored("look into", to)(error)),
    };
    for entry in entries {
        let name = entry.map_err(not_restored("look into", to))?.file_name();
        if name != LOST_AND_FOUND && name != RESTORING {
            return Err(RestoreError::NotEmpty { path: to.to_owned() });
        }
    }
    Ok(true)
}

fn beside(to: &Path) -> io::Result<PathBuf> {
    let name = to.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(to.with_file_name(format!(".{}.restoring", name.to_string_lossy())))
}

/// Makes a folder anew.
fn make(staging: &Path) -> io::Result<()> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(staging)
}

/// Whether a rename over the target would do: the two are exchanged, there and back. A folder in
/// which there is anything is filled, not replaced.
fn is_replaceable(staging: &Path, to: &Path) -> bool {
    let is_empty = fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    let exchange = || renameat_with(CWD, staging, CWD, to, RenameFlags::EXCHANGE);
    is_empty && exchange().is_ok() && exchange().is_ok()
}
