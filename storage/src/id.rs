//! Opaque, fixed-width identifiers, sequence numbers and times.
//!
//! Keys of the store are made of these and of nothing else, because keys leak into an engine's
//! manifests and logs. How people's names become a [`UserId`] is the broker's business.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Width in bytes.
            pub const BYTES: usize = 16;

            /// Wraps 16 opaque bytes.
            pub const fn new(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Wraps a slice; `None` unless it is 16 bytes long.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in self.0 {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

opaque_id!(
    /// A tenant: an organisation whose people never see those of another.
    TenantId
);
opaque_id!(
    /// A person or system within a tenant. Ids of different tenants never collide.
    UserId
);
opaque_id!(
    /// A device of a user.
    DeviceId
);
opaque_id!(
    /// A conversation.
    ConversationId
);
opaque_id!(
    /// A client's idempotency key for a message.
    ClientMessageId
);
opaque_id!(
    /// What an issuer began when somebody signed in there, and can end.
    SignInId
);
opaque_id!(
    /// A patient: the bytes of the identifier that made them known.
    PatientId
);
opaque_id!(
    /// A number that an authority gave to a patient.
    IdentifierId
);
opaque_id!(
    /// An encounter: one stay or visit of a patient.
    EncounterId
);
opaque_id!(
    /// A ward, where encounters stand.
    WardId
);
opaque_id!(
    /// A bed of a ward.
    BedId
);
opaque_id!(
    /// An event of a source, by the source's own name for it.
    EventId
);

impl EncounterId {
    /// Its care conversation, which has the bytes of its id.
    pub const fn care_conversation(self) -> ConversationId {
        ConversationId(self.0)
    }
}

/// A key that tokens are signed with: its thumbprint (RFC 7638, with SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// Width in bytes.
    pub const BYTES: usize = 32;

    /// Wraps a thumbprint.
    pub const fn new(thumbprint: [u8; 32]) -> Self {
        Self(thumbprint)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A map by ids, for the committer's path. Ids are random or keyed hashes, which nobody chooses: a
/// quick hash with a seed of its own will do.
pub type ById<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Place of an entry in its conversation, from 1 without holes. 0 stands for "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);
    /// Beyond every entry.
    pub const MAX: Self = Self(u64::MAX);

    /// The one after this.
    ///
    /// # Panics
    /// After 2⁶⁴ entries, which a conversation does not live to see.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one before this; zero stays zero.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Wall-clock time: Unix time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before every time: nothing has expired yet.
    pub const ZERO: Self = Self(0);
    /// Later than every time: "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// This much later; saturates at [`Timestamp::NEVER`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
