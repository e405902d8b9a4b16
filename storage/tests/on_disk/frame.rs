//! The bytes of a log: a header, then a frame for each batch.
//!
//! Each frame has a checksum over its number, the checksum before it and its content, so that none
//! can go missing. A frame is a length (4 bytes), the checksum (8), the content.

use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;
use wardline_storage::engine::{Mutation, Table};
use wardline_storage::id::Timestamp;

/// What a log begins with, by its version.
pub(crate) const MAGIC: [&[u8; 8]; 2] = [b"wl-log-1", b"wl-log-2"];
/// The magic, the number of the first frame less one, and a checksum.
pub(crate) const HEADER: usize = 24;
const FRAME: usize = 12;

pub(crate) fn checksum(before: u64, content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(before);
    hasher.write(content);
    hasher.finish()
}

pub(crate) fn header(magic: &[u8; 8], base: u64) -> Vec<u8> {
    let mut header = [&magic[..], &base.to_be_bytes()].concat();
    header.extend(checksum(0, &header).to_be_bytes());
    header
}

/// Appends a frame; gives its checksum.
pub(crate) fn append(log: &mut Vec<u8>, before: u64, batch: &[Mutation]) -> u64 {
    let content: Vec<u8> = batch.iter().flat_map(encode).collect();
    let checksum = checksum(before, &content);
    log.extend(u32::try_from(content.len()).expect("a batch is short").to_be_bytes());
    log.extend(checksum.to_be_bytes());
    log.extend(content);
    checksum
}

/// The content of the frame that a log begins with, its checksum, and where it ends. `None`: there
/// is none that is whole.
pub(crate) fn first(log: &[u8], before: u64, trusts: bool) -> Option<(&[u8], u64, usize)> {
    let length = usize::try_from(u32::from_be_bytes(log.get(..4)?.try_into().ok()?)).ok()?;
    let noted = u64::from_be_bytes(log.get(4..FRAME)?.try_into().ok()?);
    let content = log.get(FRAME..FRAME + length)?;
    (trusts || checksum(before, content) == noted).then_some((content, noted, FRAME + length))
}

fn encode(mutation: &Mutation) -> Vec<u8> {
    let (kind, value, expires) = match mutation {
        Mutation::Put { value, expires, .. } | Mutation::Insert { value, expires, .. } => {
            (1, &value[..], *expires)
        }
        Mutation::Delete { .. } => (2, &[][..], Timestamp::NEVER),
    };
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a part is short").to_be_bytes();
    let key = mutation.key();
    let head = [&[kind, mutation.table() as u8][..], &expires.0.to_be_bytes()].concat();
    [&head, &length(key)[..], key, &length(value)[..], value].concat()
}

/// The mutations of a frame. Of one that ends too early, those before the end.
pub(crate) fn decode(mut content: &[u8]) -> Vec<Mutation> {
    let mut batch = Vec::new();
    while let Some(mutation) = decode_one(&mut content) {
        batch.push(mutation);
    }
    batch
}

fn decode_one(content: &mut &[u8]) -> Option<Mutation> {
    let mut take = |length: usize| {
        let (part, rest) = content.split_at_checked(length)?;
        *content = rest;
        Some(part)
    };
    let kind = take(1)?[0];
    let table = *Table::ALL.get(usize::from(take(1)?[0]))?;
    let expires = Timestamp(u64::from_be_bytes(take(8)?.try_into().ok()?));
    let mut part = || {
        let length = u32::from_be_bytes(take(4)?.try_into().ok()?);
        take(usize::try_from(length).ok()?).map(Bytes::copy_from_slice)
    };
    let (key, value) = (part()?, part()?);
    Some(match kind {
        1 => Mutation::Put { table, key, value, expires },
        _ => Mutation::Delete { table, key },
    })
}
