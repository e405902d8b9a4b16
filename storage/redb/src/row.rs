//! How a row lies in redb: expiry and value as in every engine, and behind them a checksum.
//!
//! The checksum (CRC32C, 4 bytes, big-endian) covers the table's number, the key's length, the key,
//! the expiry and the value: a row that turns up under another key, or in another table, is known
//! too. Every read checks it. Part of the format: it never changes within one.

use wardline_storage::engine::{EngineError, Table};
use wardline_storage::id::Timestamp;
use wardline_storage::value;

const CHECKSUM_BYTES: usize = 4;
/// Of the table that counts commits, which is not one of the state's.
pub(crate) const COMMITS_NUMBER: u8 = 255;

/// Writes a stored value into an emptied buffer.
pub(crate) fn join(table: Table, key: &[u8], expires: Timestamp, value: &[u8], into: &mut Vec<u8>) {
    value::join(expires, value, into);
    into.extend_from_slice(&checksum(table as u8, key, into).to_be_bytes());
}

/// Reads a stored value, if it is what was written.
pub(crate) fn split<'a>(
    doing: &'static str,
    table: Table,
    key: &[u8],
    stored: &'a [u8],
) -> Result<(Timestamp, &'a [u8]), EngineError> {
    checked(table as u8, key, stored).and_then(value::split).ok_or_else(|| damaged(doing, table.name()))
}

/// Bytes of the value within a stored one.
pub(crate) fn value_bytes(stored: &[u8]) -> usize {
    checkless(stored).and_then(|(rest, _)| value::split(rest)).map_or(0, |(_, value)| value.len())
}

/// How many batches the store has, as it is stored.
pub(crate) fn join_count(key: &[u8], count: u64) -> [u8; 8 + CHECKSUM_BYTES] {
    let mut stored = [0; 8 + CHECKSUM_BYTES];
    stored[..8].copy_from_slice(&count.to_be_bytes());
    let checksum = checksum(COMMITS_NUMBER, key, &stored[..8]);
    stored[8..].copy_from_slice(&checksum.to_be_bytes());
    stored
}

/// Reads it back; `None`: it is not what was written.
pub(crate) fn split_count(key: &[u8], stored: &[u8]) -> Option<u64> {
    checked(COMMITS_NUMBER, key, stored)?.try_into().map(u64::from_be_bytes).ok()
}

/// What a row of this table that is damaged says. Never a key or a value.
pub(crate) fn damaged(doing: &'static str, table: &str) -> EngineError {
    let detail = format!("a row of the table \"{table}\" does not match its checksum");
    EngineError::Corrupt { doing, detail }
}

fn checked<'a>(number: u8, key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (rest, found) = checkless(stored)?;
    (checksum(number, key, rest) == found).then_some(rest)
}

fn checkless(stored: &[u8]) -> Option<(&[u8], u32)> {
    let (rest, found) = stored.split_last_chunk::<CHECKSUM_BYTES>()?;
    Some((rest, u32::from_be_bytes(*found)))
}

fn checksum(number: u8, key: &[u8], rest: &[u8]) -> u32 {
    let [high, low] = (key.len() as u16).to_be_bytes();
    let head = crc32c::crc32c(&[number, high, low]);
    crc32c::crc32c_append(crc32c::crc32c_append(head, key), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOING: &str = "reading a row";

    fn stored(table: Table, key: &[u8]) -> Vec<u8> {
        let mut stored = vec![7; 3];
        join(table, key, Timestamp(5), b"value", &mut stored);
        stored
    }

    #[test]
    fn what_was_written_is_read() {
        let stored = stored(Table::Message, b"key");
        assert_eq!(stored.len(), 8 + 5 + 4);
        let (expires, value) = split(DOING, Table::Message, b"key", &stored).expect("it is whole");
        assert_eq!((expires, value), (Timestamp(5), &b"value"[..]));
        assert_eq!(value_bytes(&stored), 5);
        assert_eq!(split_count(b"count", &join_count(b"count", 7)), Some(7));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = stored(Table::Message, b"key");
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = split(DOING, Table::Message, b"key", &damaged).expect_err("it is damaged");
            assert!(error.to_string().contains("\"message\""), "{error}");
        }
        let count = join_count(b"count", 7);
        for bit in 0..count.len() * 8 {
            let mut damaged = count;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(split_count(b"count", &damaged), None);
        }
    }

    #[test]
    fn a_row_of_another_key_or_table_is_noticed() {
        let whole = stored(Table::Message, b"key");
        assert!(split(DOING, Table::Message, b"kez", &whole).is_err());
        assert!(split(DOING, Table::Receipt, b"key", &whole).is_err());
        // What is cut off one end of the key and put onto the value is no longer the same.
        assert!(split(DOING, Table::Message, b"ke", &[b"y", &whole[..]].concat()).is_err());
    }

    #[test]
    fn what_is_too_short_is_noticed() {
        let whole = stored(Table::Message, b"key");
        for bytes in 0..whole.len() {
            assert!(split(DOING, Table::Message, b"key", &whole[..bytes]).is_err(), "{bytes} bytes");
        }
        // A checksum alone may be right, and still be no row.
        let alone = checksum(Table::Message as u8, b"key", b"").to_be_bytes();
        assert!(split(DOING, Table::Message, b"key", &alone).is_err());
    }
}
