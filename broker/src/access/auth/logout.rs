//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6): by which an issuer
//! says that a sign-in has ended.
//!
//! Everything in section 2.6 is checked here but whether the token was used before, which takes a
//! memory. A logout token is no token that lets in, and the other way about: each is refused in
//! the other's place. How old one may be is bounded, so that the memory is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wardline_storage::id::Timestamp;

use super::claims::{Claims, is_logout_type};
use super::{Expected, TokenError, Verifier};
use crate::limits::NAME_BYTES_MAX;

/// The longest time from its issue to its arrival.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Longest `sid` and `jti`, in bytes.
const ID_BYTES_MAX: usize = 255;

/// What an issuer says has ended. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Logout {
    /// Claim `iss`.
    pub issuer: Arc<str>,
    /// Claim `sub`: whose sign-ins, or whose the session is.
    pub user: Option<String>,
    /// Claim `sid`: which session of the issuer.
    pub session: Option<String>,
    /// Tokens that were issued up to then belong to what has ended.
    pub through: Timestamp,
    /// Claim `jti`: no other logout token of this issuer has it.
    pub id: String,
    /// From then on it is refused for its age.
    pub good_until: Timestamp,
}

impl std::fmt::Debug for Logout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logout")
            .field("of_user", &self.user.is_some())
            .field("of_session", &self.session.is_some())
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Checks a logout token.
    ///
    /// # Errors
    /// [`TokenError`] if it is not acceptable.
    pub fn verify_logout(&self, token: &str, now: Timestamp) -> Result<Logout, TokenError> {
        let (header, claims, _) = self.open(token)?;
        match header.typ.as_deref() {
            // Not every issuer says what it is (section 2.4 recommends it).
            None => {}
            Some(typ) if is_logout_type(typ) || typ.eq_ignore_ascii_case("jwt") => {}
            Some(_) => return Err(TokenError::Invalid("its type (typ) is not that of a logout token")),
        }
        let times = self.times_of_logout(&claims, now)?;
        self.read(&claims, times).map_err(TokenError::Invalid)
    }

    fn read(
        &self,
        claims: &Claims,
        (through, good_until): (Timestamp, Timestamp),
    ) -> Result<Logout, &'static str> {
        let Expected { issuer, client, .. } = &self.expected;
        claims.check_issuer(issuer)?;
        claims.check_audience(client)?;
        let user = claims.optional_text("sub", "claim sub has the wrong type: it must be text")?;
        let session = claims.session()?;
        if user.is_none() && session.is_none() {
            return Err("it has neither sub nor sid: whose logout is it?");
        }
        match claims.logout_event() {
            Some(Value::Object(_)) => {}
            _ => return Err("claim events has no member for a back-channel logout"),
        }
        // Also a nonce of null: an ID token must not pass for this one.
        if claims.any("nonce").is_some() {
            return Err("it has a nonce, which a logout token must not have");
        }
        let fits = |text: &&str, max| (1..=max).contains(&text.len());
        let id = claims.optional_text("jti", "claim jti has the wrong type: it must be text")?;
        let id = id.filter(|id| fits(id, ID_BYTES_MAX)).ok_or("claim jti is missing or too long")?;
        if !user.iter().all(|user| fits(user, NAME_BYTES_MAX))
            || !session.iter().all(|session| fits(session, ID_BYTES_MAX))
        {
            return Err("claim sub or sid is empty or too long");
        }
        Ok(Logout {
            issuer: Arc::clone(issuer),
            user: user.map(str::to_owned),
            session: session.map(str::to_owned),
            through,
            id: id.to_owned(),
            good_until,
        })
    }

    /// Up to when tokens belong to what has ended, and from when on it is too old.
    fn times_of_logout(&self, claims: &Claims, now: Timestamp) -> Result<(Timestamp, Timestamp), TokenError> {
        let leeway = self.expected.leeway;
        let times = claims.times().map_err(TokenError::Invalid)?;
        let issued = times.issued.ok_or(TokenError::Invalid("claim iat is missing"))?;
        if now.after(leeway) < issued || now.after(leeway) < times.not_before.unwrap_or_default() {
            return Err(TokenError::Invalid("it was issued later than now (iat): clocks are apart"));
        }
        let good_until = times.expires.min(issued.after(AGE_MAX)).after(leeway);
        if now >= good_until {
            return Err(TokenError::Expired);
        }
        // Issuers cut times to seconds: a token of the same second may be older than it looks.
        let within_its_second = issued.0 % 1000;
        Ok((Timestamp(issued.0 - within_its_second + 999), good_until))
    }
}
