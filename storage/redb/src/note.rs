//! How many commits were acknowledged: a note beside the store file.
//!
//! redb goes back to the commit before when the last one is not whole, as a loss of power leaves
//! it, and cannot tell that from damage to one that was acknowledged. So each batch counts up a row
//! of the store, and after each synced commit the count is noted in a file of its own, without a
//! sync: a kill leaves the note exact, a loss of power exact or older, never ahead of what is
//! durable. A store with a lower count than the note lost something. Two numbers that say the same;
//! a note that cannot be read says nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The file.
pub(crate) const NAME: &str = "store.redb.noted";
/// The number, and the number inverted.
const BYTES: usize = 16;

/// The note, open for writing.
#[derive(Debug)]
pub(crate) struct Note {
    file: File,
}

impl Note {
    /// Opens the note of a folder, making it if it is missing.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Self { file: options.open(folder.join(NAME))? })
    }

    /// Notes that so many commits are durable.
    pub(crate) fn write(&self, commits: u64) {
        if let Err(error) = self.put(commits) {
            // The older note holds as well, it only says less; and the commit is durable.
            tracing::warn!(code = "note-unwritten", %error, "how far the store is durable cannot be noted");
        }
    }

    /// The same, and waits for the disk: of a store that is new here.
    pub(crate) fn write_synced(&self, commits: u64) -> io::Result<()> {
        self.put(commits)?;
        self.file.sync_all()
    }

    fn put(&self, commits: u64) -> io::Result<()> {
        let mut note = [0; BYTES];
        note[..8].copy_from_slice(&commits.to_be_bytes());
        note[8..].copy_from_slice(&(!commits).to_be_bytes());
        self.file.write_all_at(&note, 0)
    }
}

/// What the note of a folder says; `None`: nothing, or there is none.
pub(crate) fn read(folder: &Path) -> io::Result<Option<u64>> {
    let file = match File::open(folder.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut note = [0; BYTES];
    if file.read_exact_at(&mut note, 0).is_err() {
        return Ok(None);
    }
    let (number, inverse) = note.split_at(8);
    let number = number.try_into().map(u64::from_be_bytes).ok();
    Ok(number.filter(|number| inverse == (!number).to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_says_what_was_written_last() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(read(folder.path()).expect("reads"), None);
        let note = Note::open(folder.path()).expect("opens");
        assert_eq!(read(folder.path()).expect("reads"), None, "it was never written");
        for count in [1, 300, u64::MAX] {
            note.write(count);
            assert_eq!(read(folder.path()).expect("reads"), Some(count));
        }
    }

    #[test]
    fn a_note_that_was_not_written_whole_says_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(NAME);
        Note::open(folder.path()).expect("opens").write(77);
        let whole = fs::read(&path).expect("reads");
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).expect("writes");
            assert_eq!(read(folder.path()).expect("reads"), None, "bit {bit}");
        }
        fs::write(&path, &whole[..15]).expect("writes");
        assert_eq!(read(folder.path()).expect("reads"), None);
    }
}
