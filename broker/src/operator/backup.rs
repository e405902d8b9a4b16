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
mod restore;

use std::io;
use std::path::{Path, PathBuf};

pub use file::Damage;
pub use make::{BackupError, Made, Source, make, prune};
pub use manifest::{Entry, Manifest, ManifestError};
pub use restore::{RestoreError, Restored, restore};

/// Backups that are being made or removed end like this. They count for nothing.
const PARTIAL: &str = ".partial";

/// The folders of the backups in `repository`, oldest first; `repository` itself if it is a backup.
///
/// # Errors
/// [`io::Error`] if the folder cannot be read.
pub fn list(repository: &Path) -> io::Result<Vec<PathBuf>> {
    if repository.join(manifest::NAME).exists() {
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
    // Their names are times.
    found.sort();
    Ok(found)
}

/// Reads a backup whole: its manifest, and what of its files is not as it was written.
///
/// # Errors
/// [`ManifestError`] if there is no manifest that could be believed.
pub fn examine(backup: &Path) -> Result<(Manifest, Vec<Damage>), ManifestError> {
    let manifest = Manifest::read(backup)?;
    let damage = manifest.files.iter().filter_map(|entry| file::check(backup, entry).err()).collect();
    Ok((manifest, damage))
}

/// Whether a folder has the name of a complete backup, like `20261123T082214.120Z`.
fn is_name(name: &str) -> bool {
    name.len() == 20
        && name.ends_with('Z')
        && name.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'.',
            19 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}
