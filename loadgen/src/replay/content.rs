//! What the replayed messages say: bytes that prove which message they are.
//!
//! A payload carries the run's seed, the message's place in the trace, its sender and its
//! recipient, padded with seeded noise to the size of a chat message. It can be made again from the
//! seed alone, so a check compares every byte and needs nothing that the replay has kept.

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::trace::{Message, Trace};
use crate::seed::{Purpose, mix};

/// Media type of the payloads.
pub const CONTENT_TYPE: &str = "application/vnd.wardline.trace";

const MAGIC: &[u8; 4] = b"WLT1";
/// Magic, seed, index, sender, recipient.
const HEADER_BYTES: usize = 4 + 8 + 4 + 4 + 4;
/// Longest payload; the shortest is its header.
const PAYLOAD_BYTES_MAX: usize = 300;

/// Makes and recognises the payloads of a run.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    seed: u64,
}

impl Contents {
    /// Those of the run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Makes the payload of a message.
    pub fn payload(&self, index: usize, message: &Message) -> Bytes {
        let mut rng = SmallRng::seed_from_u64(mix(self.seed, Purpose::Payload, index as u64));
        // The square leans towards short: people write lines, not pages.
        let share = rng.random::<f64>().powi(2);
        let padding = ((PAYLOAD_BYTES_MAX - HEADER_BYTES) as f64 * share) as usize;
        let mut payload = BytesMut::with_capacity(HEADER_BYTES + padding);
        payload.put_slice(MAGIC);
        payload.put_u64(self.seed);
        payload.put_u32(index as u32);
        payload.put_u32(message.sender.0);
        payload.put_u32(message.recipient.0);
        payload.resize(HEADER_BYTES + padding, 0);
        rng.fill_bytes(&mut payload[HEADER_BYTES..]);
        payload.freeze()
    }

    /// Tells which message of the trace this is; `None` if any byte is not as this run made it.
    pub fn identify(&self, payload: &[u8], trace: &Trace) -> Option<usize> {
        let index = payload.get(12..16)?.try_into().map(u32::from_be_bytes).ok()? as usize;
        let message = trace.messages.get(index)?;
        (self.payload(index, message) == payload).then_some(index)
    }
}
