//! How far the store was durable: a note outside of RocksDB's own files, and what is made of it at opening.
//!
//! RocksDB takes a log or a manifest that lost its end for one that a crash cut short, and opens without it; so it does if
//! the live log is gone as a whole. After each synced commit the number of its last write is noted in a file `SYNCED`,
//! without a sync of its own: a kill leaves the note exact, a loss of power exact or older, never ahead of what is
//! durable. A store that ends before the note lost something that was acknowledged. Since RocksDB deletes files when
//! it opens, all files are linked into the folder `as-found` before, and stay there if the store is refused.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The note.
const NOTE: &str = "SYNCED";
/// Where files are kept as they were found.
const AS_FOUND: &str = "as-found";

/// The note, open for writing.
#[derive(Debug)]
pub(crate) struct Synced {
    file: File,
}

/// Links to all files of a store, made before RocksDB opened it.
#[derive(Debug)]
pub(crate) struct AsFound {
    folder: PathBuf,
}

impl Synced {
    /// Opens the note of a folder, making it if it is missing; gives what it says.
    pub(crate) fn open(store: &Path) -> io::Result<(Self, Option<u64>)> {
        let path = store.join(NOTE);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let known = read(&file);
        Ok((Self { file }, known))
    }

    /// Notes that everything up to this write is durable.
    pub(crate) fn note(&self, write: u64) {
        let mut note = [0; 16];
        note[..8].copy_from_slice(&write.to_be_bytes());
        note[8..].copy_from_slice(&(!write).to_be_bytes());
        if let Err(error) = self.file.write_all_at(&note, 0) {
            // The older note holds as well, it only says less; and the commit is durable.
            tracing::warn!(code = "note-unwritten", %error, "how far the store is durable cannot be noted");
        }
    }
}

/// Whether a folder has a note that says something: then it has, or had, a store.
pub(crate) fn is_noted(store: &Path) -> bool {
    File::open(store.join(NOTE)).is_ok_and(|file| read(&file).is_some())
}

/// What a note says. One that cannot be understood says nothing: it was never written whole, or it is the one file that
/// is damaged.
fn read(file: &File) -> Option<u64> {
    let mut note = [0; 16];
    file.read_exact_at(&mut note, 0).ok()?;
    let (write, inverse) = note.split_at(8);
    let write = u64::from_be_bytes(write.try_into().ok()?);
    (inverse == (!write).to_be_bytes()).then_some(write)
}

impl AsFound {
    /// Links all files. If an earlier opening was refused or cut short, what it found stays. `None`: it cannot be done,
    /// and the log says why; the store can be opened all the same.
    pub(crate) fn keep(store: &Path) -> Option<Self> {
        let folder = store.join(AS_FOUND);
        if folder.exists() {
            return Some(Self { folder });
        }
        // Under its name it is complete.
        let beside = folder.with_extension("new");
        match link_all(store, &beside).and_then(|()| fs::rename(&beside, &folder)) {
            Ok(()) => Some(Self { folder }),
            Err(error) => {
                tracing::warn!(code = "files-unlinked", %error, "the store's files cannot be linked; if it is damaged, RocksDB may change it");
                None
            }
        }
    }

    /// Removes the links.
    pub(crate) fn discard(self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(code = "links-left", folder = %self.folder.display(), %error, "links to old files cannot be removed");
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn link_all(store: &Path, folder: &Path) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    for file in fs::read_dir(store)? {
        let path = file?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            match fs::hard_link(&path, folder.join(name)) {
                // Whoever has it open deleted it; opening will say that it is in use.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                linked => linked?,
            }
        }
    }
    Ok(())
}
