//! Reads a JWK set (RFC 7517) into keys that tokens may be verified with.
//!
//! Only public keys for EdDSA (Ed25519), ES256 and RS256 come out of here; symmetric keys never do.
//! Each key is parsed whole at start, so that a damaged one is the operator's error then, and not a
//! client's later.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use thiserror::Error;

/// Fewest bits of an RSA modulus; RFC 7518, section 3.3.
const RSA_BITS_MIN: usize = 2048;

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
        source: std::io::Error,
    },
    /// It is not a JWK set.
    #[error(
        "{origin} is not a JWK set ({detail}); it must be JSON like {{\"keys\": [...]}}, as your identity provider publishes it"
    )]
    Malformed {
        /// Which file.
        origin: String,
        /// Where parsing stopped.
        detail: String,
    },
    /// One of its keys cannot be used although it is of a usable kind.
    #[error("{origin}: key {index} {detail}; replace or remove it")]
    Key {
        /// Which file.
        origin: String,
        /// Which key, from 1.
        index: usize,
        /// What is wrong.
        detail: &'static str,
    },
    /// Two keys have the same `kid`.
    #[error("{origin}: keys {first} and {second} have the same kid; give each key its own, or remove one")]
    Duplicate {
        /// Which file.
        origin: String,
        /// The one, from 1.
        first: usize,
        /// The other, from 1.
        second: usize,
    },
    /// No key is usable.
    #[error(
        "{origin} has no key that tokens may be signed with ({skipped} of other kinds or for other uses); add a public key for EdDSA (Ed25519), ES256 or RS256"
    )]
    NoKey {
        /// Which file.
        origin: String,
        /// How many were left out.
        skipped: usize,
    },
}

/// A key that tokens may be verified with.
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Reads the usable keys of a set, 1 or more.
pub(super) fn parse(json: &str, origin: &str) -> Result<Vec<Key>, JwksError> {
    let set: Set = serde_json::from_str(json).map_err(|error| JwksError::Malformed {
        origin: origin.into(),
        // Not the library's text: it may quote the content.
        detail: format!("line {}, column {}", error.line(), error.column()),
    })?;
    let mut keys: Vec<(usize, Key)> = Vec::new();
    let count = set.keys.len();
    for (jwk, index) in set.keys.into_iter().zip(1..) {
        let key = match jwk.into_key() {
            Ok(Some(key)) => key,
            Ok(None) => continue,
            Err(detail) => return Err(JwksError::Key { origin: origin.into(), index, detail }),
        };
        let same = |(_, other): &&(usize, Key)| key.kid.is_some() && other.kid == key.kid;
        if let Some(&(first, _)) = keys.iter().find(same) {
            return Err(JwksError::Duplicate { origin: origin.into(), first, second: index });
        }
        keys.push((index, key));
    }
    if keys.is_empty() {
        return Err(JwksError::NoKey { origin: origin.into(), skipped: count });
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// The members of a JWK that matter for public signature keys (RFC 7518, section 6; RFC 8037).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// Gives the key; `None` if it is of another kind or for another use; or what is wrong with it.
    fn into_key(self) -> Result<Option<Key>, &'static str> {
        let Some(algorithm) = self.algorithm() else { return Ok(None) };
        let verifies = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !verifies {
            return Ok(None);
        }
        let decoding = match algorithm {
            Algorithm::EdDSA => self.ed25519()?,
            Algorithm::ES256 => self.p256()?,
            _ => self.rsa()?,
        };
        Ok(Some(Key { kid: self.kid, algorithm, decoding }))
    }

    /// The one algorithm that this key is for, if it is one of ours.
    fn algorithm(&self) -> Option<Algorithm> {
        let (algorithm, names): (_, &[&str]) = match (self.kty.as_str(), self.crv.as_deref()) {
            // RFC 9864 renames EdDSA on this curve.
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, &["EdDSA", "Ed25519"]),
            ("EC", Some("P-256")) => (Algorithm::ES256, &["ES256"]),
            ("RSA", _) => (Algorithm::RS256, &["RS256"]),
            _ => return None,
        };
        self.alg.as_deref().is_none_or(|alg| names.contains(&alg)).then_some(algorithm)
    }

    fn ed25519(&self) -> Result<DecodingKey, &'static str> {
        let x = octets(self.x.as_deref()).ok_or("has no x, or it is not base64url")?;
        ParsedPublicKey::new(&ED25519, &x).map_err(|_| "is not a point of Ed25519")?;
        Ok(DecodingKey::from_ed_der(&x))
    }

    fn p256(&self) -> Result<DecodingKey, &'static str> {
        let x = octets(self.x.as_deref()).ok_or("has no x, or it is not base64url")?;
        let y = octets(self.y.as_deref()).ok_or("has no y, or it is not base64url")?;
        // Uncompressed point; SEC 1, section 2.3.3.
        let point = [&[4][..], &x, &y].concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| "is not a point of P-256")?;
        Ok(DecodingKey::from_ec_der(&point))
    }

    fn rsa(&self) -> Result<DecodingKey, &'static str> {
        let n = octets(self.n.as_deref()).ok_or("has no n, or it is not base64url")?;
        let e = octets(self.e.as_deref()).ok_or("has no e, or it is not base64url")?;
        if bits(&n) < RSA_BITS_MIN {
            return Err("is a weak RSA key: its modulus has fewer than 2048 bits");
        }
        RsaPublicKeyComponents { n: &n, e: &e }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| "is not an RSA key of 2048 to 8192 bits")?;
        Ok(DecodingKey::from_rsa_raw_components(&n, &e))
    }
}

fn octets(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// Bits of a big-endian number, leading zeros not counted.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    match number.get(zeros) {
        Some(first) => (number.len() - zeros) * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}
