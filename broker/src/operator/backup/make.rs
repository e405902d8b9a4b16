//! Making a backup.
//!
//! One at a time of a store in a repository. Every byte of the checkpoint is read and hashed; a
//! file that the store's newest backup has under the same name with the same bytes is linked there,
//! after its copy was read too, so that rot is not handed on. A backup is made under another name
//! and renamed when all of it is synced: whatever has a backup's name is complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wardline_storage::id::Timestamp;

use super::error::{BackupError, failed};
use super::file;
use super::lock::Lock;
use super::manifest::{self, Listed, Manifest};
use super::repository::{self, Known};
use super::source::Source;

/// So many names are tried: another store's backup may have been made in the same millisecond.
const NAMES_TRIED: u64 = 1_000;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The backup's folder.
    pub folder: PathBuf,
    /// Its place in the order of this store's backups.
    pub sequence: u64,
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
    let lock = Lock::take(repository, source.store.as_ref())?;
    let own = repository::of_store(repository, source.store.as_ref()).map_err(failed("read", repository))?;
    let before = own.last();
    let partial = lock.begin(&name(now))?;
    let (mut files, mut written) = (Vec::new(), Vec::new());
    for name in names(&source.checkpoint)? {
        let from = source.checkpoint.join(&name);
        let known = before.and_then(|before| Some((before, before.listed(&name)?)));
        let linked = known.map(|(before, entry)| link(&source.checkpoint, &before.folder, entry, &partial));
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
    let sequence = before.map_or(0, |before| before.manifest.sequence).saturating_add(1);
    let manifest = Manifest::new(source, sequence, now, files);
    let finish = || -> io::Result<PathBuf> {
        // The names before the manifest, the manifest before the backup's name.
        file::sync_folder(&partial)?;
        file::write(&partial.join(manifest::NAME), manifest.sealed().as_bytes())?;
        file::sync_folder(&partial)?;
        let folder = give_name(&partial, repository, now)?;
        file::sync_folder(repository)?;
        Ok(folder)
    };
    let folder = finish().map_err(failed("finish", &partial))?;
    Ok(Made {
        sequence,
        files: manifest.files.len(),
        bytes: manifest.bytes(),
        files_written: written.len(),
        bytes_written: written.iter().sum(),
        folder,
    })
}

/// Gives a backup its name; a later one, if there is something of that name.
fn give_name(partial: &Path, repository: &Path, now: Timestamp) -> io::Result<PathBuf> {
    for later in 0..NAMES_TRIED {
        let folder = repository.join(name(Timestamp(now.0.saturating_add(later))));
        if folder.symlink_metadata().is_ok() {
            continue;
        }
        match fs::rename(partial, &folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            named => return named.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

impl Known {
    /// What its manifest says of a file.
    fn listed(&self, name: &str) -> Option<&Listed> {
        self.manifest.files.iter().find(|entry| entry.name == name)
    }
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

/// The name of a backup that is made now, like `20261123T082214.120Z`.
fn name(now: Timestamp) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_millis(now.0);
    humantime::format_rfc3339_millis(time).to_string().replace(['-', ':'], "")
}
