//! What a message of the comparison holds: its number, when it was due, and bytes that nobody can
//! have by chance.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Bytes before the filler.
pub(crate) const HEADER_BYTES: usize = 16;

/// Makes and recognises the messages of one measurement.
pub(crate) struct Messages {
    /// Random, so that no server gains by compressing, and a stray message of another measurement
    /// is seen.
    filler: Vec<u8>,
}

/// A message that was recognised.
pub(crate) struct Message {
    /// From 0, without holes.
    pub(crate) number: u64,
    /// When it was due, from the beginning of the measurement.
    pub(crate) due: Duration,
}

impl Messages {
    /// Messages of so many bytes, at least [`HEADER_BYTES`].
    pub(crate) fn new(bytes: usize, seed: u64) -> Self {
        let mut filler = vec![0; bytes.saturating_sub(HEADER_BYTES)];
        StdRng::seed_from_u64(seed).fill_bytes(&mut filler);
        Self { filler }
    }

    pub(crate) fn encode(&self, message: &Message) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + self.filler.len());
        bytes.put_u64(message.number);
        bytes.put_u64(message.due.as_nanos() as u64);
        bytes.put_slice(&self.filler);
        bytes.freeze()
    }

    /// `None`: not one of these.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Option<Message> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (due, filler) = rest.split_first_chunk()?;
        let due = Duration::from_nanos(u64::from_be_bytes(*due));
        (filler == self.filler).then(|| Message { number: u64::from_be_bytes(*number), due })
    }
}
