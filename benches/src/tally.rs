//! Readers that only count: the same receiver for the broker and for the limit that it is held
//! against.
//!
//! A reader takes a stream's chunks as they come and counts the frames in them by their lengths,
//! without looking into them. Frames shorter than a payload (headers of lanes, notices) are not
//! counted.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::message::PAYLOAD_BYTES;

/// Chunks taken from a stream at a time.
const CHUNKS: usize = 32;

/// Messages that arrived, at all readers together.
#[derive(Debug)]
pub struct Tally {
    frames: AtomicU64,
    /// How many are waited for.
    target: AtomicU64,
    reached: Notify,
}

impl Default for Tally {
    fn default() -> Self {
        Self { frames: AtomicU64::new(0), target: AtomicU64::new(u64::MAX), reached: Notify::new() }
    }
}

impl Tally {
    /// How many have arrived.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Waits until so many have arrived in all. One waits at a time.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub async fn reach(&self, target: u64) {
        self.target.store(target, Ordering::SeqCst);
        while self.frames.load(Ordering::SeqCst) < target {
            self.reached.notified().await;
        }
    }

    fn add(&self, frames: u64) {
        let before = self.frames.fetch_add(frames, Ordering::SeqCst);
        if before + frames >= self.target.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    /// Counts what arrives on a stream until it ends. `before` is what was read of it already.
    ///
    /// # Cancellation
    /// What was taken from the stream is counted.
    pub async fn count(&self, mut stream: quinn::RecvStream, before: &[u8]) {
        let mut counter = FrameCounter::default();
        self.add(counter.count(before));
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        while let Ok(Some(taken)) = stream.read_chunks(&mut chunks).await {
            self.add(chunks[..taken].iter_mut().map(|chunk| counter.count(&std::mem::take(chunk))).sum());
        }
    }
}

/// Where in a frame a stream stands.
#[derive(Debug, Default)]
struct FrameCounter {
    /// What has arrived of a length prefix.
    length: u64,
    prefix_bits: u32,
    /// What is still to come of the content.
    left: u64,
    is_message: bool,
}

impl FrameCounter {
    /// Takes bytes in; how many messages ended in them.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len() as u64);
                self.left -= taken;
                bytes = &bytes[taken as usize..];
                messages += u64::from(self.left == 0 && self.is_message);
                continue;
            }
            bytes = rest;
            self.length |= u64::from(first & 0x7f) << self.prefix_bits;
            self.prefix_bits += 7;
            if first & 0x80 == 0 {
                (self.left, self.is_message) = (self.length, self.length >= PAYLOAD_BYTES as u64);
                (self.length, self.prefix_bits) = (0, 0);
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        for length in [3, 300, 0, 256, 255, 70_000] {
            let mut left = length;
            while left >= 0x80 {
                stream.push(left as u8 | 0x80);
                left >>= 7;
            }
            stream.push(left as u8);
            stream.resize(stream.len() + length, 0xff);
        }
        for piece in [1, 2, 7, 255, 1_400, stream.len()] {
            let mut counter = FrameCounter::default();
            let counted: u64 = stream.chunks(piece).map(|chunk| counter.count(chunk)).sum();
            assert_eq!(counted, 3, "in pieces of {piece}");
        }
    }
}
