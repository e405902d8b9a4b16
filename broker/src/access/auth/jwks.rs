//! Reads a JWK set (RFC 7517) as issuers publish it.
//!
//! What is not understood is ignored (section 5): one odd entry leaves the good ones in force, at
//! start and at a rotation alike. What was left out is told, entry by entry, with the reason. Only
//! a set without any usable key is refused. Keys that share a name are all tried, a few of them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use super::jwk::{self, Key, shown};
use crate::limits::{JWKS_BYTES_MAX, TOKEN_KEYS_MAX, TOKEN_KEYS_OF_ONE_NAME_MAX};

/// Of what was left out, so many are named in one error.
const NAMED_MAX: usize = 5;

/// The keys for tokens cannot be had. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JwksError {
    /// The file is not there, or may not be read.
    #[error(
        "cannot read the token keys {origin}: {source}; put your identity provider's JWK set there, or set auth.jwks to where it is"
    )]
    Read {
        /// Which file.
        origin: String,
        /// Why.
        source: io::Error,
    },
    /// It is not a JWK set.
    #[error(
        "{origin} is not a JWK set ({detail}); it must be JSON like {{\"keys\": [...]}}, as your identity provider publishes it"
    )]
    Malformed {
        /// Which file.
        origin: String,
        /// Where parsing stopped, or what it is instead.
        detail: String,
    },
    /// No key is usable.
    #[error(
        "{origin} has no key that tokens may be signed with{}; add a public key for EdDSA (Ed25519), ES256 or RS256",
        several(.left_out)
    )]
    NoKey {
        /// Which file.
        origin: String,
        /// What there is instead.
        left_out: Vec<LeftOut>,
    },
}

/// An entry of a set that is no key which tokens may be signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the set, from 1.
    pub index: usize,
    /// What it is called.
    pub kid: Option<String>,
    /// Why.
    pub reason: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "key {} (kid {}) {}", self.index, shown(kid), self.reason),
            None => write!(f, "key {} (no kid) {}", self.index, self.reason),
        }
    }
}

fn several(left_out: &[LeftOut]) -> String {
    let named: String = left_out.iter().take(NAMED_MAX).map(|one| format!(": {one}")).collect();
    let more = left_out.len().saturating_sub(NAMED_MAX);
    if more > 0 { format!("{named}, and {more} more") } else { named }
}

/// Reads a file, but no more of it than a set may have.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(JWKS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the usable keys of a set, 1 or more, and says what was left out.
pub(super) fn parse(bytes: &[u8], origin: &str) -> Result<(Vec<Key>, Vec<LeftOut>), JwksError> {
    let malformed = |detail| JwksError::Malformed { origin: origin.into(), detail };
    let json = text(bytes).map_err(|detail| malformed(detail.to_owned()))?;
    let set: Set = serde_json::from_str(json)
        // Not the library's text: it may quote the content.
        .map_err(|error| malformed(format!("line {}, column {}", error.line(), error.column())))?;
    let (mut keys, mut left_out) = (Vec::new(), Vec::new());
    for (raw, index) in set.keys.iter().zip(1..) {
        let entry: Value = serde_json::from_str(raw.get()).unwrap_or_default();
        match jwk::read(&entry).and_then(|key| fits(&key, &keys).map(|()| key)) {
            Ok(key) => keys.push(key),
            Err(reason) => {
                left_out.push(LeftOut { index, kid: jwk::kid(&entry).map(str::to_owned), reason });
            }
        }
    }
    if keys.is_empty() {
        return Err(JwksError::NoKey { origin: origin.into(), left_out });
    }
    Ok((keys, left_out))
}

/// Whether there is a place for a key beside those before it.
fn fits(key: &Key, before: &[Key]) -> Result<(), &'static str> {
    let shares_name = |other: &&Key| {
        key.name.kid.is_some() && other.name.kid == key.name.kid && other.algorithm == key.algorithm
    };
    if before.iter().any(|other| other.name == key.name) {
        return Err("stands in the set before");
    }
    if before.iter().filter(shares_name).count() >= TOKEN_KEYS_OF_ONE_NAME_MAX {
        return Err("has the kid of several keys before it");
    }
    if before.len() >= TOKEN_KEYS_MAX {
        return Err("is one more than the broker takes");
    }
    Ok(())
}

/// The text of a file, which may begin with a byte-order mark.
fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.len() > JWKS_BYTES_MAX {
        return Err("it is over 1 MiB");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16: save it as UTF-8");
    }
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// An entry is read by itself, so that what is odd in one does not touch another.
#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}
