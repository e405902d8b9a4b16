//! A copy of the store in a folder of its own, which opens like the store itself.
//!
//! It has its name once it is whole, and its note beside it; all of it is durable then.

use std::fs;
use std::io;
use std::path::Path;

use wardline_storage::engine::EngineError;
use wardline_storage::id::Timestamp;

use crate::copy::{Copy, Following};
use crate::engine::{RedbEngine, unfinished};
use crate::file::StoreFile;
use crate::note::Note;
use crate::open::{self, STORE, UNFINISHED};
use crate::room;

const DOING: &str = "making a checkpoint";

impl RedbEngine {
    /// See [`wardline_storage::engine::Engine::checkpoint`].
    pub(crate) fn copy_store(&self, into: &Path) -> Result<(), EngineError> {
        let _one = self.copying.lock();
        if self.writer.lock().failed {
            return Err(unfinished(DOING, "an earlier commit failed"));
        }
        open::make_private(into).map_err(unwritable)?;
        room::ensure(DOING, into, self.size.rows(), self.size.bytes())?;
        let commits = {
            let file = StoreFile::create(&into.join(UNFINISHED), self.cache_bytes, &self.counts);
            let file = file.map_err(|error| unfinished(DOING, &error.to_string()))?;
            let _following = Following::begin(self, || {});
            let mut copy = Copy::begin(self, &file, DOING, Timestamp::ZERO);
            copy.run()?;
            copy.commits
        };
        let note = Note::open(into).map_err(unwritable)?;
        note.write_synced(commits).map_err(unwritable)?;
        fs::rename(into.join(UNFINISHED), into.join(STORE)).map_err(unwritable)?;
        open::sync_folder(into).map_err(unwritable)
    }
}

fn unwritable(error: io::Error) -> EngineError {
    unfinished(DOING, &error.to_string())
}
