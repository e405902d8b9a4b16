//! Tokens: JWTs (RFC 7519) verified against an issuer's JWK set (RFC 7517).
//!
//! The key decides the algorithm: a token's header only selects a key, and must then name that
//! key's algorithm, so neither `none` nor a MAC over a public key has a way in. Claims are looked
//! at after the signature, and time after every other claim, so "expired" is said only of a token
//! that was good once. Time comes from the caller. No error and no log line holds any part of a
//! token.

mod claims;
pub mod issuers;
mod jwk;
mod jwks;
pub mod logout;
pub mod tenants;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;
use wardline_storage::id::{KeyId, Timestamp};

use claims::{Claims, is_logout_type};
use jwk::Key;
pub use jwk::KeyName;
pub use jwks::{JwksError, LeftOut};
use tenants::Tenants;

use crate::limits::{NAME_BYTES_MAX, TOKEN_BYTES_MAX};

/// The role whose bearer may create broadcast conversations.
pub const BROADCASTER: &str = "broadcaster";
/// The role whose bearer names admins in every conversation of their tenant.
pub const ADMINISTRATOR: &str = "administrator";
/// The role whose bearer says what the patients' record of their tenant says.
pub const REGISTRAR: &str = "registrar";

/// Who a token says its bearer is.
#[derive(Clone)]
pub struct Identity {
    /// Claim `iss`.
    pub issuer: Arc<str>,
    /// Claim `sid`: the issuer's own session that the token is of, if it says so.
    pub session: Option<String>,
    /// Claim `tenant`, or the one that is configured, or the issuer's own: 1 to 128 bytes, without
    /// control characters.
    pub tenant: String,
    /// Claim `sub`, 1 to 128 bytes, without control characters.
    pub user: String,
    /// Whether claim `roles`, or the one that is configured, has `broadcaster`.
    pub broadcaster: bool,
    /// Whether that claim has `administrator`.
    pub administrator: bool,
    /// Whether that claim has `registrar`.
    pub registrar: bool,
    /// Claim `iat`, or `nbf` if there is none; `None`: nobody knows.
    pub issued: Option<Timestamp>,
    /// Claim `nbf`, without leeway; zero if there is none.
    pub not_before: Timestamp,
    /// Claim `exp`, without leeway.
    pub expires: Timestamp,
    /// Until when it lets in: `exp` with leeway.
    pub good_until: Timestamp,
    /// The key that it is signed with.
    pub key: Arc<KeyName>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("broadcaster", &self.broadcaster)
            .field("administrator", &self.administrator)
            .field("registrar", &self.registrar)
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
    /// It is signed with a key that the issuer may have made since its keys were last read.
    #[error("the token is not acceptable: no key of the broker fits it")]
    UnknownKey,
    /// It is not, or not yet, good.
    #[error("the token is not acceptable: {0}")]
    Invalid(&'static str),
}

/// What a token must say, beside being signed.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The `iss` that tokens must have.
    pub issuer: Arc<str>,
    /// The value that must be, or be among, a token's `aud`.
    pub audience: String,
    /// The value that must be, or be among, a logout token's `aud`: what the issuer knows the
    /// broker by.
    pub client: String,
    /// Of which tenants its tokens may speak.
    pub tenants: Tenants,
    /// How far the issuer's clock may be off: a token is good from `nbf - leeway` on, and before
    /// `exp + leeway`.
    pub leeway: Duration,
    /// The longest time from a token's issue, or from now, to its end.
    pub lifetime_max: Duration,
    /// The claim that has the tenant; a dot leads into a claim.
    pub tenant_claim: String,
    /// The claim that has the roles; a dot leads into a claim.
    pub roles_claim: String,
}

impl Expected {
    /// Of this issuer, for this audience; all else as it is unless it is configured.
    pub fn new(issuer: impl Into<Arc<str>>, audience: impl Into<String>) -> Self {
        let audience = audience.into();
        Self {
            issuer: issuer.into(),
            client: audience.clone(),
            audience,
            tenants: Tenants::default(),
            leeway: Duration::from_secs(30),
            lifetime_max: Duration::from_secs(7 * 86_400),
            tenant_claim: "tenant".into(),
            roles_claim: "roles".into(),
        }
    }
}

/// What a token's header says that is of use to us. It may say more, such as the key itself, which
/// nobody is to believe.
#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Header {
    fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

/// Checks tokens. Immutable: to use other keys, make another one.
pub struct Verifier {
    keys: Vec<Key>,
    left_out: Vec<LeftOut>,
    expected: Expected,
}

impl Verifier {
    /// Reads the keys from a JWK set in a file.
    ///
    /// # Errors
    /// [`JwksError`] if the file cannot be read, or as [`Verifier::from_bytes`].
    pub fn from_file(path: &Path, expected: Expected) -> Result<Self, JwksError> {
        let origin = path.display().to_string();
        match jwks::read(path) {
            Ok(bytes) => Self::from_bytes(&bytes, &origin, expected),
            Err(source) => Err(JwksError::Read { origin, source }),
        }
    }

    /// Takes the keys from a JWK set; `origin` names it in errors.
    ///
    /// What is not understood is left out (RFC 7517, section 5), and told of by
    /// [`Verifier::left_out`]: keys of other kinds and for other uses than verifying EdDSA
    /// (Ed25519), ES256 or RS256, and those that are damaged or weak.
    ///
    /// # Errors
    /// [`JwksError`] if it is not a JWK set, or if no key is left.
    pub fn from_bytes(bytes: &[u8], origin: &str, expected: Expected) -> Result<Self, JwksError> {
        let (keys, left_out) = jwks::parse(bytes, origin)?;
        Ok(Self { keys, left_out, expected })
    }

    /// The same, from text.
    ///
    /// # Errors
    /// As [`Verifier::from_bytes`].
    pub fn from_json(json: &str, origin: &str, expected: Expected) -> Result<Self, JwksError> {
        Self::from_bytes(json.as_bytes(), origin, expected)
    }

    /// Without a key: no token is good until there is one.
    pub fn without_keys(expected: Expected) -> Self {
        Self { keys: Vec::new(), left_out: Vec::new(), expected }
    }

    /// Whose tokens.
    pub fn issuer(&self) -> &Arc<str> {
        &self.expected.issuer
    }

    /// What they must say.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Number of keys that tokens may be signed with.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The names of these keys.
    pub fn names(&self) -> impl Iterator<Item = &Arc<KeyName>> {
        self.keys.iter().map(|key| &key.name)
    }

    /// Whether tokens may be signed with this key.
    pub fn has(&self, key: KeyId) -> bool {
        self.names().any(|name| name.id == key)
    }

    /// What stands in the set and is no key that tokens may be signed with.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// How long after its issue a token can let somebody in, at most.
    pub fn longest(&self) -> Duration {
        self.expected.lifetime_max + self.expected.leeway * 2
    }

    /// Checks signature, algorithm, issuer, audience, times and claims of a token.
    ///
    /// # Errors
    /// [`TokenError`] if it is not acceptable.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        let (header, claims, key) = self.open(token)?;
        // Somebody who was told of a logout, such as a proxy, has that token.
        if claims.logout_event().is_some() || header.typ.as_deref().is_some_and(is_logout_type) {
            return Err(TokenError::Invalid("it is a logout token, which lets nobody in"));
        }
        self.identity(&claims, key, now)
    }

    /// Checks signature and algorithm; what it says is for others to judge.
    fn open(&self, token: &str) -> Result<(Header, Claims, &Key), TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid("it is too long"));
        }
        let header = Header::of(token)
            .ok_or(TokenError::Invalid("it is not a JWT, or its algorithm is not allowed"))?;
        // RFC 7515, section 4.1.11: extensions that we do not understand must be refused, and we
        // understand none.
        if header.crit.is_some() {
            return Err(TokenError::Invalid("it has critical header fields"));
        }
        let malformed = TokenError::Invalid("it is malformed");
        let (message, signature) = token.rsplit_once('.').ok_or(malformed.clone())?;
        let (_, payload) = message.split_once('.').ok_or(malformed)?;
        let key = self.signed_with(&header, message, signature)?;
        let claims = Claims::decode(payload).map_err(TokenError::Invalid)?;
        Ok((header, claims, key))
    }

    /// The key that the token's header selects, if it made the signature.
    fn signed_with(&self, header: &Header, message: &str, signature: &str) -> Result<&Key, TokenError> {
        for key in self.select(header)? {
            match crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm) {
                Ok(true) => return Ok(key),
                Ok(false) => {}
                Err(_) => return Err(TokenError::Invalid("it is malformed")),
            }
        }
        Err(TokenError::Invalid("its signature is wrong"))
    }

    /// Finds the keys that the token's header selects: one, or the few that share a name.
    fn select(&self, header: &Header) -> Result<Vec<&Key>, TokenError> {
        let is_named = |key: &&Key| header.kid.is_none() || key.name.kid == header.kid;
        let mut fitting: Vec<_> = self.keys.iter().filter(is_named).collect();
        let is_known = header.kid.is_some() && !fitting.is_empty();
        fitting.retain(|key| key.algorithm == header.alg);
        match fitting.len() {
            0 if is_known => Err(TokenError::Invalid("its algorithm is not that of its key")),
            0 => Err(TokenError::UnknownKey),
            2.. if header.kid.is_none() => {
                Err(TokenError::Invalid("it names no key (kid), and several would fit"))
            }
            _ => Ok(fitting),
        }
    }

    fn identity(&self, claims: &Claims, key: &Key, now: Timestamp) -> Result<Identity, TokenError> {
        let Expected { issuer, audience, leeway, tenants, tenant_claim, roles_claim, .. } = &self.expected;
        claims.check_issuer(issuer).map_err(TokenError::Invalid)?;
        claims.check_audience(audience).map_err(TokenError::Invalid)?;
        let tenant = tenants.decide(claims.tenant(tenant_claim)).map_err(TokenError::Invalid)?;
        let user = claims.subject().map_err(TokenError::Invalid)?;
        if !is_name(tenant) {
            return Err(TokenError::Invalid("claim tenant is empty, too long, or has control characters"));
        }
        if !is_name(user) {
            return Err(TokenError::Invalid("claim sub is empty, too long, or has control characters"));
        }
        let times = claims.times().map_err(TokenError::Invalid)?;
        self.check_times(&times, now)?;
        Ok(Identity {
            issuer: Arc::clone(issuer),
            // What is no text names no session: then it is known by its user alone.
            session: claims.session().ok().flatten().map(str::to_owned),
            tenant: tenant.to_owned(),
            user: user.to_owned(),
            broadcaster: claims.has_role(roles_claim, BROADCASTER),
            administrator: claims.has_role(roles_claim, ADMINISTRATOR),
            registrar: claims.has_role(roles_claim, REGISTRAR),
            issued: times.issued.or(times.not_before),
            not_before: times.not_before.unwrap_or_default(),
            expires: times.expires,
            good_until: times.expires.after(*leeway),
            key: Arc::clone(&key.name),
        })
    }

    fn check_times(&self, times: &claims::Times, now: Timestamp) -> Result<(), TokenError> {
        let Expected { leeway, lifetime_max, .. } = self.expected;
        let not_before = times.not_before.unwrap_or_default();
        let begins = times.issued.unwrap_or(not_before);
        // One that is not yet issued would be longer good than it says; one that does not say when
        // it was issued is as if it were now.
        let from = if begins == Timestamp::ZERO { now } else { begins.min(now) };
        if times.expires.since(from) > lifetime_max + leeway {
            return Err(TokenError::Invalid("it is good for longer than the broker takes (auth.lifetime)"));
        }
        // RFC 7519, sections 4.1.4 and 4.1.5: not before `nbf`; not on or after `exp`.
        if now.after(leeway) < not_before {
            return Err(TokenError::Invalid("it is not valid yet"));
        }
        if now.after(leeway) < begins {
            return Err(TokenError::Invalid("it was issued later than now (iat): clocks are apart"));
        }
        if now >= times.expires.after(leeway) {
            return Err(TokenError::Expired);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// Whether a tenant, a user or a claim could be called so.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
