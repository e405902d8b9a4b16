//! A repository: a folder of backups, each named by its time.

use std::io;
use std::path::{Path, PathBuf};

use super::manifest;

/// Backups that are being made or removed end like this. They count for nothing.
pub(super) const PARTIAL: &str = ".partial";

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
