//! How far the store was durable: a note outside of RocksDB's own files, and what is made of it at
//! opening.
//!
//! RocksDB takes a log or a manifest that lost its end for one that a crash cut short, and opens
//! without it; so it does if the live log is gone as a whole. After each synced commit the number
//! of its last write is noted in a file `SYNCED`, without a sync of its own: a kill leaves the note
//! exact, a loss of power exact or older, never ahead of what is durable. A store that ends before
//! the note lost something that was acknowledged. Beside it stands a checksum of the manifest, as
//! far as it was synced: a manifest without its end no longer names a table file, whose records
//! would be missing without being missed. Since RocksDB deletes files when it opens, all files are
//! linked into the folder `as-found` before, and stay there if the store is refused.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use wardline_storage::ballast;

/// The note.
const NOTE: &str = "SYNCED";
/// Where files are kept as they were found.
const AS_FOUND: &str = "as-found";
/// Bytes of the last write's part of the note: the number, and the number inverted.
const WRITE: usize = 16;
/// Bytes of the manifest's part behind it: number, length, checksum, and a checksum of these three.
const MANIFEST: usize = 24;

/// The note, open for writing.
#[derive(Debug)]
pub(crate) struct Synced {
    file: File,
    store: PathBuf,
    manifest: Option<Followed>,
    /// A sync of the manifest failed: what of it is on the disk, nobody knows any more.
    is_manifest_lost: bool,
}

/// What a note says. A part that cannot be understood says nothing: it was never written whole, or
/// it is the one file that is damaged.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The last write that was durable.
    pub(crate) write: Option<u64>,
    /// The manifest, as far as it was durable.
    pub(crate) manifest: Option<Manifest>,
}

/// A manifest from its beginning to where it was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Counts up; part of its name.
    number: u64,
    bytes: u64,
    checksum: u32,
}

/// The manifest that RocksDB appends to.
#[derive(Debug)]
struct Followed {
    file: File,
    number: u64,
    bytes: u64,
    checksum: u32,
}

/// Links to all files of a store, made before RocksDB opened it.
#[derive(Debug)]
pub(crate) struct AsFound {
    folder: PathBuf,
}

impl Synced {
    /// Opens the note of a folder, making it if it is missing; gives what it says.
    pub(crate) fn open(store: &Path) -> io::Result<(Self, Known)> {
        let path = store.join(NOTE);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let known = read(&file);
        Ok((Self { file, store: store.to_owned(), manifest: None, is_manifest_lost: false }, known))
    }

    /// Notes that everything up to this write is durable.
    pub(crate) fn note(&mut self, write: u64) {
        let mut note = [0; WRITE];
        note[..8].copy_from_slice(&write.to_be_bytes());
        note[8..].copy_from_slice(&(!write).to_be_bytes());
        self.put(&note, 0);
        self.note_manifest();
    }

    /// Notes how far the manifest is durable, if RocksDB appended to it since. Costs one look at
    /// the file's length if it did not.
    pub(crate) fn note_manifest(&mut self) {
        if self.is_manifest_lost {
            return;
        }
        let noted = match &mut self.manifest {
            // A manifest that grew long was replaced.
            Some(followed) if followed.file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) => {
                followed.advance()
            }
            _ => self.follow(),
        };
        match noted {
            Ok(None) => {}
            Ok(Some(manifest)) => self.put(&manifest.encode(), WRITE as u64),
            Err(error) => {
                // A second sync would say that all is well. The older note holds.
                self.is_manifest_lost = true;
                tracing::warn!(code = "note-unwritten", %error, "how far the manifest is durable cannot be noted until the next start");
            }
        }
    }

    fn follow(&mut self) -> io::Result<Option<Manifest>> {
        let Some(number) = current_manifest(&self.store)? else { return Ok(None) };
        let file = File::open(self.store.join(manifest_name(number)))?;
        let followed = Followed { file, number, bytes: 0, checksum: 0 };
        self.manifest.insert(followed).advance()
    }

    fn put(&self, note: &[u8], at: u64) {
        if let Err(error) = self.file.write_all_at(note, at) {
            // The older note holds as well, it only says less; and the commit is durable.
            tracing::warn!(code = "note-unwritten", %error, "how far the store is durable cannot be noted");
        }
    }
}

impl Drop for Synced {
    /// The store was closed before: its manifest is complete.
    fn drop(&mut self) {
        if self.manifest.is_some() {
            self.note_manifest();
        }
    }
}

impl Followed {
    /// Reads on to the end and syncs it, since RocksDB may be about to. `None`: there is nothing
    /// new.
    fn advance(&mut self) -> io::Result<Option<Manifest>> {
        let bytes = self.file.metadata()?.len();
        if bytes <= self.bytes {
            return Ok(None);
        }
        let mut appended = vec![0; usize::try_from(bytes - self.bytes).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut appended, self.bytes)?;
        self.file.sync_data()?;
        self.checksum = crc32c::crc32c_append(self.checksum, &appended);
        self.bytes = bytes;
        Ok(Some(Manifest { number: self.number, bytes, checksum: self.checksum }))
    }
}

impl Manifest {
    /// Whether the manifest of this number begins with what was noted; one with a higher number
    /// replaced it.
    pub(crate) fn check(&self, store: &Path, current: u64) -> io::Result<bool> {
        if current != self.number {
            return Ok(current > self.number);
        }
        let content = fs::read(store.join(manifest_name(current)))?;
        let noted = usize::try_from(self.bytes).ok().and_then(|bytes| content.get(..bytes));
        Ok(noted.is_some_and(|noted| crc32c::crc32c(noted) == self.checksum))
    }

    /// Where it was synced to, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn encode(&self) -> [u8; MANIFEST] {
        let mut note = [0; MANIFEST];
        note[..8].copy_from_slice(&self.number.to_be_bytes());
        note[8..16].copy_from_slice(&self.bytes.to_be_bytes());
        note[16..20].copy_from_slice(&self.checksum.to_be_bytes());
        let checksum = crc32c::crc32c(&note[..20]);
        note[20..].copy_from_slice(&checksum.to_be_bytes());
        note
    }

    fn decode(note: &[u8; MANIFEST]) -> Option<Self> {
        let long = |at: usize| note[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let short = |at: usize| note[at..at + 4].try_into().map(u32::from_be_bytes).ok();
        let is_whole = short(20)? == crc32c::crc32c(&note[..20]);
        is_whole.then_some(Self { number: long(0)?, bytes: long(8)?, checksum: short(16)? })
    }
}

/// Names the manifest that holds. RocksDB makes a new store where it is missing.
pub(crate) const CURRENT: &str = "CURRENT";

/// The number of the manifest that `CURRENT` names; `None` if it names none.
pub(crate) fn current_manifest(store: &Path) -> io::Result<Option<u64>> {
    let current = fs::read(store.join(CURRENT))?;
    let name = std::str::from_utf8(&current).ok().and_then(|text| text.strip_suffix('\n'));
    Ok(name.and_then(|name| name.strip_prefix("MANIFEST-")).and_then(|number| number.parse().ok()))
}

/// What RocksDB calls it.
pub(crate) fn manifest_name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

/// Whether a folder has a note that says something: then it has, or had, a store.
pub(crate) fn is_noted(store: &Path) -> bool {
    File::open(store.join(NOTE)).is_ok_and(|file| read(&file).write.is_some())
}

fn read(file: &File) -> Known {
    let (mut write, mut manifest) = ([0; WRITE], [0; MANIFEST]);
    let is_there = |part: &mut [u8], at: usize| file.read_exact_at(part, at as u64).is_ok();
    let mut known = Known::default();
    if is_there(&mut write, 0) {
        let (number, inverse) = write.split_at(8);
        let number = number.try_into().map(u64::from_be_bytes).ok();
        known.write = number.filter(|number| inverse == (!number).to_be_bytes());
    }
    if is_there(&mut manifest, WRITE) {
        known.manifest = Manifest::decode(&manifest);
    }
    known
}

impl AsFound {
    /// Links all files. If an earlier opening was refused or cut short, what it found stays.
    /// `None`: it cannot be done, and the log says why; the store can be opened all the same.
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
        // Ballast is nothing to keep.
        let name = path.file_name().filter(|name| *name != ballast::NAME);
        if let (true, Some(name)) = (path.is_file(), name) {
            match fs::hard_link(&path, folder.join(name)) {
                // Whoever has it open deleted it; opening will say that it is in use.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                linked => linked?,
            }
        }
    }
    Ok(())
}
