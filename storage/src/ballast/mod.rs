//! Ballast: a file beside the store that holds nothing but room on its disk.
//!
//! When the disk is full and something must be written all the same (a recovery, a control command,
//! what was taken in before), the file is cut shorter first, by as much as is wanted. When there is
//! room again it grows back. So nothing that is admitted runs into the full disk: a write that
//! fails ends the broker, since no failed sync is tried again. Its length is all that there is to
//! know, so a crash at any point leaves it as good as before. One process has it at a time.
//!
//! [`opening`]: a store is opened with its help. [`engine`]: an engine whose commits rest on it.

pub mod engine;
pub mod opening;

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::room;

/// The file's name, in the store's folder.
pub const NAME: &str = "ballast";
/// It is cut and grows by multiples of this.
const STEP_BYTES: u64 = 64 << 10;
/// Written at a time where the file system reserves nothing by itself.
const CHUNK_BYTES: usize = 1 << 20;
/// The block in which [`MetadataExt::blocks`] counts.
const COUNTED_BLOCK: u64 = 512;

/// See the module's documentation.
#[derive(Debug)]
pub struct Ballast {
    folder: PathBuf,
    /// Locked as long as it is open.
    file: Mutex<File>,
    size: u64,
    kept: AtomicU64,
    /// Held while something is written for which there must be room.
    writing: Mutex<()>,
}

impl Ballast {
    /// The ballast of a folder, if there is one and no other process has it. It is to have `size`
    /// bytes; what it has above that is given back.
    ///
    /// # Errors
    /// [`io::Error`] if the file cannot be used.
    pub fn find(folder: &Path, size: u64) -> io::Result<Option<Self>> {
        match File::options().read(true).write(true).open(folder.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(file) => Self::of(folder, file, size),
        }
    }

    /// The same, made if there is none: without any room yet, which [`Ballast::take_back`] gives.
    ///
    /// # Errors
    /// [`io::Error`] if the file can be neither made nor used.
    pub fn make(folder: &Path, size: u64) -> io::Result<Option<Self>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Self::of(folder, options.open(folder.join(NAME))?, size)
    }

    /// Gives all of it back for good, if there is one.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be removed.
    pub fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(folder.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Bytes that the ballast of a folder keeps, whoever has it; `None`: there is none.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be seen.
    pub fn seen(folder: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(folder.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => Ok(Some(kept_of(&found?))),
        }
    }

    fn of(folder: &Path, file: File, size: u64) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let found = file.metadata()?;
        if found.mode() & 0o777 != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        let kept = kept_of(&found).min(size);
        if kept < found.len() {
            file.set_len(kept)?;
        }
        let kept = AtomicU64::new(kept);
        let (folder, file) = (folder.to_owned(), Mutex::new(file));
        Ok(Some(Self { folder, file, size, kept, writing: Mutex::default() }))
    }

    /// Bytes that it is to have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that it has.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Acquire)
    }

    /// Bytes that it has not: they were given and not taken back.
    pub fn missing(&self) -> u64 {
        self.size.saturating_sub(self.kept())
    }

    /// As long as this is kept nothing is taken back.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// Makes sure, if it can, that so many bytes of the disk are free. `wanted` is asked only where
    /// there is less free than the whole ballast, which is more than ever is wanted at once.
    pub fn ensure(&self, wanted: impl FnOnce() -> u64) {
        let Ok(room) = room::of(&self.folder) else { return };
        if room.free_bytes >= self.size {
            return;
        }
        let missing = wanted().saturating_sub(room.free_bytes);
        if missing > 0 {
            self.give(missing);
        }
    }

    /// Gives at least so many bytes to the disk, or all that there is; returns how many.
    pub fn give(&self, bytes: u64) -> u64 {
        let file = self.file.lock();
        let kept = self.kept();
        let given = bytes.div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES).min(kept);
        if given == 0 {
            return 0;
        }
        // Some file systems hand freed blocks out again only after their journal's next commit.
        if let Err(error) = file.set_len(kept - given).and_then(|()| file.sync_all()) {
            tracing::error!(code = "ballast-stuck", %error, "the ballast cannot be cut, so its room is of no use: see to the file ballast in the data folder");
            return 0;
        }
        self.kept.store(kept - given, Ordering::Release);
        let left = kept - given;
        // Small steps, one after the other, are not worth a line each.
        if self.eighths(left) < self.eighths(kept) {
            tracing::warn!(
                code = "ballast-given",
                left,
                size = self.size,
                "the disk is full: what must be written now gets room of the ballast; make room on the disk"
            );
        }
        given
    }

    /// How many eighths of it so many bytes are, the last one begun.
    fn eighths(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(8).div_ceil(self.size.max(1))
    }

    /// Takes back what is missing, as far as there is room beside so many bytes that stay free, and
    /// unless something is being written; returns how many bytes.
    ///
    /// # Errors
    /// [`io::Error`] if the file cannot be made longer for another reason than a full disk.
    pub fn take_back(&self, free_bytes: u64) -> io::Result<u64> {
        let Some(_nothing_is_written) = self.writing.try_lock() else { return Ok(0) };
        let file = self.file.lock();
        let kept = self.kept();
        let free = room::of(&self.folder)?.free_bytes.saturating_sub(free_bytes);
        let wanted = self.size.saturating_sub(kept).min(free / STEP_BYTES * STEP_BYTES);
        if wanted == 0 {
            return Ok(0);
        }
        let taken = allocate(&file, kept, wanted);
        // Whatever came of it: its length is what counts.
        let now = file.metadata()?.len();
        self.kept.store(now, Ordering::Release);
        taken?;
        if now == self.size && self.eighths(kept) < self.eighths(now) {
            tracing::info!(code = "ballast-whole", bytes = now, "the ballast has all its room");
        }
        Ok(now.saturating_sub(kept))
    }
}

/// What was copied with holes keeps no room.
fn kept_of(file: &Metadata) -> u64 {
    let has_holes = file.blocks().saturating_mul(COUNTED_BLOCK) < file.len();
    if has_holes { 0 } else { file.len() }
}

/// Makes a file longer, with room on the disk for each byte. On a full disk it is as long as there
/// was room for.
fn allocate(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), from, bytes) {
        Ok(()) | Err(Errno::NOSPC) => Ok(()),
        Err(Errno::OPNOTSUPP) => match fill(file, from, bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            filled => filled,
        },
        Err(error) => Err(error.into()),
    }
}

/// Writes noise: of zeros, some file systems that reserve nothing keep nothing either.
fn fill(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    let mut noise = Noise(from | 1);
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut at, end) = (from, from + bytes);
    while at < end {
        noise.put(&mut chunk);
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        file.write_all_at(&chunk[..length], at)?;
        at += length as u64;
    }
    file.sync_data()
}

/// Numbers that do not repeat soon (xorshift, Marsaglia 2003). Nothing rests on their being random.
struct Noise(u64);

impl Noise {
    fn put(&mut self, chunk: &mut [u8]) {
        for word in chunk.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn on_disk(folder: &Path) -> (u64, u64) {
        let found = fs::metadata(folder.join(NAME)).expect("it is there");
        (found.len(), found.blocks() * COUNTED_BLOCK)
    }

    fn made(folder: &Path, size: u64) -> Ballast {
        Ballast::make(folder, size).expect("makes it").expect("nobody else has it")
    }

    #[test]
    fn it_has_room_on_the_disk_and_is_its_owner_s_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ballast = made(folder.path(), 3 * MIB);
        assert_eq!((ballast.kept(), ballast.missing()), (0, 3 * MIB));
        assert_eq!(ballast.take_back(0).expect("there is room"), 3 * MIB);
        let (bytes, allocated) = on_disk(folder.path());
        assert_eq!(bytes, 3 * MIB);
        assert!(allocated >= 3 * MIB, "{allocated} bytes of the disk");
        assert_eq!(fs::metadata(folder.path().join(NAME)).expect("it is there").mode() & 0o777, 0o600);
    }

    #[test]
    fn it_is_given_in_steps_and_taken_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ballast = made(folder.path(), MIB);
        ballast.take_back(0).expect("there is room");
        assert_eq!(ballast.give(1), STEP_BYTES, "a whole step");
        assert_eq!((ballast.kept(), on_disk(folder.path()).0), (MIB - STEP_BYTES, MIB - STEP_BYTES));
        assert_eq!(ballast.give(10 * MIB), MIB - STEP_BYTES, "all that there is");
        assert_eq!((ballast.give(1), on_disk(folder.path())), (0, (0, 0)));
        assert_eq!(ballast.take_back(0).expect("there is room"), MIB);
        assert_eq!(ballast.missing(), 0);
    }

    #[test]
    fn what_is_about_to_be_used_is_not_taken_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ballast = made(folder.path(), MIB);
        let writing = ballast.hold();
        assert_eq!(ballast.take_back(0).expect("looks"), 0, "somebody writes");
        drop(writing);
        assert_eq!(ballast.take_back(u64::MAX).expect("looks"), 0, "all is to stay free");
        assert_eq!(ballast.take_back(0).expect("there is room"), MIB);
    }

    #[test]
    fn what_another_process_left_is_gone_on_with() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(Ballast::find(folder.path(), MIB).expect("looks").is_none(), "there is none");
        let ballast = made(folder.path(), MIB);
        ballast.take_back(0).expect("there is room");
        ballast.give(STEP_BYTES);
        assert!(Ballast::find(folder.path(), MIB).expect("looks").is_none(), "another one has it");
        assert!(Ballast::make(folder.path(), MIB).expect("looks").is_none(), "another one has it");
        drop(ballast);
        let found = Ballast::find(folder.path(), MIB).expect("looks").expect("it is there");
        assert_eq!(found.missing(), STEP_BYTES);
        drop(found);
        let smaller = Ballast::find(folder.path(), MIB / 4).expect("looks").expect("it is there");
        assert_eq!((smaller.kept(), smaller.missing()), (MIB / 4, 0));
        drop(smaller);
        Ballast::remove(folder.path()).expect("removes it");
        assert!(Ballast::find(folder.path(), MIB).expect("looks").is_none());
        Ballast::remove(folder.path()).expect("there is none");
    }

    #[test]
    fn one_with_holes_keeps_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        File::create(folder.path().join(NAME)).and_then(|file| file.set_len(MIB)).expect("makes a hole");
        let found = Ballast::find(folder.path(), MIB).expect("looks").expect("it is there");
        assert_eq!(found.missing(), MIB);
        found.take_back(0).expect("there is room");
        assert!(on_disk(folder.path()).1 >= MIB);
        assert_eq!(fs::metadata(folder.path().join(NAME)).expect("there").mode() & 0o777, 0o600, "narrowed");
    }

    #[test]
    fn noise_has_no_holes_and_does_not_repeat() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(NAME);
        let file = File::create(&path).expect("makes it");
        fill(&file, 5, 2 * CHUNK_BYTES as u64 + 77).expect("writes");
        let written = fs::read(&path).expect("reads");
        assert_eq!(written.len(), 2 * CHUNK_BYTES + 82);
        let mut words: Vec<&[u8]> = written[5..].chunks_exact(8).collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all, "no word comes twice");
    }

    #[test]
    fn with_room_on_the_disk_nothing_is_given() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ballast = made(folder.path(), MIB);
        ballast.take_back(0).expect("there is room");
        ballast.ensure(|| unreachable!("there is more free than the ballast has"));
        assert_eq!(ballast.missing(), 0);
    }
}
