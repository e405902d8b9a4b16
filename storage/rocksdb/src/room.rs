//! Room on the disk: what can wait does not begin without it.
//!
//! A flush that meets a full disk makes RocksDB refuse commits until it has found room for itself,
//! and the broker stops with the first that is refused. So reclaims and checkpoints ask first, and
//! fail without harm. Commits and RocksDB's own compactions do not ask: the broker refuses messages
//! in time, by its reserve, and has ballast for what it does not refuse ([`crate::spare`]).

use std::fs;
use std::os::unix::fs::MetadataExt;

use rocksdb::{LiveFile, properties};
use wardline_storage::engine::{EngineError, Table};
use wardline_storage::room;

use crate::engine::{RocksEngine, unfinished};
use crate::options;

const MIB: u64 = 1 << 20;

/// A table file, as far as room goes.
#[derive(Clone, Copy)]
struct Part {
    bytes: u64,
    /// One of the newest, or in the level that all of these are merged into together.
    is_merged_at_once: bool,
    /// It stays when it is replaced: something else has a link to it, like a checkpoint.
    is_held: bool,
}

impl RocksEngine {
    /// Makes sure that there is room for a flush of every table, and for the log file that begins
    /// with it.
    pub(crate) fn ensure_room_to_flush(&self, doing: &'static str) -> Result<(), EngineError> {
        self.ensure_room(doing, self.room_to_flush())
    }

    /// Makes sure that there is room to rewrite a table, which has these files.
    pub(crate) fn ensure_room_to_rewrite(
        &self,
        doing: &'static str,
        table: Table,
        files: &[LiveFile],
    ) -> Result<(), EngineError> {
        let base = self.property(table, properties::BASE_LEVEL);
        let part = |file: &LiveFile| {
            let path = self.path.join(file.name.trim_start_matches('/'));
            let is_held = fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1);
            let is_merged_at_once = file.level == 0 || u64::try_from(file.level) == Ok(base);
            Part { bytes: file.size as u64, is_merged_at_once, is_held }
        };
        self.ensure_room(doing, to_rewrite(&files.iter().map(part).collect::<Vec<_>>()))
    }

    fn ensure_room(&self, doing: &'static str, wanted: u64) -> Result<(), EngineError> {
        let room = room::of(&self.path).map_err(|error| unfinished(doing, &error.to_string()))?;
        ensure(doing, room.free_bytes, wanted)
    }
}

/// About what is written before the files that it replaces are gone, at most: by one compaction, or
/// by the one that merges the newest files. What is held is not gone then.
fn to_rewrite(parts: &[Part]) -> u64 {
    let bytes =
        |of: fn(&Part) -> bool| parts.iter().filter(|part| of(part)).map(|part| part.bytes).sum::<u64>();
    let all = bytes(|_| true);
    let merged = bytes(|part| part.is_merged_at_once);
    all.min(options::COMPACTION_BYTES_MAX.max(merged)) + bytes(|part| part.is_held)
}

fn ensure(doing: &'static str, free: u64, wanted: u64) -> Result<(), EngineError> {
    if free >= wanted {
        return Ok(());
    }
    let (free, wanted) = (free / MIB, wanted.div_ceil(MIB));
    Err(unfinished(doing, &format!("the disk has {free} MiB free, and this takes {wanted} MiB; make room")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(mib: u64) -> Part {
        Part { bytes: mib * MIB, is_merged_at_once: false, is_held: false }
    }

    fn merged(mib: u64) -> Part {
        Part { is_merged_at_once: true, ..part(mib) }
    }

    #[test]
    fn a_small_table_takes_its_own_size_and_a_large_one_a_compaction() {
        assert_eq!(to_rewrite(&[]), 0);
        assert_eq!(to_rewrite(&[merged(3), part(7)]), 10 * MIB);
        assert_eq!(to_rewrite(&[merged(30), part(9000)]), 256 * MIB);
    }

    #[test]
    fn the_newest_files_are_merged_into_the_base_level_at_once() {
        assert_eq!(to_rewrite(&[merged(100), merged(120), merged(250), part(9000)]), 470 * MIB);
        // The broker's reserve, 512 MiB by default, has room for the most that gathers.
        assert!(to_rewrite(&[merged(7 * 32), merged(256), part(9000)]) < 512 * MIB);
    }

    #[test]
    fn what_a_checkpoint_holds_is_not_given_back() {
        let held = Part { is_held: true, ..part(100) };
        assert_eq!(to_rewrite(&[held, part(9000)]), 356 * MIB);
    }

    #[test]
    fn too_little_is_refused_and_said_in_whole_mebibytes() {
        assert!(ensure("reclaiming", 7 * MIB, 7 * MIB).is_ok());
        let error = ensure("reclaiming", 7 * MIB - 1, 7 * MIB).expect_err("a byte is missing");
        assert_eq!(
            error.to_string(),
            "storage failed while reclaiming: the disk has 6 MiB free, and this takes 7 MiB; make room"
        );
    }
}
