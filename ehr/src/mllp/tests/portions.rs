//! A stream that arrives in portions.
//!
//! Shared by the tests of the decoder and its fuzz target, so that the two cannot come to mean
//! different things. Whatever the portions are, no more is held than a message and a portion.

use super::{Block, Bounds, Broken, Decoder};

/// What the decoder may keep of a message that is too long.
const HEAD_BYTES: usize = 2048;

/// What a stream has, if its bytes arrive in pieces of these lengths, in turn.
///
/// # Panics
/// If the decoder holds more than it may.
pub(super) fn blocks_in(stream: &[u8], pieces: &[usize], bounds: Bounds) -> (Vec<Block>, Option<Broken>) {
    let mut decoder = Decoder::new(bounds);
    let (mut blocks, mut rest) = (Vec::new(), stream);
    let mut lengths = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(1).clamp(1, rest.len());
        decoder.buffer().extend_from_slice(&rest[..length]);
        rest = &rest[length..];
        loop {
            match decoder.next_block() {
                Ok(Some(block)) => blocks.push(block),
                Ok(None) => break,
                Err(broken) => return (blocks, Some(broken)),
            }
        }
        let held_bytes_max = HEAD_BYTES.max(bounds.message_bytes_max) + length + 8;
        assert!(decoder.buffer().len() <= held_bytes_max, "more is held than there is room for");
    }
    blocks.extend(std::iter::from_fn(|| decoder.finish()));
    (blocks, None)
}
