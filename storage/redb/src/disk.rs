//! What redb reads and writes: the store file, watched.
//!
//! - redb checks pages when it opens a file, and none later. So the checksum of each page is
//!   remembered when it is written or first read (4 bytes for 4 KiB), and a page that reads
//!   otherwise later is an error, inner pages of the trees too.
//! - redb writes while it opens, before it knows whether the file is whole. So its writes are held
//!   in memory until whoever opens has looked at all of it, and then written in the same order with
//!   the same syncs; or dropped, and the file is as it was found.
//! - A file that was replaced is abandoned: redb cannot write to it when it closes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use wardline_storage::fail_point;

/// A page, as far as checksums go.
const PAGE: usize = 4096;
/// The header: redb writes parts of it, and has checksums of its own there.
const HEADER_PAGE: u64 = 0;
const NOWHERE: u64 = u64::MAX;

/// The store file, as redb has it and as the engine has it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    shared: Arc<Shared>,
}

/// What was read and written, over all files that the engine has had open.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reads: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    /// For so long commits waited for a copy to take the store's place, in microseconds.
    pub(crate) stall: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    file: FileBackend,
    counts: Arc<Counts>,
    checksums: Mutex<Checksums>,
    /// `None`: what is written goes to the file.
    held: RwLock<Option<Held>>,
    is_abandoned: AtomicBool,
    /// The next sync is to crash the process, for trials.
    is_to_crash: AtomicBool,
    /// Where a page was not what it had been.
    damaged_at: AtomicU64,
}

/// Of each page; 0: not known.
#[derive(Debug, Default)]
struct Checksums(Vec<u32>);

/// What was written, and has not gone to the file.
#[derive(Debug)]
struct Held {
    steps: Vec<Step>,
    /// Pages as they would be.
    pages: BTreeMap<u64, Vec<u8>>,
    /// How long the file would be, and how long it is.
    bytes: u64,
    found_bytes: u64,
}

#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

impl Step {
    fn take(self, file: &FileBackend) -> io::Result<()> {
        match self {
            Self::Write(at, bytes) => file.write(at, &bytes),
            Self::Resize(bytes) => file.set_len(bytes),
            Self::Sync => file.sync_data(),
        }
    }
}

impl Disk {
    /// A file that is written at once.
    pub(crate) fn new(file: FileBackend, counts: Arc<Counts>) -> Self {
        let shared = Shared {
            file,
            counts,
            checksums: Mutex::default(),
            held: RwLock::new(None),
            is_abandoned: AtomicBool::new(false),
            is_to_crash: AtomicBool::new(false),
            damaged_at: AtomicU64::new(NOWHERE),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Holds back what is written from now on.
    pub(crate) fn hold(&self) -> io::Result<()> {
        let bytes = self.shared.file.len()?;
        *self.shared.held.write() =
            Some(Held { steps: Vec::new(), pages: BTreeMap::new(), bytes, found_bytes: bytes });
        Ok(())
    }

    /// Writes what was held back; from now on it is written at once. If that fails, nothing more
    /// is written.
    pub(crate) fn release(&self) -> io::Result<()> {
        let mut held = self.shared.held.write();
        let mut steps = held.take().into_iter().flat_map(|held| held.steps);
        let written = steps.try_for_each(|step| step.take(&self.shared.file));
        if written.is_err() {
            self.abandon();
        }
        written
    }

    /// From now on nothing is written: redb commits when it closes, and the file is no longer the
    /// store, or nobody knows what is in it.
    pub(crate) fn abandon(&self) {
        self.shared.is_abandoned.store(true, Ordering::Release);
    }

    /// The next sync ends the process.
    pub(crate) fn crash_at_sync(&self) {
        self.shared.is_to_crash.store(true, Ordering::Release);
    }

    /// Where a page was not what it had been, in bytes from the file's beginning.
    pub(crate) fn damaged_at(&self) -> Option<u64> {
        Some(self.shared.damaged_at.load(Ordering::Acquire)).filter(|at| *at != NOWHERE)
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.file.len().unwrap_or(0)
    }
}

impl Shared {
    fn refuse_if_abandoned(&self) -> io::Result<()> {
        match self.is_abandoned.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(io::Error::other("the file was abandoned")),
        }
    }

    /// Whether these bytes are what was last seen there.
    fn check(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let known = |page: u64, checksum: u32| self.checksums.lock().is_known(page, checksum);
        match pages(at, bytes).find(|(page, checksum)| !known(*page, *checksum)) {
            None => Ok(()),
            Some((page, _)) => {
                self.damaged_at.store(page * PAGE as u64, Ordering::Release);
                Err(io::Error::new(io::ErrorKind::InvalidData, "a page is not what was written"))
            }
        }
    }

    fn note(&self, at: u64, bytes: &[u8]) {
        for (page, checksum) in pages(at, bytes) {
            self.checksums.lock().set(page, checksum);
        }
    }
}

/// The whole pages of a range but the header, with their checksums.
fn pages(at: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, u32)> {
    let is_aligned = at.is_multiple_of(PAGE as u64);
    let whole = if is_aligned { bytes.chunks_exact(PAGE) } else { [].chunks_exact(PAGE) };
    let numbered = whole.zip(at / PAGE as u64..);
    numbered.filter(|(_, page)| *page != HEADER_PAGE).map(|(bytes, page)| (page, checksum(bytes)))
}

/// Never 0.
fn checksum(page: &[u8]) -> u32 {
    crc32c::crc32c(page).max(1)
}

impl Checksums {
    /// Whether a page may be this one; the first time that it is seen it may be any.
    fn is_known(&mut self, page: u64, checksum: u32) -> bool {
        let known = self.of(page);
        if *known == 0 {
            *known = checksum;
        }
        *known == checksum
    }

    fn set(&mut self, page: u64, checksum: u32) {
        *self.of(page) = checksum;
    }

    fn of(&mut self, page: u64) -> &mut u32 {
        let page = page as usize;
        if page >= self.0.len() {
            self.0.resize(page + 1, 0);
        }
        &mut self.0[page]
    }

    fn cut(&mut self, bytes: u64) {
        self.0.truncate(bytes.div_ceil(PAGE as u64) as usize);
    }
}

impl Held {
    fn write(&mut self, file: &FileBackend, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut from = 0;
        while from < bytes.len() {
            let (page, offset) = split(at + from as u64);
            let part = (PAGE - offset).min(bytes.len() - from);
            let held = match self.pages.entry(page) {
                Entry::Occupied(held) => held.into_mut(),
                Entry::Vacant(free) => {
                    let mut found = vec![0; PAGE];
                    read_as_found(file, self.found_bytes, page * PAGE as u64, &mut found)?;
                    free.insert(found)
                }
            };
            held[offset..offset + part].copy_from_slice(&bytes[from..from + part]);
            from += part;
        }
        self.bytes = self.bytes.max(at + bytes.len() as u64);
        self.steps.push(Step::Write(at, bytes.to_vec()));
        Ok(())
    }

    fn read(&self, file: &FileBackend, at: u64, into: &mut [u8]) -> io::Result<()> {
        if at + into.len() as u64 > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read_as_found(file, self.found_bytes, at, into)?;
        let end = at + into.len() as u64;
        for (page, held) in self.pages.range(split(at).0..end.div_ceil(PAGE as u64)) {
            let begin = page * PAGE as u64;
            let (from, to) = (begin.max(at), (begin + PAGE as u64).min(end));
            into[(from - at) as usize..(to - at) as usize]
                .copy_from_slice(&held[(from - begin) as usize..(to - begin) as usize]);
        }
        Ok(())
    }

    fn resize(&mut self, bytes: u64) {
        self.pages.retain(|page, _| page * (PAGE as u64) < bytes);
        self.bytes = bytes;
        self.steps.push(Step::Resize(bytes));
    }
}

/// Page, and offset in it.
fn split(at: u64) -> (u64, usize) {
    (at / PAGE as u64, (at % PAGE as u64) as usize)
}

/// Reads what a file of so many bytes has; zeros beyond its end.
fn read_as_found(file: &FileBackend, bytes: u64, at: u64, into: &mut [u8]) -> io::Result<()> {
    let there = bytes.saturating_sub(at).min(into.len() as u64) as usize;
    into[there..].fill(0);
    if there > 0 { file.read(at, &mut into[..there]) } else { Ok(()) }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        match &*self.shared.held.read() {
            Some(held) => Ok(held.bytes),
            None => self.shared.file.len(),
        }
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        match &*self.shared.held.read() {
            Some(held) => held.read(&self.shared.file, at, into)?,
            None => self.shared.file.read(at, into)?,
        }
        self.shared.counts.reads.fetch_add(1, Ordering::Relaxed);
        self.shared.counts.read_bytes.fetch_add(into.len() as u64, Ordering::Relaxed);
        self.shared.check(at, into)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.shared.refuse_if_abandoned()?;
        self.shared.checksums.lock().cut(bytes);
        match &mut *self.shared.held.write() {
            Some(held) => {
                held.resize(bytes);
                Ok(())
            }
            None => self.shared.file.set_len(bytes),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.shared.is_to_crash.load(Ordering::Acquire) {
            fail_point::crash();
        }
        self.shared.refuse_if_abandoned()?;
        if let Some(held) = &mut *self.shared.held.write() {
            held.steps.push(Step::Sync);
            return Ok(());
        }
        self.shared.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.shared.file.sync_data()
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.shared.refuse_if_abandoned()?;
        self.shared.note(at, bytes);
        if let Some(held) = &mut *self.shared.held.write() {
            return held.write(&self.shared.file, at, bytes);
        }
        self.shared.counts.written_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.shared.file.write(at, bytes)
    }

    fn close(&self) -> io::Result<()> {
        self.shared.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.shared.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.shared.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.shared.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.shared.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.shared.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.shared.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};

    use super::*;

    const AS_FOUND: [u8; 3 * PAGE] = [7; 3 * PAGE];

    fn disk(root: &Path) -> (Disk, PathBuf) {
        let path = root.join("file");
        fs::write(&path, AS_FOUND).expect("writes");
        let file = File::options().read(true).write(true).open(&path).expect("opens");
        (Disk::new(FileBackend::new(file).expect("a file"), Arc::default()), path)
    }

    fn read(disk: &Disk, at: usize, bytes: usize) -> io::Result<Vec<u8>> {
        let mut into = vec![0; bytes];
        disk.read(at as u64, &mut into).map(|()| into)
    }

    #[test]
    fn what_is_held_is_read_and_not_written() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (disk, path) = disk(root.path());
        disk.hold().expect("holds");
        disk.write(10, &[1; 20]).expect("writes");
        disk.write(2 * PAGE as u64, &[2; 2 * PAGE]).expect("writes beyond the end");
        disk.sync_data().expect("syncs");
        disk.set_len(6 * PAGE as u64).expect("resizes");
        let expected = [&[7; 10][..], &[1; 20], &[7; 2 * PAGE - 30], &[2; 2 * PAGE], &[0; 2 * PAGE]].concat();
        assert_eq!(disk.len().expect("a length"), expected.len() as u64);
        assert!(read(&disk, 0, expected.len()).expect("reads") == expected);
        assert!(read(&disk, 15, PAGE).expect("reads") == expected[15..][..PAGE]);
        assert!(read(&disk, 1, expected.len()).is_err(), "beyond the end");
        assert!(fs::read(&path).expect("reads") == AS_FOUND, "the file is as it was found");

        disk.release().expect("writes");
        assert!(fs::read(&path).expect("reads") == expected);
        disk.write(0, &[9]).expect("writes");
        assert_eq!(fs::read(&path).expect("reads")[0], 9, "from now on at once");
    }

    #[test]
    fn what_is_held_beyond_a_cut_is_gone() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (disk, path) = disk(root.path());
        disk.hold().expect("holds");
        disk.write(2 * PAGE as u64, &[2; PAGE]).expect("writes");
        disk.set_len(PAGE as u64).expect("cuts");
        assert!(read(&disk, 2 * PAGE, PAGE).is_err());
        disk.release().expect("writes");
        assert!(fs::read(&path).expect("reads") == AS_FOUND[..PAGE]);
    }

    #[test]
    fn a_page_that_is_another_one_than_before_is_an_error() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (disk, path) = disk(root.path());
        disk.write(PAGE as u64, &[1; PAGE]).expect("writes");
        read(&disk, 0, 3 * PAGE).expect("the other ones are seen for the first time");
        for damaged in [PAGE, 2 * PAGE + 4_000] {
            let mut content = fs::read(&path).expect("reads");
            content[damaged] ^= 1;
            fs::write(&path, &content).expect("writes");
            let page = damaged / PAGE * PAGE;
            assert_eq!(read(&disk, page, PAGE).expect_err("damage").kind(), io::ErrorKind::InvalidData);
            assert_eq!(disk.damaged_at(), Some(page as u64));
            content[damaged] ^= 1;
            fs::write(&path, &content).expect("writes");
            read(&disk, 0, 3 * PAGE).expect("it is what it was");
        }
        // What was cut off may be anything when it comes again.
        disk.set_len(PAGE as u64).expect("cuts");
        disk.set_len(2 * PAGE as u64).expect("grows");
        assert!(read(&disk, PAGE, PAGE).expect("reads") == [0; PAGE]);
    }

    #[test]
    fn nothing_is_written_to_a_file_that_was_abandoned() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (disk, path) = disk(root.path());
        disk.abandon();
        assert!(disk.write(0, &[1; PAGE]).is_err());
        assert!(disk.set_len(1).is_err());
        assert!(disk.sync_data().is_err());
        assert!(read(&disk, 0, PAGE).is_ok(), "who reads it may go on");
        assert!(fs::read(&path).expect("reads") == AS_FOUND);
    }
}
