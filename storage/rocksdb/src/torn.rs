//! The record that was being written when the power went.
//!
//! RocksDB's log drops a last record that is cut short, but calls one damage that has its full
//! length and not its full content, as a file system leaves it that had noted the length and not
//! written all pages. Such a record was never acknowledged: whatever is written is synced before
//! anything else is written, so nothing whole can follow it. Knows the layout of RocksDB's logs
//! (blocks of 32 KiB; fragments with checksum, length and kind), which manifests share, and reads
//! nothing else of them. Drops nothing that a whole fragment follows.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Fragments do not cross the bounds of these.
const BLOCK: usize = 32 * 1024;
/// The least that a disk writes as a whole, in bytes.
const SECTOR: usize = 512;
/// Checksum (4 bytes), length (2, low byte first), kind.
const HEADER: usize = 7;
/// Kinds of fragments: a record as a whole, its first part, others, its last.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
#[cfg(test)]
const LAST: u8 = 4;

/// How many bytes a log has before its last record, if just that one is torn. `None`: it is whole,
/// or damaged elsewhere.
pub(crate) fn bytes_before(log: &[u8]) -> Option<usize> {
    let (mut at, mut record) = (0, None);
    while at < log.len() {
        if BLOCK - at % BLOCK < HEADER {
            at += BLOCK - at % BLOCK;
            continue;
        }
        let Some((kind, length)) = fragment(log, at) else {
            let begin = record.unwrap_or(at);
            return (!is_anything_whole(log, at + 1)).then_some(begin);
        };
        record = match kind {
            FIRST => Some(at),
            MIDDLE => record,
            _ => None,
        };
        at += HEADER + length;
    }
    None
}

/// Whether a sector of what was written from here on never reached the disk. Damage to what did
/// leaves no such hole.
pub(crate) fn has_hole(log: &[u8], mut from: usize) -> bool {
    while from < log.len() {
        let end = ((from / SECTOR + 1) * SECTOR).min(log.len());
        if log[from..end].iter().all(|byte| *byte == 0) {
            return true;
        }
        from = end;
    }
    false
}

/// Replaces a file by its first so many bytes; whoever has a link to the old file keeps that as it
/// was.
pub(crate) fn cut(path: &Path, content: &[u8], bytes: usize) -> io::Result<()> {
    let beside = path.with_extension("whole");
    let mut file = File::create(&beside)?;
    file.write_all(&content[..bytes])?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Kind and length of the fragment at a place, if its checksum is right.
fn fragment(log: &[u8], at: usize) -> Option<(u8, usize)> {
    let header = log.get(at..at + HEADER)?;
    let checksum = u32::from_le_bytes(header[..4].try_into().ok()?);
    let (length, kind) = (usize::from(u16::from_le_bytes([header[4], header[5]])), header[6]);
    // Of nothing, zeros would be a checksum that holds.
    if kind == 0 || at % BLOCK + HEADER + length > BLOCK {
        return None;
    }
    let covered = log.get(at + HEADER - 1..at + HEADER + length)?;
    (masked(crc32c::crc32c(covered)) == checksum).then_some((kind, length))
}

/// As RocksDB stores checksums, since those of data that holds checksums are bad ones.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Whether a record begins anywhere from here on: then what stands before was complete when that
/// was written.
fn is_anything_whole(log: &[u8], from: usize) -> bool {
    let begins = |at: usize| matches!(log.get(at + HEADER - 1), Some(&(FULL | FIRST)));
    (from..log.len()).any(|at| begins(at) && fragment(log, at).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(log: &mut Vec<u8>, mut content: &[u8]) {
        let mut is_first = true;
        loop {
            let left = BLOCK - log.len() % BLOCK;
            if left < HEADER {
                log.resize(log.len() + left, 0);
                continue;
            }
            let (part, rest) = content.split_at(content.len().min(left - HEADER));
            let kind = match (is_first, rest.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            let covered = [&[kind], part].concat();
            log.extend(masked(crc32c::crc32c(&covered)).to_le_bytes());
            log.extend((part.len() as u16).to_le_bytes());
            log.extend(covered);
            (content, is_first) = (rest, false);
            if content.is_empty() {
                return;
            }
        }
    }

    /// Records of these lengths, and where each begins.
    fn log(lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut log, mut begins) = (Vec::new(), Vec::new());
        for (number, length) in lengths.iter().enumerate() {
            begins.push(log.len());
            append(&mut log, &vec![number as u8 + 10; *length]);
        }
        (log, begins)
    }

    #[test]
    fn a_whole_log_is_not_torn() {
        assert_eq!(bytes_before(&[]), None);
        assert_eq!(bytes_before(&log(&[10, 32_754, 100_000, 3, 32_761, 0]).0), None);
    }

    #[test]
    fn a_last_record_with_pages_of_zeros_is_torn() {
        for lengths in [&[900, 5_000][..], &[40_000, 70_000], &[32_740, 9_000], &[12_000]] {
            let (whole, begins) = log(lengths);
            let begin = *begins.last().expect("there is one");
            for page in (begin / 4096)..=(whole.len() - 1) / 4096 {
                let zeros = (page * 4096).max(begin)..((page + 1) * 4096).min(whole.len());
                let mut torn = whole.clone();
                torn[zeros].fill(0);
                assert_eq!(bytes_before(&torn), Some(begin), "page {page} of {lengths:?}");
                assert!(has_hole(&torn, begin) && !has_hole(&whole, begin), "page {page} of {lengths:?}");
            }
            for cut in begin + 1..whole.len() {
                if cut % 100 < 2 {
                    assert_eq!(bytes_before(&whole[..cut]), Some(begin), "cut at {cut} of {lengths:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_whole_record_follows_is_not_torn() {
        let (whole, begins) = log(&[900, 70_000, 200, 300]);
        for at in (0..begins[3]).step_by(37) {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert_eq!(bytes_before(&damaged), None, "byte {at}");
            let end = (at + 4096).min(begins[3]);
            damaged[at..end].fill(0);
            assert_eq!(bytes_before(&damaged), None, "zeros from {at}");
        }
    }
}
