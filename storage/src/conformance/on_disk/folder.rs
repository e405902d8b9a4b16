//! Folders for a rule: made for it, copied, searched, and removed with it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

/// As much of a value as a file must hold to hold it: a file may split a value.
const NEEDLE: usize = 24;
/// Bytes that a few open stores take at most: an engine may reserve some for its log.
const ROOM: u64 = 1 << 30;

/// A folder that goes with this.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one, where files are synced.
    pub(super) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// Makes one in memory, if this machine has a place there with room: for a rule that opens
    /// stores by the hundred, and for which syncs only take time.
    pub(super) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let room = rustix::fs::statvfs(memory).map_or(0, |status| status.f_bavail * status.f_frsize);
        if room >= ROOM { Self::within(memory) } else { Self::new() }
    }

    fn within(parent: &Path) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("wardline-conformance-{}-{made}", std::process::id());
        let path = parent.join(name);
        fs::create_dir(&path).expect("makes a temporary folder");
        Self(path)
    }

    /// A place in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All files in a folder and in its folders, by name.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What goes while this looks is of no interest.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found.sort();
    found
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("makes a folder");
    for file in files(from) {
        let into = to.join(file.strip_prefix(from).expect("a file of that folder"));
        fs::create_dir_all(into.parent().expect("it has one")).expect("makes a folder");
        fs::copy(&file, &into).expect("copies a file");
    }
}

/// A file's name without its numbers: what kind of file it is.
pub(super) fn kind(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// The files of a folder that hold one of these values. Values that are too short to be told from
/// chance are not looked for.
pub(super) fn files_with<'a>(folder: &Path, values: impl IntoIterator<Item = &'a Bytes>) -> Vec<PathBuf> {
    let needles: HashSet<&[u8]> = values.into_iter().filter_map(|value| value.get(..NEEDLE)).collect();
    let holds = |file: &PathBuf| {
        let content = fs::read(file).unwrap_or_default();
        content.windows(NEEDLE).any(|window| needles.contains(window))
    };
    files(folder).into_iter().filter(holds).collect()
}
