//! A repository: a folder of backups, each named by its time, of one store or several.
//!
//! Names are for people. Whose a backup is and which one is newest is said by manifests alone,
//! since a clock may have been wrong. Whatever has not both the name of a backup and a manifest is
//! none, and left alone.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::identity::StoreIdentity;
use super::manifest::{self, Manifest, ManifestError};

/// What has the name of a backup.
pub(super) struct Found {
    pub(super) folder: PathBuf,
    pub(super) manifest: Result<Manifest, ManifestError>,
}

/// A backup whose manifest was read.
pub(super) struct Known {
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
}

/// It cannot be said which backup is to be restored. The operator must name one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// The folder cannot be read.
    #[error("cannot read the backups in {}: {source}", path.display())]
    Read {
        /// The repository.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none.
    #[error("there is no complete backup in {}", path.display())]
    None {
        /// The repository.
        path: PathBuf,
    },
    /// There are backups of several stores.
    #[error("{} has backups of several stores: name the one to restore; the newest ones are {}", path.display(), shown(newest))]
    SeveralStores {
        /// The repository.
        path: PathBuf,
        /// The newest of each.
        newest: Vec<PathBuf>,
    },
    /// One that may be the newest cannot be read.
    #[error(
        "{unreadable}; by its name it is newer than {}: name that one if it is to be restored instead",
        newest.display()
    )]
    Unreadable {
        /// Why it cannot.
        unreadable: ManifestError,
        /// The newest that can be read.
        newest: PathBuf,
    },
}

fn shown(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The folders of the backups in `repository`, by name; `repository` itself if it is a backup.
///
/// # Errors
/// [`io::Error`] if the folder cannot be read.
pub fn list(repository: &Path) -> io::Result<Vec<PathBuf>> {
    if is_backup(repository) {
        return Ok(vec![repository.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_name(&name) && path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The newest backup of `repository`, or the one that it is itself.
///
/// # Errors
/// [`ChoiceError`] if it cannot be told which one that is.
pub fn choose(repository: &Path) -> Result<PathBuf, ChoiceError> {
    let found =
        all(repository).map_err(|source| ChoiceError::Read { path: repository.to_owned(), source })?;
    let (known, unreadable): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.manifest.is_ok());
    unreadable.iter().filter(|found| !found.has_manifest()).for_each(pass_over);
    let unreadable =
        unreadable.into_iter().filter(Found::has_manifest).max_by(|a, b| a.folder.cmp(&b.folder));
    let mut newest = newest_of_each(&known.into_iter().filter_map(Found::known).collect::<Vec<_>>());
    if newest.len() > 1 {
        return Err(ChoiceError::SeveralStores { path: repository.to_owned(), newest });
    }
    match (newest.pop(), unreadable) {
        (None, None) => Err(ChoiceError::None { path: repository.to_owned() }),
        // Restoring it will say what is wrong with it.
        (None, Some(unreadable)) => Ok(unreadable.folder),
        (Some(newest), Some(Found { folder, manifest: Err(unreadable) })) if folder > newest => {
            Err(ChoiceError::Unreadable { unreadable, newest })
        }
        (Some(newest), _) => Ok(newest),
    }
}

fn pass_over(found: &Found) {
    tracing::warn!(
        code = "no-backup", folder = %found.folder.display(),
        "it has the name of a backup and no manifest: it is none, and passed over"
    );
}

/// The newest of each store. What an earlier version made does not say whose it is: it counts only
/// where nothing else is.
fn newest_of_each(known: &[Known]) -> Vec<PathBuf> {
    let stores: std::collections::BTreeSet<_> =
        known.iter().filter_map(|known| known.manifest.store.clone()).collect();
    let stores: Vec<Option<StoreIdentity>> = match stores.is_empty() {
        true => vec![None],
        false => stores.into_iter().map(Some).collect(),
    };
    let newest = |store: &Option<StoreIdentity>| {
        let of_store = known.iter().filter(|known| known.manifest.store == *store);
        of_store.max_by_key(|known| known.order()).map(|known| known.folder.clone())
    };
    stores.iter().filter_map(newest).collect()
}

/// The backups of one store that can be read, the oldest first.
pub(super) fn of_store(repository: &Path, store: Option<&StoreIdentity>) -> io::Result<Vec<Known>> {
    let known = all(repository)?.into_iter().filter_map(Found::known);
    let mut known: Vec<Known> = known.filter(|known| known.manifest.store.as_ref() == store).collect();
    known.sort_by_key(Known::order);
    Ok(known)
}

/// All that has the name of a backup, by name.
pub(super) fn all(repository: &Path) -> io::Result<Vec<Found>> {
    let found = list(repository)?.into_iter();
    Ok(found.map(|folder| Found { manifest: Manifest::read(&folder), folder }).collect())
}

/// Whether a folder is itself a backup.
pub(super) fn is_backup(folder: &Path) -> bool {
    folder.join(manifest::NAME).exists()
}

impl Found {
    /// One without a manifest is a folder of somebody else's.
    pub(super) fn has_manifest(&self) -> bool {
        is_backup(&self.folder)
    }

    fn known(self) -> Option<Known> {
        Some(Known { manifest: self.manifest.ok()?, folder: self.folder })
    }
}

impl Known {
    /// By sequence; those of an earlier version have none, and no more than their time.
    fn order(&self) -> (u64, u64, PathBuf) {
        (self.manifest.sequence, self.manifest.made_at_ms, self.folder.clone())
    }
}

/// Whether a folder has the name of a complete backup, like `20261123T082214.120Z`.
pub(super) fn is_name(name: &str) -> bool {
    name.len() == 20
        && name.ends_with('Z')
        && name.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'.',
            19 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}
