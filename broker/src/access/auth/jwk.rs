//! One entry of a JWK set (RFC 7517) becomes a key that tokens are verified with, or a reason why
//! it is none.
//!
//! Only public keys for EdDSA (Ed25519), ES256 and RS256 come out of here; symmetric keys never do.
//! Each key is parsed whole, so that a damaged one is left out then, and not a client's error
//! later. Numbers are taken as issuers write them: padded, with leading zeros or without them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value, json};
use wardline_storage::id::KeyId;

/// Fewest bits of an RSA modulus; RFC 7518, section 3.3.
const RSA_BITS_MIN: usize = 2048;
/// Width of a coordinate on P-256.
const P256_BYTES: usize = 32;
/// Of a `kid`, so much is shown.
const KID_SHOWN_MAX: usize = 64;

/// base64url, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a key is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// As the set has it.
    pub kid: Option<String>,
    /// Its thumbprint, which nobody can choose.
    pub id: KeyId,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "kid {}, thumbprint {}", shown(kid), self.id),
            None => write!(f, "no kid, thumbprint {}", self.id),
        }
    }
}

/// A `kid` in quotes, without what could break a line, and cut if it is long.
pub(super) fn shown(kid: &str) -> String {
    format!("{:?}", kid.chars().take(KID_SHOWN_MAX).collect::<String>())
}

/// A key that tokens may be verified with.
pub(super) struct Key {
    pub(super) name: Arc<KeyName>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The members of an entry.
struct Jwk<'a>(&'a Map<String, Value>);

/// Reads an entry, or says why it is no key that tokens may be signed with.
pub(super) fn read(entry: &Value) -> Result<Key, &'static str> {
    let jwk = Jwk(entry.as_object().ok_or("is no JSON object that can be read")?);
    let kid = jwk.text("kid", "has a kid that is not text")?.map(str::to_owned);
    let algorithm = jwk.algorithm()?;
    jwk.check_use()?;
    let (decoding, thumbprint) = match algorithm {
        Algorithm::EdDSA => jwk.ed25519()?,
        Algorithm::ES256 => jwk.p256()?,
        _ => jwk.rsa()?,
    };
    // RFC 7638, section 3: the members that make the key, in the order of their names, which is the
    // order in which a JSON object is written here.
    let hash = digest(&SHA256, thumbprint.to_string().as_bytes());
    let id = KeyId::new(hash.as_ref().try_into().map_err(|_| "has no thumbprint")?);
    Ok(Key { name: Arc::new(KeyName { kid, id }), algorithm, decoding })
}

/// The `kid` of an entry, for people.
pub(super) fn kid(entry: &Value) -> Option<&str> {
    entry.get("kid")?.as_str()
}

impl Jwk<'_> {
    /// A member that is text; null is none.
    fn text(&self, name: &str, wrong: &'static str) -> Result<Option<&str>, &'static str> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong),
        }
    }

    /// The one algorithm that this key is for, if it is one of ours.
    fn algorithm(&self) -> Result<Algorithm, &'static str> {
        let kty = self.text("kty", "has a kty that is not text")?.ok_or("has no kty")?;
        let crv = self.text("crv", "has a crv that is not text")?;
        let (algorithm, names): (_, &[&str]) = match (kty, crv) {
            // RFC 9864 renames EdDSA on this curve.
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, &["EdDSA", "Ed25519"]),
            ("EC", Some("P-256")) => (Algorithm::ES256, &["ES256"]),
            ("RSA", _) => (Algorithm::RS256, &["RS256"]),
            ("oct", _) => return Err("is a shared secret (oct), with which whoever checks could also sign"),
            _ => return Err("is of another kind (kty, crv) than Ed25519, P-256 and RSA"),
        };
        match self.text("alg", "has an alg that is not text")? {
            Some(alg) if !names.contains(&alg) => {
                Err("is for another algorithm (alg) than the broker takes: EdDSA, ES256 and RS256")
            }
            _ => Ok(algorithm),
        }
    }

    fn check_use(&self) -> Result<(), &'static str> {
        if self.text("use", "has a use that is not text")?.is_some_and(|purpose| purpose != "sig") {
            return Err("is not for signatures (use)");
        }
        let verifies = match self.0.get("key_ops") {
            None | Some(Value::Null) => true,
            Some(Value::Array(ops)) => ops.iter().any(|op| op.as_str() == Some("verify")),
            Some(_) => return Err("has key_ops that are not a list"),
        };
        if verifies { Ok(()) } else { Err("is not for verifying (key_ops)") }
    }

    fn ed25519(&self) -> Result<(DecodingKey, Value), &'static str> {
        let x = self.octets("x").ok_or("has no x, or it is not base64url")?;
        ParsedPublicKey::new(&ED25519, &x).map_err(|_| "is not a point of Ed25519")?;
        let members = json!({"crv": "Ed25519", "kty": "OKP", "x": base64url(&x)});
        Ok((DecodingKey::from_ed_der(&x), members))
    }

    fn p256(&self) -> Result<(DecodingKey, Value), &'static str> {
        let coordinate = |name| self.octets(name).and_then(|bytes| widened(&bytes));
        let x = coordinate("x").ok_or("has no x, or it is not base64url of at most 32 bytes")?;
        let y = coordinate("y").ok_or("has no y, or it is not base64url of at most 32 bytes")?;
        // Uncompressed point; SEC 1, section 2.3.3.
        let point = [&[4][..], &x, &y].concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| "is not a point of P-256")?;
        let members = json!({"crv": "P-256", "kty": "EC", "x": base64url(&x), "y": base64url(&y)});
        Ok((DecodingKey::from_ec_der(&point), members))
    }

    fn rsa(&self) -> Result<(DecodingKey, Value), &'static str> {
        let n = self.octets("n").ok_or("has no n, or it is not base64url")?;
        let e = self.octets("e").ok_or("has no e, or it is not base64url")?;
        let (n, e) = (narrowed(&n), narrowed(&e));
        if bits(n) < RSA_BITS_MIN {
            return Err("is a weak RSA key: its modulus has fewer than 2048 bits");
        }
        RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| "is not an RSA key of 2048 to 8192 bits")?;
        let members = json!({"e": base64url(e), "kty": "RSA", "n": base64url(n)});
        Ok((DecodingKey::from_rsa_raw_components(n, e), members))
    }

    fn octets(&self, name: &str) -> Option<Vec<u8>> {
        BASE64.decode(self.0.get(name)?.as_str()?).ok()
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A big-endian number without leading zeros.
fn narrowed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

/// A big-endian number in the width of a coordinate.
fn widened(number: &[u8]) -> Option<[u8; P256_BYTES]> {
    let number = narrowed(number);
    let mut wide = [0; P256_BYTES];
    let begin = P256_BYTES.checked_sub(number.len())?;
    wide[begin..].copy_from_slice(number);
    Some(wide)
}

/// Bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}
