//! The ids that the application handles: 16 bytes, written as 32 hexadecimal digits.
//!
//! Some are drawn here, by whoever makes what they name; the others are the broker's, which derives
//! them from names. Nobody can tell from an id what it names.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = hex::FromHexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }
    };
}

macro_rules! drawn {
    ($($name:ident),*) => {$(
        impl $name {
            /// Draws a new random one.
            ///
            /// # Panics
            /// If the operating system gives no randomness.
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).expect("the operating system gives randomness");
                Self(bytes)
            }
        }
    )*};
}

id!(
    /// A conversation.
    ConversationId
);
id!(
    /// A device: made once, kept by the application.
    DeviceId
);
id!(
    /// The idempotency key of a message.
    MessageId
);

id!(
    /// A patient.
    PatientId
);
id!(
    /// An encounter.
    EncounterId
);
id!(
    /// A hash that the broker made: of an event's source and id, or of a registrar's name.
    Hash
);

drawn!(ConversationId, DeviceId, MessageId);

impl EncounterId {
    /// The conversation whose members are those whom the record names for the encounter.
    pub fn care_conversation(self) -> ConversationId {
        ConversationId(self.0)
    }
}

impl MessageId {
    /// Draws a new one that begins with the time, as a UUID of version 7 does, with the nanoseconds
    /// where that leaves room for them (RFC 9562, sections 5.7 and 6.2, method 3): ids of one
    /// publisher ascend, so the broker's store keeps them side by side, and knows without looking
    /// that it has not seen one before.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    pub fn fresh() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut id = Self::random();
        let of_a_millisecond = u64::from(since_epoch.subsec_nanos() % 1_000_000);
        id.0[..6].copy_from_slice(&(since_epoch.as_millis() as u64).to_be_bytes()[2..]);
        // 20 bits, around the version and the variant: 12 and 8 of them.
        id.0[6] = 0x70 | (of_a_millisecond >> 16) as u8;
        id.0[7] = (of_a_millisecond >> 8) as u8;
        id.0[8] = 0x80 | ((of_a_millisecond >> 2) as u8 & 0x3f);
        id.0[9] = (id.0[9] & 0x3f) | (of_a_millisecond << 6) as u8;
        id
    }
}
