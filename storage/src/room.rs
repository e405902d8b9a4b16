//! Room: what is free of the disk that a store lies on.

use std::io;
use std::path::Path;

/// How much a file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What is free, for users other than root.
    pub free_bytes: u64,
    /// All of it.
    pub size_bytes: u64,
}

/// Asks the file system that a folder or file lies on.
///
/// # Errors
/// [`io::Error`] if it cannot be asked.
pub fn of(path: &Path) -> io::Result<Room> {
    let status = rustix::fs::statvfs(path)?;
    Ok(Room {
        free_bytes: status.f_bavail.saturating_mul(status.f_frsize),
        size_bytes: status.f_blocks.saturating_mul(status.f_frsize),
    })
}

/// The same of a folder that may not be there yet: then of the nearest one above it.
///
/// # Errors
/// [`io::Error`] if it cannot be asked.
pub fn of_nearest(folder: &Path) -> io::Result<Room> {
    let above = folder.ancestors().filter(|above| !above.as_os_str().is_empty());
    let nearest = above.into_iter().find(|above| above.exists());
    of(nearest.unwrap_or(Path::new(".")))
}
