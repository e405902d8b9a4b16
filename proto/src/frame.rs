//! Length-delimited frames: a base-128 varint, then one protobuf message.

use bytes::{Bytes, BytesMut};
use prost::Message;
use thiserror::Error;

/// Why bytes are not a frame. The peer must act; the stream cannot go on.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than allowed; told from its length alone.
    #[error("frame of {length} bytes, at most {max} are allowed")]
    TooLarge {
        /// As announced.
        length: u64,
        /// As allowed.
        max: usize,
    },
    /// The length is no varint of at most 5 bytes.
    #[error("the frame's length is malformed")]
    Length,
    /// The bytes are no message of the expected type.
    #[error("the frame's content is malformed")]
    Content,
}

/// Appends a message with its length.
pub fn encode(message: &impl Message, out: &mut BytesMut) {
    let _ = (message, out);
    todo!()
}

/// Takes the next whole frame's content off the front of `buffer`; `None` if it is not all there yet.
///
/// # Errors
/// [`FrameError`] if the bytes can never become a frame of at most `frame_bytes_max` bytes.
pub fn split(buffer: &mut BytesMut, frame_bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let _ = (buffer, frame_bytes_max);
    todo!()
}

/// Decodes a frame's content.
///
/// # Errors
/// [`FrameError::Content`] if it is malformed.
pub fn decode<M: Message + Default>(content: Bytes) -> Result<M, FrameError> {
    M::decode(content).map_err(|_| FrameError::Content)
}
