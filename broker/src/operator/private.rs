//! Folders for the broker's user alone: payloads lie in them.
//!
//! What is made is made so. A folder that was there and is wider is narrowed, and its files with
//! it, if nothing but a store is in it; that is told. One that is somebody else's, or has other
//! things in it, is refused: its owner must decide.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What others may.
const OTHERS: u32 = 0o077;
/// All that a mode has.
const MODE: u32 = 0o7777;
/// What a file system may keep in its root.
const LOST_AND_FOUND: &str = "lost+found";

/// Others may look into a folder in which payloads are to lie. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrivateError {
    /// It is not ours to narrow, or has other things in it.
    #[error(
        "others may look into {} (mode {mode:o}), and {why}: chmod 700 it, or name a folder within it that is not \
         there yet",
        path.display()
    )]
    Wide {
        /// The folder.
        path: PathBuf,
        /// Who may what.
        mode: u32,
        /// Why it is not narrowed.
        why: String,
    },
    /// It cannot be made or looked at.
    #[error("cannot {doing} {}: {source}", path.display())]
    Folder {
        /// What was being done.
        doing: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A store, or other files of the broker's.
    Ours,
    /// Nothing yet, as far as is known.
    Unknown,
    /// Nothing but what a restore left.
    Restored,
}

/// Makes a folder for its owner alone, with the folders around it, unless it is there.
///
/// # Errors
/// [`PrivateError`] if it cannot be made.
pub fn make(folder: &Path) -> Result<(), PrivateError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| PrivateError::Folder { doing: "make the folder", path: folder.to_owned(), source })
}

/// Narrows a folder that is there, and the files in it if they are the broker's.
///
/// # Errors
/// [`PrivateError`] if it is wider and stays so.
pub fn narrow(folder: &Path, content: Content) -> Result<(), PrivateError> {
    let failed = |source| PrivateError::Folder { doing: "look at", path: folder.to_owned(), source };
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mode = found.permissions().mode() & MODE;
    if found.is_dir() && mode & OTHERS != 0 {
        let refused = |why: String| PrivateError::Wide { path: folder.to_owned(), mode, why };
        if content == Content::Unknown && !is_empty(folder).map_err(failed)? {
            return Err(refused("there are other things in it".to_owned()));
        }
        take_from_others(folder, &found).map_err(|error| refused(error.to_string()))?;
        tracing::warn!(
            code = "folder-narrowed", folder = %folder.display(), mode = %format!("{mode:o}"),
            "others could look into this folder; it is for its owner alone now"
        );
    }
    if content == Content::Ours {
        narrow_files(folder).map_err(failed)?;
    }
    Ok(())
}

/// The folder is what protects; its files are narrowed as far as they are ours.
fn narrow_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = path.symlink_metadata()?;
        if found.is_file() && found.permissions().mode() & OTHERS != 0 {
            let _ = take_from_others(&path, &found);
        }
    }
    Ok(())
}

fn take_from_others(path: &Path, found: &Metadata) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(found.permissions().mode() & MODE & !OTHERS))
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    let mut others = fs::read_dir(folder)?
        .filter(|entry| entry.as_ref().map_or(true, |entry| entry.file_name() != LOST_AND_FOUND));
    Ok(others.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & MODE
    }

    fn wide(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("srv/data");
        make(&folder).expect("made");
        assert_eq!((mode(&root.path().join("srv")), mode(&folder)), (0o700, 0o700));
        narrow(&root.path().join("missing"), Content::Unknown).expect("it will be made");
    }

    #[test]
    fn a_wider_folder_of_ours_is_narrowed_with_its_files() {
        let root = tempfile::tempdir().expect("a folder");
        for (content, files) in [(Content::Unknown, 0), (Content::Ours, 2)] {
            let folder = root.path().join(files.to_string());
            make(&folder).expect("made");
            fs::create_dir(folder.join(LOST_AND_FOUND)).expect("made");
            (0..files).for_each(|name| {
                let file = folder.join(name.to_string());
                fs::write(&file, "payload").expect("written");
                wide(&file, 0o644);
            });
            wide(&folder, 0o2755);
            narrow(&folder, content).expect("narrowed");
            assert_eq!(mode(&folder), 0o2700);
            (0..files).for_each(|name| assert_eq!(mode(&folder.join(name.to_string())), 0o600));
        }
    }

    #[test]
    fn a_wider_folder_of_other_things_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("letter");
        fs::write(&file, "dear").expect("written");
        wide(&file, 0o644);
        wide(folder.path(), 0o750);
        let refused = narrow(folder.path(), Content::Unknown).expect_err("others look in").to_string();
        assert!(refused.contains("mode 750") && refused.contains("chmod 700"), "{refused}");
        assert_eq!((mode(folder.path()), mode(&file)), (0o750, 0o644), "nothing is changed");
        wide(folder.path(), 0o700);
        narrow(folder.path(), Content::Unknown).expect("it is narrow");
        assert_eq!(mode(&file), 0o644, "other things are left alone");
    }
}
