//! What a sender says of a field: nothing, that it is empty now, or what it is.
//!
//! HL7 tells the three apart (v2.5.1, section 2.5.3), and so must everything that is made of it: an
//! update without a ward leaves the ward, one with `""` takes it away.

/// A field as a sender gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Given<T> {
    /// Nothing was said: what is known stays.
    #[default]
    Absent,
    /// It is empty from now on.
    Null,
    /// It is this from now on.
    Value(T),
}

impl<T> Given<T> {
    /// The value, if one was given.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The same for a reference.
    pub fn as_ref(&self) -> Given<&T> {
        match self {
            Self::Value(value) => Given::Value(value),
            Self::Null => Given::Null,
            Self::Absent => Given::Absent,
        }
    }

    /// Makes something else of the value.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Value(value) => Given::Value(make(value)),
            Self::Null => Given::Null,
            Self::Absent => Given::Absent,
        }
    }

    /// The same, if that may fail.
    ///
    /// # Errors
    /// What `make` fails with.
    pub fn try_map<U, E>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<Given<U>, E> {
        Ok(match self {
            Self::Value(value) => Given::Value(make(value)?),
            Self::Null => Given::Null,
            Self::Absent => Given::Absent,
        })
    }

    /// Whether nothing was said.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
