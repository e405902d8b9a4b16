//! How a stored value lies in bytes: 8 bytes of expiry, big-endian, then the value.
//!
//! The same in every table, whether its records expire or not. Part of the format: it never changes
//! within one. Reading trusts no length.

use crate::id::Timestamp;

const EXPIRY_BYTES: usize = 8;

/// Writes a stored value into an emptied buffer.
pub fn join(expires: Timestamp, value: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&expires.0.to_be_bytes());
    into.extend_from_slice(value);
}

/// Reads a stored value; `None` if it is too short to be one.
pub fn split(stored: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (expires, value) = stored.split_first_chunk::<EXPIRY_BYTES>()?;
    Some((Timestamp(u64::from_be_bytes(*expires)), value))
}
