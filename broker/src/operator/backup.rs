//! Backups: a checkpoint of the store, copied into a folder of its own with the hash of every file.
//!
//! ```text
//! REPOSITORY/20261123T082214.120Z/   one backup, complete in itself: files, log, manifest.json
//! ```
//!
//! [`make()`] copies a checkpoint; a file that the store's newest backup has already (and still has
//! as it was) is linked, not written again. [`prune()`] removes old ones of that store alone.
//! [`examine`] reads a backup whole and says what is damaged; [`restore()`] refuses what is. The
//! manifest says of which store a backup is and where in its order; it is written last, synced, and
//! covered by a seal of its own. No part of this knows the engine.

mod age;
mod error;
mod file;
mod identity;
mod lock;
mod make;
mod manifest;
mod prune;
mod repository;
mod restore;
mod source;
mod target;

use std::path::Path;

pub use age::counted_to;
pub use error::{BackupError, RestoreError};
pub use file::Damage;
pub use identity::StoreIdentity;
pub use make::{Made, make};
pub use manifest::{Listed, Manifest, ManifestError};
pub use prune::{Pruned, prune};
pub use repository::{ChoiceError, choose, list};
pub use restore::{Restored, restore};
pub use source::Source;

/// Reads a backup whole: its manifest, and what of its files is not as it was written.
///
/// # Errors
/// [`ManifestError`] if there is no manifest that could be believed.
pub fn examine(backup: &Path) -> Result<(Manifest, Vec<Damage>), ManifestError> {
    let manifest = Manifest::read(backup)?;
    let damage = manifest.files.iter().filter_map(|entry| file::check(backup, entry).err()).collect();
    Ok((manifest, damage))
}
