//! Room on the disk: a copy does not begin without it.
//!
//! A disk that fills up under redb fails the next commit, and the broker stops with the first that
//! fails. So reclaims and checkpoints ask first, and fail without harm. Commits do not ask: the
//! broker refuses messages in time, by its reserve, and has ballast for what it does not refuse.

use std::path::Path;

use wardline_storage::engine::EngineError;
use wardline_storage::room;

use crate::engine::unfinished;

const MIB: u64 = 1 << 20;
/// What redb needs beside the rows, and what may be committed meanwhile.
const ASIDE_BYTES: u64 = 16 * MIB;
/// Most that a row takes beside its key and value: lengths, expiry, checksum.
const ROW_OVERHEAD_BYTES: u64 = 24;

/// Makes sure that the disk of a folder has room for a copy of so many rows and bytes.
pub(crate) fn ensure(doing: &'static str, folder: &Path, rows: u64, bytes: u64) -> Result<(), EngineError> {
    let room = room::of(folder).map_err(|error| unfinished(doing, &error.to_string()))?;
    ensure_free(doing, room.free_bytes, wanted(rows, bytes))
}

/// Pages of a tree that grew by chance are two thirds full, and those of a copy fuller.
fn wanted(rows: u64, bytes: u64) -> u64 {
    (rows * ROW_OVERHEAD_BYTES + bytes) * 3 / 2 + ASIDE_BYTES
}

fn ensure_free(doing: &'static str, free: u64, wanted: u64) -> Result<(), EngineError> {
    if free >= wanted {
        return Ok(());
    }
    let (missing, free, wanted) = ((wanted - free).div_ceil(MIB), free / MIB, wanted.div_ceil(MIB));
    Err(unfinished(
        doing,
        &format!(
            "the disk has {free} MiB free, and this takes {wanted} MiB; make room for {missing} MiB more"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_asks_for_more_than_its_rows() {
        assert_eq!(wanted(0, 0), 16 * MIB);
        assert_eq!(wanted(1_000_000, 300_000_000), 324_000_000 / 2 * 3 + 16 * MIB);
    }

    #[test]
    fn too_little_is_refused_and_said_in_whole_mebibytes() {
        assert!(ensure_free("reclaiming", 7 * MIB, 7 * MIB).is_ok());
        let error = ensure_free("reclaiming", 7 * MIB - 1, 7 * MIB).expect_err("a byte is missing");
        assert_eq!(
            error.to_string(),
            "storage failed while reclaiming: the disk has 6 MiB free, and this takes 7 MiB; make room for 1 MiB more"
        );
    }
}
