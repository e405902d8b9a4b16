//! Removing old backups of one store.
//!
//! Nothing is removed that does not say itself that it is a backup of this store, and never the
//! newest. How old one is, is told by its sequence too ([`super::age`]): a clock that was wrong
//! neither keeps what is to be forgotten nor takes what is fresh.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wardline_storage::id::Timestamp;

use super::age;
use super::error::{BackupError, failed};
use super::file;
use super::identity::StoreIdentity;
use super::lock::Lock;
use super::manifest;
use super::repository::{self, Found, Known};

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// The folders of backups that were removed.
    pub removed: Vec<PathBuf>,
    /// Folders of backups of which cannot be told whose they are, and why. They stay.
    pub left: Vec<(PathBuf, String)>,
}

/// Removes the backups of this store that are older than `keep`, but for the newest one. Blocks.
///
/// # Errors
/// [`BackupError`]; some may have been removed by then.
pub fn prune(
    repository: &Path,
    store: &StoreIdentity,
    keep: Duration,
    now: Timestamp,
) -> Result<Pruned, BackupError> {
    let lock = Lock::take(repository, Some(store))?;
    let mut own = repository::of_store(repository, Some(store)).map_err(failed("read", repository))?;
    let noted: Vec<Timestamp> = own.iter().map(noted).collect();
    let oldest = now.0.saturating_sub(u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
    let dated = age::dated(&noted, now);
    own.pop();
    let mut removed = Vec::new();
    for (backup, _) in own.into_iter().zip(dated).filter(|(_, time)| time.0 < oldest) {
        lock.remove(&backup.folder)?;
        removed.push(backup.folder);
    }
    file::sync_folder(repository).map_err(failed("sync", repository))?;
    let all = repository::all(repository).map_err(failed("read", repository))?;
    Ok(Pruned { removed, left: all.into_iter().filter_map(left).collect() })
}

/// When a backup was made, at the latest: by the clock of then, and by its file system, which had
/// it at that time.
fn noted(backup: &Known) -> Timestamp {
    let seen = fs::metadata(backup.folder.join(manifest::NAME)).map(|file| changed_at_ms(&file));
    Timestamp(backup.manifest.made_at_ms.min(seen.unwrap_or(u64::MAX)))
}

fn changed_at_ms(file: &fs::Metadata) -> u64 {
    let millis = file.ctime().saturating_mul(1000).saturating_add(file.ctime_nsec() / 1_000_000);
    u64::try_from(millis).unwrap_or_default()
}

fn left(found: Found) -> Option<(PathBuf, String)> {
    let why = match &found.manifest {
        Ok(manifest) if manifest.store.is_some() => return None,
        Ok(_) => "an earlier version made it, and it does not say of which store".to_owned(),
        Err(_) if !found.has_manifest() => return None,
        Err(error) => error.to_string(),
    };
    Some((found.folder, why))
}
