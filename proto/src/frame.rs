//! Length-delimited frames: a base-128 varint, then one protobuf message.
//!
//! Owns the boundary between a stream's bytes and messages. It never reads or writes a stream, and
//! knows nothing of what a frame means.
//!
//! Invariants, for any input: no panic; a frame over the limit is refused from its length alone;
//! nothing is reserved for bytes that have not arrived, so a peer's announcement costs no memory;
//! each call looks at no more than the length, so a stream that trickles in byte by byte costs
//! linear time; content is not copied.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use thiserror::Error;

/// Longest length prefix, in bytes: 35 bits, more than any frame has.
pub const LENGTH_BYTES_MAX: usize = 5;

/// Why bytes are not a frame. The peer must act; the stream cannot go on.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than allowed; told from its length alone.
    #[error("frame of {length} bytes, at most {max} are allowed")]
    TooLarge {
        /// As announced, in bytes.
        length: u64,
        /// As allowed, in bytes.
        max: usize,
    },
    /// The length is no varint of at most 5 bytes, or not the shortest one for its value.
    #[error("the frame's length is malformed: send the shortest varint, of at most 5 bytes")]
    Length,
    /// The bytes are no message of the expected type.
    #[error("the frame's content is malformed: send one protobuf message of the stream's frame type")]
    Content,
}

/// Appends a message with its length.
pub fn encode(message: &impl Message, out: &mut BytesMut) {
    message.encode_length_delimited(out).expect("a BytesMut grows up to usize::MAX bytes");
}

/// Takes the next whole frame's content off the front of `buffer`; `None` if it is not all there
/// yet.
///
/// Call it until it gives `None` after each read. A frame of zero bytes is whole: a message whose
/// fields all have their default values. The content shares the buffer's memory, so keeping a small
/// part of it keeps all that was read into the buffer at the time. At the end of a stream, bytes
/// left in `buffer` are a truncated frame.
///
/// # Errors
/// [`FrameError`] if the bytes can never become a frame of at most `frame_bytes_max` bytes (the
/// length prefix not counted). The buffer is as it was: calling again gives the same error.
pub fn split(buffer: &mut BytesMut, frame_bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(Announced { prefix_bytes, content_bytes }) = announced(buffer, frame_bytes_max)? else {
        return Ok(None);
    };
    if buffer.len() - prefix_bytes < content_bytes {
        return Ok(None);
    }
    buffer.advance(prefix_bytes);
    Ok(Some(buffer.split_to(content_bytes).freeze()))
}

/// What a length prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Length of the prefix itself.
    pub prefix_bytes: usize,
    /// Length of the content that follows it.
    pub content_bytes: usize,
}

/// Reads the length of the frame at the front of `bytes`, for readers that keep what arrives in
/// several pieces; `None` if the prefix is not all there yet.
///
/// # Errors
/// As [`split`].
pub fn announced(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<Announced>, FrameError> {
    let Some((length, prefix_bytes)) = length_prefix(bytes)? else {
        return Ok(None);
    };
    let content_bytes = usize::try_from(length)
        .ok()
        .filter(|bytes| *bytes <= frame_bytes_max)
        .ok_or(FrameError::TooLarge { length, max: frame_bytes_max })?;
    Ok(Some(Announced { prefix_bytes, content_bytes }))
}

/// Decodes a frame's content; its `bytes` fields are slices of it.
///
/// Unknown fields are skipped, so that newer peers may say more. The strings and lists that a
/// message allocates are bounded by the content's length times a small constant (a list of empty
/// messages is the worst case: two bytes of content for each element).
///
/// # Errors
/// [`FrameError::Content`] if it is malformed.
pub fn decode<M: Message + Default>(content: Bytes) -> Result<M, FrameError> {
    M::decode(content).map_err(|_| FrameError::Content)
}

/// Reads a length prefix: its value and its own size in bytes; `None` if it is not all there yet.
fn length_prefix(bytes: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            // One value, one spelling: a last byte of zero adds nothing.
            let shortest = *byte != 0 || index == 0;
            return if shortest { Ok(Some((value, index + 1))) } else { Err(FrameError::Length) };
        }
    }
    if bytes.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(FrameError::Length) }
}
