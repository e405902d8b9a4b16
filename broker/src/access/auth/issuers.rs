//! All issuers whose tokens are taken, each with its keys and what its tokens must say.
//!
//! A token's `iss` only selects whose keys it is held against; it must then be good by them, `iss`
//! included. Immutable: another key set makes another one of these, which shares the rest.

use std::sync::Arc;
use std::time::Duration;

use wardline_storage::id::{KeyId, Timestamp};

use super::claims::Claims;
use super::logout::Logout;
use super::{Identity, KeyName, TokenError, Verifier};
use crate::limits::TOKEN_BYTES_MAX;

/// The issuers whose tokens are taken.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Vec<Arc<Verifier>>);

impl Issuers {
    /// These, each with an `iss` of its own.
    pub fn new(all: Vec<Arc<Verifier>>) -> Self {
        Self(all)
    }

    /// The same, with another verifier for the issuer that it is of.
    #[must_use]
    pub fn with(&self, other: Arc<Verifier>) -> Self {
        let mut all = self.0.clone();
        match all.iter_mut().find(|verifier| verifier.issuer() == other.issuer()) {
            Some(place) => *place = other,
            None => all.push(other),
        }
        Self(all)
    }

    /// The one with this `iss`.
    pub fn of(&self, issuer: &str) -> Option<&Arc<Verifier>> {
        self.0.iter().find(|verifier| &**verifier.issuer() == issuer)
    }

    /// Whether tokens of this issuer may be signed with this key.
    pub fn has(&self, issuer: &str, key: KeyId) -> bool {
        self.of(issuer).is_some_and(|verifier| verifier.has(key))
    }

    /// Number of keys of all of them.
    pub fn keys(&self) -> usize {
        self.0.iter().map(|verifier| verifier.keys()).sum()
    }

    /// The names of these keys.
    pub fn names(&self) -> impl Iterator<Item = &Arc<KeyName>> {
        self.0.iter().flat_map(|verifier| verifier.names())
    }

    /// Number of entries that are no keys.
    pub fn left_out(&self) -> usize {
        self.0.iter().map(|verifier| verifier.left_out().len()).sum()
    }

    /// How long after its issue a token can let somebody in, at most.
    pub fn longest(&self) -> Duration {
        self.0.iter().map(|verifier| verifier.longest()).max().unwrap_or_default()
    }

    /// Checks a token by the keys of its issuer.
    ///
    /// # Errors
    /// [`TokenError`] if it is not acceptable.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        self.select(token)?.verify(token, now)
    }

    /// Checks a logout token by the keys of its issuer.
    ///
    /// # Errors
    /// [`TokenError`] if it is not acceptable.
    pub fn verify_logout(&self, token: &str, now: Timestamp) -> Result<Logout, TokenError> {
        self.select(token)?.verify_logout(token, now)
    }

    /// Whose keys a token is to be held against.
    ///
    /// # Errors
    /// [`TokenError`] if there is no such issuer.
    pub fn select(&self, token: &str) -> Result<&Arc<Verifier>, TokenError> {
        // What is wrong with a token is said by the one issuer that there is.
        if let [only] = &self.0[..] {
            return Ok(only);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid("it is too long"));
        }
        let payload = token.split('.').nth(1).ok_or(TokenError::Invalid("it is malformed"))?;
        let claims = Claims::decode(payload).map_err(TokenError::Invalid)?;
        let issuer = claims.issuer().ok_or(TokenError::Invalid("claim iss is missing, or no text"))?;
        self.of(issuer).ok_or(TokenError::Invalid("it is of another issuer (iss) than those of the broker"))
    }
}
