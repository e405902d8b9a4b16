//! Text that is kept once and handed out many times: names and media types.
//!
//! Owns [`Text`] and the memory of the texts that a client met lately. Invariants: `Debug` shows a
//! length, never the text; what is remembered is bounded in number and length, so nobody can make a
//! client hold much by inventing names.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A name or a media type. Cheap to clone: clones share the text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// Gives the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<Text> for String {
    fn eq(&self, other: &Text) -> bool {
        **self == *other.0
    }
}

/// Texts that are remembered; each has one bucket, where it may be replaced. A power of two.
const BUCKETS: usize = 64;
/// Longest text that is remembered.
const REMEMBERED_BYTES_MAX: usize = 256;

/// The texts that were met lately.
#[derive(Default)]
pub(crate) struct Texts {
    /// Empty until the first text.
    buckets: Vec<Text>,
}

impl Texts {
    /// Gives the text that these bytes are; `None`: they are no UTF-8.
    pub(crate) fn share(&mut self, bytes: &[u8]) -> Option<Text> {
        if bytes.len() > REMEMBERED_BYTES_MAX {
            return str::from_utf8(bytes).ok().map(Text::from);
        }
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, Text::default());
        }
        let bucket = &mut self.buckets[bucket(bytes)];
        if bucket.as_bytes() != bytes {
            *bucket = str::from_utf8(bytes).ok()?.into();
        }
        Some(bucket.clone())
    }
}

/// Which bucket is a text's: told from its ends, where names differ.
fn bucket(bytes: &[u8]) -> usize {
    let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)), 0),
    };
    let mixed = (first ^ last.rotate_left(29) ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - BUCKETS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_was_asked_for() {
        let mut texts = Texts::default();
        for round in 0..2 {
            for number in 0..1000 {
                let text = format!("person-{number}@ward-{}", number % 7);
                assert_eq!(texts.share(text.as_bytes()), Some(text.as_str().into()), "round {round}");
            }
        }
        assert_eq!(texts.share(b""), Some(Text::default()));
        assert_eq!(texts.share(&[b'a'; 1000]).map(|text| text.len()), Some(1000));
        assert_eq!(texts.share(&[0xff]), None);
        assert_eq!(texts.share(&[0xff; 1000]), None);
        assert!(texts.buckets.iter().all(|text| text.len() <= REMEMBERED_BYTES_MAX));
    }

    #[test]
    fn a_text_met_again_is_shared() {
        let mut texts = Texts::default();
        let first = texts.share(b"ann").expect("ASCII");
        let again = texts.share(b"ann").expect("ASCII");
        assert!(Arc::ptr_eq(&first.0, &again.0));
        assert_eq!(format!("{again:?}"), "Text(3 bytes)");
    }
}
