//! Backups: a checkpoint of the store, copied into a folder of its own with the hash of every file.
//!
//! ```text
//! REPOSITORY/20261123T082214.120Z/   one backup, complete in itself: files, log, manifest.json
//! ```
//!
//! [`make()`] copies a checkpoint; a file that the newest backup has already (and still has as it
//! was) is linked, not written again. [`examine`] reads a backup whole and says what is damaged;
//! [`restore()`] refuses what is. The manifest is written last, synced, and covered by a seal of
//! its own; a backup gets its name when it is complete. No part of this knows the engine.

mod file;
mod make;
mod manifest;
mod repository;
mod restore;

use std::path::Path;

pub use file::Damage;
pub use make::{BackupError, Made, Source, make, prune};
pub use manifest::{Listed, Manifest, ManifestError};
pub use repository::list;
pub use restore::{RestoreError, Restored, restore};

/// Reads a backup whole: its manifest, and what of its files is not as it was written.
///
/// # Errors
/// [`ManifestError`] if there is no manifest that could be believed.
pub fn examine(backup: &Path) -> Result<(Manifest, Vec<Damage>), ManifestError> {
    let manifest = Manifest::read(backup)?;
    let damage = manifest.files.iter().filter_map(|entry| file::check(backup, entry).err()).collect();
    Ok((manifest, damage))
}
