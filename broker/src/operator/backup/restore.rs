//! Restoring: from a backup to a data folder that a broker can be started on.
//!
//! The target is tried before anything is copied. Every byte is compared with the manifest while it
//! is copied, everything is synced, and the store is opened once; only then does the target get it.
//! It never writes into a folder that has anything in it, and takes nothing from a backup that is
//! damaged or newer.

use std::path::{Path, PathBuf};

use super::error::{RestoreError, not_restored};
use super::file::{self, Failed};
use super::manifest::Manifest;
use super::target::Target;

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// The data folder.
    pub folder: PathBuf,
}

/// Restores a backup to the folder `to`, which must be missing or empty, its parent there. It may
/// be a mount point, or a link to an empty folder. `open` opens a store, checks its format and
/// closes it again; its error is the reason why it cannot. Blocks.
///
/// # Errors
/// [`RestoreError`]; the target is then as it was.
pub fn restore(
    backup: &Path,
    to: &Path,
    open: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Restored, RestoreError> {
    let manifest = Manifest::read(backup)?;
    let target = Target::try_out(to, manifest.bytes())?;
    fill(&manifest, backup, target.staging())?;
    open(target.staging()).map_err(|detail| RestoreError::Opening { detail })?;
    target.finish().map_err(not_restored("give the restored store the name", to))?;
    Ok(Restored { manifest, folder: to.to_owned() })
}

fn fill(manifest: &Manifest, backup: &Path, staging: &Path) -> Result<(), RestoreError> {
    for entry in &manifest.files {
        file::take(backup, entry, staging).map_err(|why| match why {
            Failed::Damaged(damage) => RestoreError::Damaged(damage),
            Failed::Write(error) => not_restored("write", &staging.join(&entry.name))(error),
        })?;
    }
    Ok(())
}
