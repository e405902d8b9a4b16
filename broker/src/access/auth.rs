//! Tokens: JWTs (RFC 7519) verified against a local JWK set (RFC 7517).
//!
//! The key decides the algorithm: a token's header only selects a key, and must then name that
//! key's algorithm, so neither `none` nor a MAC over a public key has a way in. Claims are looked
//! at after the signature, and time after every other claim, so "expired" is said only of a token
//! that was good once. Time comes from the caller. No error and no log line holds any part of a
//! token.

mod jwks;

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use thiserror::Error;
use wardline_storage::id::Timestamp;

pub use jwks::JwksError;
use jwks::Key;

use crate::limits::{NAME_BYTES_MAX, TOKEN_BYTES_MAX};

/// The role whose bearer may create broadcast conversations.
pub const BROADCASTER: &str = "broadcaster";
/// The role whose bearer names admins in every conversation of their tenant.
pub const ADMINISTRATOR: &str = "administrator";

/// Who a token says its bearer is.
#[derive(Clone)]
pub struct Identity {
    /// Claim `tenant`, 1 to 128 bytes, without control characters.
    pub tenant: String,
    /// Claim `sub`, 1 to 128 bytes, without control characters.
    pub user: String,
    /// Whether claim `roles` has `broadcaster`.
    pub broadcaster: bool,
    /// Whether claim `roles` has `administrator`.
    pub administrator: bool,
    /// Claim `nbf`, without leeway.
    pub not_before: Timestamp,
    /// Claim `exp`, without leeway.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("broadcaster", &self.broadcaster)
            .field("administrator", &self.administrator)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Why a token was refused. The peer must act. Never contains any part of the token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It is not, or not yet, good.
    #[error("the token is not acceptable: {0}")]
    Invalid(&'static str),
}

/// What a token must say, beside being signed.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// The value that must be, or be among, a token's `aud`.
    pub audience: String,
    /// How far the issuer's clock may be off: a token is good from `nbf - leeway` on, and before
    /// `exp + leeway`.
    pub leeway: Duration,
}

/// Checks tokens. Immutable: to use other keys, make another one.
pub struct Verifier {
    keys: Vec<Key>,
    /// One for each key, in the same order.
    validations: Vec<Validation>,
    leeway: Duration,
}

impl Verifier {
    /// Reads the keys from a JWK set in a file.
    ///
    /// # Errors
    /// [`JwksError`] if the file cannot be read, or as [`Verifier::from_json`].
    pub fn from_file(path: &Path, expected: Expected) -> Result<Self, JwksError> {
        let origin = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(json) => Self::from_json(&json, &origin, expected),
            Err(source) => Err(JwksError::Read { origin, source }),
        }
    }

    /// Takes the keys from a JWK set; `origin` names it in errors.
    ///
    /// Keys of other kinds and for other uses than verifying EdDSA (Ed25519), ES256 or RS256 are
    /// left out (RFC 7517, section 5).
    ///
    /// # Errors
    /// [`JwksError`] if it is not a JWK set, if a key is damaged, weak or not unique, or if no key
    /// is left.
    pub fn from_json(json: &str, origin: &str, expected: Expected) -> Result<Self, JwksError> {
        let keys = jwks::parse(json, origin)?;
        let validations = keys.iter().map(|key| validation(key, &expected)).collect();
        Ok(Self { keys, validations, leeway: expected.leeway })
    }

    /// Number of keys that tokens may be signed with, 1 or more.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Checks signature, algorithm, issuer, audience, times and claims of a token.
    ///
    /// # Errors
    /// [`TokenError`] if it is not acceptable.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid("it is too long"));
        }
        let index = self.select(token)?;
        let claims = decode::<Claims>(token, &self.keys[index].decoding, &self.validations[index])
            .map_err(|error| TokenError::Invalid(describe(error.kind())))?
            .claims;
        self.identity(claims, now)
    }

    /// Finds the key that the token's header selects.
    fn select(&self, token: &str) -> Result<usize, TokenError> {
        let header = decode_header(token)
            .map_err(|_| TokenError::Invalid("it is not a JWT, or its algorithm is not allowed"))?;
        // RFC 7515, section 4.1.11: extensions that we do not understand must be refused, and we
        // understand none.
        if header.crit.is_some() {
            return Err(TokenError::Invalid("it has critical header fields"));
        }
        let fits = |key: &Key| match &header.kid {
            Some(kid) => key.kid.as_ref() == Some(kid),
            None => key.algorithm == header.alg,
        };
        let mut fitting = (0..self.keys.len()).filter(|&index| fits(&self.keys[index]));
        match (fitting.next(), fitting.next()) {
            (Some(index), None) => Ok(index),
            (None, _) => Err(TokenError::Invalid("no key of the broker fits it")),
            (Some(_), Some(_)) => Err(TokenError::Invalid("it names no key (kid), and several would fit")),
        }
    }

    fn identity(&self, claims: Claims, now: Timestamp) -> Result<Identity, TokenError> {
        let tenant = claims.tenant.ok_or(TokenError::Invalid("claim tenant is missing"))?;
        let user = claims.sub.ok_or(TokenError::Invalid("claim sub is missing"))?;
        if !is_name(&tenant) {
            return Err(TokenError::Invalid("claim tenant is empty, too long, or has control characters"));
        }
        if !is_name(&user) {
            return Err(TokenError::Invalid("claim sub is empty, too long, or has control characters"));
        }
        let expires = time(claims.exp).ok_or(TokenError::Invalid("claim exp is missing or not a time"))?;
        let not_before = time(claims.nbf).ok_or(TokenError::Invalid("claim nbf is missing or not a time"))?;
        // RFC 7519, sections 4.1.4 and 4.1.5: not before `nbf`; not on or after `exp`.
        if now.after(self.leeway) < not_before {
            return Err(TokenError::Invalid("it is not valid yet"));
        }
        if now >= expires.after(self.leeway) {
            return Err(TokenError::Expired);
        }
        let has = |wanted: &str| claims.roles.iter().any(|role| role == wanted);
        let (broadcaster, administrator) = (has(BROADCASTER), has(ADMINISTRATOR));
        Ok(Identity { tenant, user, broadcaster, administrator, not_before, expires })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.len()).field("leeway", &self.leeway).finish()
    }
}

/// The claims that we read. Options, so that the texts of refusals are ours.
#[derive(Deserialize)]
struct Claims {
    /// Compared by the library, which would also take a list; RFC 7519, section 4.1.1 says one
    /// string.
    #[serde(rename = "iss")]
    _issuer: Option<String>,
    sub: Option<String>,
    tenant: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(default)]
    roles: Vec<String>,
}

/// Signature, algorithm, issuer and audience are the library's to check; times are ours, against
/// the caller's clock.
fn validation(key: &Key, expected: &Expected) -> Validation {
    let mut validation = Validation::new(key.algorithm);
    validation.set_issuer(&[&expected.issuer]);
    validation.set_audience(&[&expected.audience]);
    // Without this a token that has no `iss` or no `aud` passes.
    validation.set_required_spec_claims(&["iss", "aud"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

fn describe(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "its algorithm is not that of its key"
        }
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => "claim iss is missing",
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => "claim aud is missing",
        ErrorKind::InvalidIssuer => "it is of another issuer (iss)",
        ErrorKind::InvalidAudience => "it is for another audience (aud)",
        ErrorKind::Json(_) => "a claim has the wrong type",
        _ => "it is malformed",
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Reads a NumericDate (RFC 7519, section 2): seconds, possibly with a fraction.
fn time(seconds: Option<f64>) -> Option<Timestamp> {
    let millis = seconds? * 1000.0;
    // Beyond u64 the cast saturates, which is `NEVER`.
    (millis.is_finite() && millis >= 0.0).then_some(Timestamp(millis as u64))
}
