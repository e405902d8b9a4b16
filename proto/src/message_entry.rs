//! Reads the frame that arrives most, an entry with a message, in place: nothing is allocated,
//! nothing is copied.
//!
//! Owns a reader of one spelling: each field at most once, in the order of numbers, none unknown,
//! as prost writes it. It never refuses: whatever else protobuf allows, and whatever is malformed,
//! is left to [`frame::decode`]. Invariant, which a test holds it to: what it reads, prost reads
//! the same, but for texts, which are not checked here.
//!
//! [`frame::decode`]: crate::frame::decode

/// A pushed entry whose body is a message; see `wardline.v1.Entry` and `wardline.v1.Message`. No
/// `Debug`: it has content.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageEntry<'a> {
    /// `Entry.conversation_id`.
    pub conversation_id: &'a [u8],
    /// `Entry.sequence`.
    pub sequence: u64,
    /// `Entry.sender`; it may be no UTF-8, and then prost refuses the frame.
    pub sender: &'a [u8],
    /// `Entry.time_ms`.
    pub time_ms: u64,
    /// `Entry.expires_at_ms`.
    pub expires_at_ms: u64,
    /// `Message.client_message_id`.
    pub client_message_id: &'a [u8],
    /// `Message.content_type`; it may be no UTF-8, and then prost refuses the frame.
    pub content_type: &'a [u8],
    /// `Message.payload`.
    pub payload: &'a [u8],
    /// `Message.priority`.
    pub priority: i32,
    /// `Message.reply_to_sequence`.
    pub reply_to_sequence: u64,
}

impl<'a> MessageEntry<'a> {
    /// Reads the content of a `PushFrame`; `None`: it is something else, or spelt in another way.
    pub fn read(content: &'a [u8]) -> Option<Self> {
        let mut frame = Fields(content);
        let entry = frame.bytes(2)?;
        if !frame.0.is_empty() {
            return None;
        }
        let mut entry = Fields(entry);
        let mut read = Self {
            conversation_id: entry.bytes(1).unwrap_or_default(),
            sequence: entry.number(2)?.unwrap_or_default(),
            sender: entry.bytes(3).unwrap_or_default(),
            time_ms: entry.number(4)?.unwrap_or_default(),
            expires_at_ms: entry.number(5)?.unwrap_or_default(),
            ..Self::default()
        };
        let mut message = Fields(entry.bytes(6)?);
        read.client_message_id = message.bytes(1).unwrap_or_default();
        read.content_type = message.bytes(2).unwrap_or_default();
        read.payload = message.bytes(3).unwrap_or_default();
        read.priority = message.number(4)?.unwrap_or_default().try_into().ok()?;
        read.reply_to_sequence = message.number(5)?.unwrap_or_default();
        // Something is left: a field that nobody knows, or one that stands out of its order.
        (entry.0.is_empty() && message.0.is_empty()).then_some(read)
    }
}

/// The fields of a message that are not read yet.
struct Fields<'a>(&'a [u8]);

const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

/// Longest varint that is read here, in bytes: 63 bits, more than any sequence or time has.
const VARINT_BYTES_MAX: usize = 9;

impl<'a> Fields<'a> {
    /// Reads the next field if it is this one and of bytes; `None` leaves it where it is.
    #[inline]
    fn bytes(&mut self, number: u8) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(&[number << 3 | LENGTH_DELIMITED])?;
        let (length, rest) = varint(rest)?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Reads the next field if it is this one and a number; the outer `None`: a number that is not
    /// read here.
    #[inline]
    fn number(&mut self, number: u8) -> Option<Option<u64>> {
        let Some(rest) = self.0.strip_prefix(&[number << 3 | VARINT]) else { return Some(None) };
        let (value, rest) = varint(rest)?;
        self.0 = rest;
        Some(Some(value))
    }
}

#[inline]
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [byte, rest @ ..] if byte & 0x80 == 0 => Some((u64::from(*byte), rest)),
        [low, high, rest @ ..] if high & 0x80 == 0 => {
            Some((u64::from(low & 0x7f) | u64::from(*high) << 7, rest))
        }
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
