//! What a message carries: who published it, which of theirs it is, when it was due; and bytes that
//! prove it whole.
//!
//! 48 bytes little-endian, then padding that repeats the check word, turned by its place: a bit
//! that changes, a piece that is missing or comes from another message shows. Pure.

use bytes::{BufMut, Bytes, BytesMut};

/// Length of a stamp: no payload is shorter.
pub const STAMP_BYTES: usize = 48;
/// Length of a word of the padding.
const WORD: usize = 8;

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which repetition of which run it belongs to.
    pub run: u64,
    /// The conversation.
    pub room: u32,
    /// Which of its publishers, and in the lowest bit whether it is urgent.
    pub stream: u32,
    /// Which of that publisher's messages in that conversation and priority, from 0.
    pub counter: u64,
    /// When it was due, from the run's origin.
    pub intended_ns: u64,
    /// When it was handed to the SDK.
    pub sent_ns: u64,
}

impl Stamp {
    /// Makes a payload of so many bytes, at least [`STAMP_BYTES`].
    pub fn payload(&self, bytes: usize) -> Bytes {
        let mut payload = BytesMut::with_capacity(bytes.max(STAMP_BYTES));
        payload.put_u64_le(self.run);
        payload.put_u32_le(self.room);
        payload.put_u32_le(self.stream);
        payload.put_u64_le(self.counter);
        payload.put_u64_le(self.intended_ns);
        payload.put_u64_le(self.sent_ns);
        let check = self.check(bytes as u64);
        payload.put_u64_le(check);
        let mut word = check;
        while payload.len() + WORD <= bytes {
            word = word.rotate_left(1);
            payload.put_u64_le(word);
        }
        let rest = bytes.saturating_sub(payload.len());
        payload.extend_from_slice(&word.rotate_left(1).to_le_bytes()[..rest]);
        payload.freeze()
    }

    /// Reads a payload; `None`: it is not one that [`Stamp::payload`] made, or not all of it.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (head, padding) = payload.split_at_checked(STAMP_BYTES)?;
        let word = |place: usize| {
            u64::from_le_bytes(head[place..place + WORD].try_into().expect("eight bytes are eight bytes"))
        };
        let half = |place: usize| {
            u32::from_le_bytes(head[place..place + 4].try_into().expect("four bytes are four bytes"))
        };
        let stamp = Self {
            run: word(0),
            room: half(8),
            stream: half(12),
            counter: word(16),
            intended_ns: word(24),
            sent_ns: word(32),
        };
        let check = word(40);
        if check != stamp.check(payload.len() as u64) {
            return None;
        }
        let mut expected = check;
        let (words, rest) = padding.as_chunks::<WORD>();
        let mut differs = 0;
        for word in words {
            expected = expected.rotate_left(1);
            differs |= u64::from_le_bytes(*word) ^ expected;
        }
        let last = expected.rotate_left(1).to_le_bytes();
        (differs == 0 && *rest == last[..rest.len()]).then_some(stamp)
    }

    /// Which publisher of the conversation.
    pub fn publisher(&self) -> u32 {
        self.stream >> 1
    }

    /// Whether it is urgent.
    pub fn is_urgent(&self) -> bool {
        self.stream & 1 == 1
    }

    fn check(&self, bytes: u64) -> u64 {
        let ids = (u64::from(self.room) << 32) | u64::from(self.stream);
        [ids, self.counter, self.intended_ns, self.sent_ns, bytes].into_iter().fold(self.run, fold)
    }
}

/// Mixes a word into a check word (the step of splitmix64's finaliser).
pub(super) fn fold(check: u64, word: u64) -> u64 {
    let z = (check ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z ^ (z >> 29)
}
