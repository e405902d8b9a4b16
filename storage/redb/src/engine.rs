//! An open store: which file it is now, and what its one writer owns.
//!
//! A reclaim puts another file in the store's place. A read keeps the one that it began with. After
//! a failed commit nothing more is written, not even when it is closed: what a failed sync left on
//! the disk is unknown, and trying again would only hide that.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::ReadTransaction;
use wardline_storage::engine::{Durability, EngineError, Mutation};
use wardline_storage::fail_point::{self, Point};
use wardline_storage::garbage::Heap;
use wardline_storage::open::{OpenError, Options};

use crate::disk::Counts;
use crate::file::{Growth, StoreFile};
use crate::followed::{Changed, Followed};
use crate::note::Note;
use crate::open;

/// State in a folder, in one file of redb's.
pub struct RedbEngine {
    pub(crate) path: PathBuf,
    /// The file that is the store now.
    pub(crate) current: RwLock<Arc<StoreFile>>,
    pub(crate) writer: Mutex<Writer>,
    /// Held by the one copy that is being made.
    pub(crate) copying: Mutex<()>,
    pub(crate) garbage: Heap,
    pub(crate) size: Size,
    pub(crate) counts: Arc<Counts>,
    pub(crate) commits: AtomicU64,
    /// So much changed that a copy should catch up before it goes on.
    pub(crate) is_far_ahead: AtomicBool,
    /// Of each file: a copy has one of its own beside the store's.
    pub(crate) cache_bytes: usize,
    /// Last: the store is closed before another may open it.
    _lock: File,
}

/// What the one writer owns.
pub(crate) struct Writer {
    pub(crate) failed: bool,
    /// A stored value is put together here.
    buffer: Vec<u8>,
    /// How many batches the store has.
    pub(crate) commits: u64,
    note: Note,
    /// What changes while a copy is being made.
    pub(crate) followed: Option<Followed>,
}

/// All that the store holds, expired rows included.
#[derive(Debug, Default)]
pub(crate) struct Size {
    rows: AtomicI64,
    bytes: AtomicI64,
}

/// The store between two commits.
pub(crate) struct Moment {
    pub(crate) rows: ReadTransaction,
    /// What it is a moment of; dropped after it.
    pub(crate) file: Arc<StoreFile>,
    /// What changed since the moment before.
    pub(crate) changed: BTreeSet<Changed>,
    pub(crate) commits: u64,
}

impl Size {
    pub(crate) fn grow(&self, by: Growth) {
        self.rows.fetch_add(by.rows, Ordering::Relaxed);
        self.bytes.fetch_add(by.bytes, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, to: Growth) {
        self.rows.store(to.rows, Ordering::Relaxed);
        self.bytes.store(to.bytes, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// Of keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed).max(0).unsigned_abs()
    }
}

impl RedbEngine {
    /// Opens a folder, making it if it is missing (its parent must exist). Reads all of the store,
    /// so it may take some seconds. The format is checked apart, by
    /// [`wardline_storage::format::check`].
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, newer, out of reach or damaged.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let (garbage, counts) = (Heap::default(), Arc::default());
        let cache_bytes = options.memory_bytes / 2;
        let opened = open::open(path, cache_bytes, &counts, &garbage)?;
        let size = Size::default();
        size.set(opened.size);
        let writer = Writer {
            failed: false,
            buffer: Vec::new(),
            commits: opened.commits,
            note: opened.note,
            followed: None,
        };
        Ok(Self {
            path: path.to_owned(),
            current: RwLock::new(Arc::new(opened.file)),
            writer: Mutex::new(writer),
            copying: Mutex::default(),
            garbage,
            size,
            counts,
            commits: AtomicU64::new(0),
            is_far_ahead: AtomicBool::new(false),
            cache_bytes,
            _lock: opened.lock,
        })
    }

    /// The file that is the store now. It stays open as long as this is kept.
    pub(crate) fn file(&self) -> Arc<StoreFile> {
        Arc::clone(&self.current.read())
    }

    /// The store between two commits, and what changed since it was looked at before.
    pub(crate) fn look(&self, doing: &'static str, writer: &mut Writer) -> Result<Moment, EngineError> {
        if writer.failed {
            return Err(unfinished(doing, "a commit failed meanwhile"));
        }
        let changed = writer.followed.as_mut().and_then(Followed::take);
        let changed =
            changed.ok_or_else(|| unfinished(doing, "more was committed meanwhile than is remembered"))?;
        self.is_far_ahead.store(false, Ordering::Relaxed);
        let file = self.file();
        Ok(Moment { rows: file.read(doing)?, file, changed, commits: writer.commits })
    }

    /// See [`wardline_storage::engine::Engine::commit`].
    pub(crate) fn commit_batch(&self, batch: &[Mutation], durability: Durability) -> Result<(), EngineError> {
        const DOING: &str = "committing";
        let writer = &mut *self.writer.lock();
        if writer.failed {
            return Err(unfinished(DOING, "an earlier commit failed"));
        }
        // Until it has succeeded, it has failed: an early return must not leave the door open.
        writer.failed = true;
        self.note_garbage(batch);
        let file = self.file();
        if fail_point::is_drawn(Point::Written) {
            file.disk.crash_at_sync();
        }
        let (commits, buffer) = (writer.commits + 1, &mut writer.buffer);
        let grown = file.commit(DOING, durability, commits, |rows| {
            batch.iter().try_for_each(|mutation| rows.apply(mutation, buffer))
        })?;
        writer.failed = false;
        writer.commits = commits;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.size.grow(grown);
        if durability == Durability::Synced {
            writer.note.write(commits);
        }
        if let Some(followed) = &mut writer.followed {
            followed.add(batch);
            self.is_far_ahead.store(followed.is_half_full(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Notes what there will be to reclaim.
    fn note_garbage(&self, batch: &[Mutation]) {
        for mutation in batch {
            let garbage = self.garbage.of(mutation.table());
            match mutation {
                Mutation::Insert { expires, .. } => garbage.note_expiry(*expires),
                Mutation::Put { expires, .. } => {
                    garbage.note_expiry(*expires);
                    garbage.note_dead(self.garbage.latest());
                }
                Mutation::Delete { .. } => garbage.note_dead(self.garbage.latest()),
            }
        }
    }
}

impl Drop for RedbEngine {
    /// redb commits when it closes: not after a commit of which nobody knows what it left.
    fn drop(&mut self) {
        if self.writer.get_mut().failed {
            self.file().disk.abandon();
        }
    }
}

impl std::fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Something that was not done. The store is as it was.
pub(crate) fn unfinished(doing: &'static str, detail: &str) -> EngineError {
    EngineError::Io { doing, detail: detail.to_owned() }
}
