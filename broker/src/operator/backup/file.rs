//! Files of a backup: hashed as they are read, synced as they are written.
//!
//! A file counts as good when its length and its SHA-256 are those of the manifest. Files are
//! readable by their owner alone, since payloads lie in them. Nothing here is in memory whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use thiserror::Error;

use super::manifest::Listed;

/// Bytes that are read at a time.
const STEP_BYTES: usize = 1 << 20;

/// A file of a backup is not as it was written. Use another backup.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Damage {
    /// It is not there.
    #[error("{} is missing", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is shorter or longer.
    #[error("{} has {found} bytes, it was written with {bytes}", path.display())]
    Length {
        /// Which file.
        path: PathBuf,
        /// How long it was.
        bytes: u64,
        /// How long it is.
        found: u64,
    },
    /// Its bytes are others.
    #[error("{} is damaged: its SHA-256 is not the one in the manifest", path.display())]
    Hash {
        /// Which file.
        path: PathBuf,
    },
}

/// Compares a file with its entry.
///
/// # Errors
/// [`Damage`] if it is not as it was written.
pub(super) fn check(folder: &Path, entry: &Listed) -> Result<(), Damage> {
    compare(folder, entry, &mut io::sink()).map_err(|failed| match failed {
        Failed::Damaged(damage) => damage,
        // Nothing is written here.
        Failed::Write(source) => Damage::Unreadable { path: folder.join(&entry.name), source },
    })
}

/// Why a file was not taken over.
pub(super) enum Failed {
    /// It is not as it was written.
    Damaged(Damage),
    /// The copy could not be written.
    Write(io::Error),
}

/// Copies a file and compares it with its entry on the way; the copy is synced.
///
/// # Errors
/// [`Failed`]; what was copied by then is of no use.
pub(super) fn take(folder: &Path, entry: &Listed, to: &Path) -> Result<(), Failed> {
    let mut copy = create(&to.join(&entry.name)).map_err(Failed::Write)?;
    compare(folder, entry, &mut copy)?;
    copy.sync_all().map_err(Failed::Write)
}

/// Copies a file, synced, and gives its entry. The last bytes of a file that still grows are left
/// out.
pub(super) fn copy(from: &Path, name: &str, to: &Path) -> io::Result<Listed> {
    let mut copy = create(&to.join(name))?;
    let entry = read(File::open(from.join(name))?, name, &mut copy).map_err(|(_, error)| error)?;
    copy.sync_all()?;
    Ok(entry)
}

/// The entry of a file.
pub(super) fn hash(folder: &Path, name: &str) -> io::Result<Listed> {
    read(File::open(folder.join(name))?, name, &mut io::sink()).map_err(|(_, error)| error)
}

/// Writes a small file, synced.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that something lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn compare(folder: &Path, entry: &Listed, out: &mut dyn Write) -> Result<(), Failed> {
    let path = folder.join(&entry.name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failed::Damaged(Damage::Missing { path }));
        }
        Err(source) => return Err(Failed::Damaged(Damage::Unreadable { path, source })),
    };
    let found = match read(file, &entry.name, out) {
        Ok(found) => found,
        Err((Side::Write, error)) => return Err(Failed::Write(error)),
        Err((Side::Read, source)) => return Err(Failed::Damaged(Damage::Unreadable { path, source })),
    };
    if found.bytes != entry.bytes {
        let damage = Damage::Length { path, bytes: entry.bytes, found: found.bytes };
        return Err(Failed::Damaged(damage));
    }
    if found.sha256 != entry.sha256 {
        return Err(Failed::Damaged(Damage::Hash { path }));
    }
    Ok(())
}

enum Side {
    Read,
    Write,
}

fn read(mut from: impl Read, name: &str, to: &mut dyn Write) -> Result<Listed, (Side, io::Error)> {
    let (mut context, mut bytes) = (Context::new(&SHA256), 0);
    let mut step = vec![0; STEP_BYTES];
    loop {
        let length = match from.read(&mut step) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err((Side::Read, error)),
        };
        context.update(&step[..length]);
        to.write_all(&step[..length]).map_err(|error| (Side::Write, error))?;
        bytes += length as u64;
    }
    Ok(Listed { name: name.to_owned(), bytes, sha256: hex::encode(context.finish()) })
}
