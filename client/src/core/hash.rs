//! Hashing of conversation ids: one look-up or two per entry, so it may not cost more than what is
//! looked up.
//!
//! The ids are keyed hashes that the broker gave out, and a seed of each map's own is mixed in:
//! enough against accidents and against peers who cannot choose ids. Not for keys that somebody
//! else chooses.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::types::ConversationId;

/// A map by conversation.
pub(crate) type ByConversation<V> = HashMap<ConversationId, V, Seeded>;

/// Odd, and its bits look random (the golden ratio).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A seed that is drawn for each map.
#[derive(Clone)]
pub(crate) struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        Self(RandomState::new().hash_one(MULTIPLIER))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Fold;
    fn build_hasher(&self) -> Fold {
        Fold(self.0)
    }
}

/// Folds words together by a multiplication that keeps both halves of the product.
pub(crate) struct Fold(u64);

impl Fold {
    #[inline]
    fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        self.0 = (product as u64) ^ ((product >> u64::BITS) as u64);
    }
}

impl Hasher for Fold {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.add(u64::from(*byte));
        }
    }

    /// The length of an id, always the same.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
