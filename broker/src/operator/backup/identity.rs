//! Which store a backup is of.
//!
//! The identity is derived from the store's secret, which is drawn once and is part of the state:
//! so it needs no record of its own, and a restored store is the same store. The secret cannot be
//! found from it, and no id is made like it.

use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use wardline_storage::model::IdSecret;

/// The identity of a store: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreIdentity(String);

/// Its length in digits.
const DIGITS: usize = 32;

impl StoreIdentity {
    /// The identity of the store that has this secret.
    pub fn of(secret: &IdSecret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mut digits = hex::encode(hmac::sign(&key, b"wardline store"));
        digits.truncate(DIGITS);
        Self(digits)
    }
}

impl fmt::Display for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StoreIdentity> for String {
    fn from(identity: StoreIdentity) -> Self {
        identity.0
    }
}

/// It becomes a part of file names: nothing else may.
impl TryFrom<String> for StoreIdentity {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == DIGITS && text.bytes().all(is_digit) {
            true => Ok(Self(text)),
            false => Err("a store's identity has 32 hexadecimal digits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_secret_has_one_identity() {
        let of = |byte| StoreIdentity::of(&IdSecret::new([byte; 32]));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(StoreIdentity::try_from(of(1).to_string()), Ok(of(1)));
        for other in ["", "../../../../../../../../etc/passwd", "0123456789ABCDEF0123456789ABCDEF"] {
            assert!(StoreIdentity::try_from(other.to_owned()).is_err(), "{other}");
        }
    }
}
