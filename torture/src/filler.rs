//! A file that takes the room of a volume: all that the broker has not got already.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FallocateFlags, fallocate};

const NAME: &str = "filler";
/// Written at a time where the rest of the room is less than can be reserved.
const BLOCK: usize = 4096;

/// See the module's documentation. The room is back when it is dropped.
pub(crate) struct Filler {
    path: PathBuf,
}

impl Filler {
    /// Takes all of a volume but so many bytes.
    pub(crate) fn take(folder: &Path, left_bytes: u64) -> anyhow::Result<Self> {
        let filler = Self { path: folder.join(NAME) };
        filler.take_more(left_bytes)?;
        Ok(filler)
    }

    /// Takes again what there is but so many bytes.
    pub(crate) fn take_more(&self, left_bytes: u64) -> anyhow::Result<()> {
        let folder = self.path.parent().context("it lies in a folder")?;
        let status = rustix::fs::statvfs(folder).context("the volume's room cannot be seen")?;
        let bytes = (status.f_bavail * status.f_frsize).saturating_sub(left_bytes);
        let file = File::options().create(true).append(true).open(&self.path);
        let file = file.context("the filler cannot be made")?;
        let has = file.metadata().context("the filler cannot be seen")?.len();
        if bytes > 0 {
            match fallocate(&file, FallocateFlags::empty(), has, bytes) {
                // Somebody else took the last of it meanwhile.
                Ok(()) | Err(rustix::io::Errno::NOSPC) => {}
                Err(error) => return Err(error).context("the filler cannot grow"),
            }
        }
        if left_bytes == 0 { fill(&file) } else { Ok(()) }
    }
}

/// Writes until nothing more fits.
fn fill(mut file: &File) -> anyhow::Result<()> {
    loop {
        match file.write_all(&[7; BLOCK]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error).context("the filler cannot grow"),
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // If it stays, the volume goes with it.
        let _ = fs::remove_file(&self.path);
    }
}
