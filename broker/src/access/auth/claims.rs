//! What a token says, as issuers really say it.
//!
//! What a claim must be stands in RFC 7519; where issuers leave out what is optional, write null
//! for nothing, or one text for a list of one, that is taken for what it means. What would give
//! rights is never guessed: a role is one only where it stands as text, and a claim that stands
//! twice refuses the token. A name with dots leads into claims, unless there is a claim of that
//! very name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use wardline_storage::id::Timestamp;

/// Claims whose text is a list with spaces between (RFC 8693, section 4.2; Entra ID).
const SPACED: [&str; 2] = ["scope", "scp"];

/// The member of `events` that makes a logout token (OpenID Connect Back-Channel Logout, section
/// 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Its media type, without `application/`.
const LOGOUT_TYPE: &str = "logout+jwt";

/// Whether a header's `typ` says that it is a logout token.
pub(super) fn is_logout_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == LOGOUT_TYPE
}

/// The claims of a token whose signature is good.
pub(super) struct Claims(Map<String, Value>);

/// When a token is good.
pub(super) struct Times {
    /// Claim `iat`.
    pub(super) issued: Option<Timestamp>,
    /// Claim `nbf`.
    pub(super) not_before: Option<Timestamp>,
    /// Claim `exp`.
    pub(super) expires: Timestamp,
}

impl Claims {
    /// Decodes the middle part of a token.
    pub(super) fn decode(payload: &str) -> Result<Self, &'static str> {
        let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| "it is malformed")?;
        serde_json::from_slice(&json)
            .map_err(|_| "its claims are not a JSON object in which each stands once, with numbers in bounds")
    }

    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), &'static str> {
        match self.named("iss") {
            None => Err("claim iss is missing"),
            // RFC 7519, section 4.1.1: one text.
            Some(Value::String(found)) if found == issuer => Ok(()),
            Some(Value::String(_)) => Err("it is of another issuer (iss)"),
            Some(_) => Err("claim iss has the wrong type: it must be text"),
        }
    }

    pub(super) fn check_audience(&self, audience: &str) -> Result<(), &'static str> {
        let is_for = |value: &Value| value.as_str() == Some(audience);
        match self.named("aud") {
            None => Err("claim aud is missing"),
            // RFC 7519, section 4.1.3: one text, or several.
            Some(Value::String(found)) if found == audience => Ok(()),
            Some(Value::Array(several)) if several.iter().any(is_for) => Ok(()),
            Some(Value::String(_) | Value::Array(_)) => Err("it is for another audience (aud)"),
            Some(_) => Err("claim aud has the wrong type: it must be text, or a list of texts"),
        }
    }

    pub(super) fn subject(&self) -> Result<&str, &'static str> {
        match self.named("sub") {
            None => Err("claim sub is missing"),
            Some(Value::String(user)) => Ok(user),
            Some(_) => Err("claim sub has the wrong type: it must be text"),
        }
    }

    pub(super) fn tenant(&self, name: &str) -> Result<Option<&str>, &'static str> {
        match find(&self.0, name) {
            None => Ok(None),
            Some(Value::String(tenant)) => Ok(Some(tenant)),
            Some(_) => Err("claim tenant (auth.tenant_claim) has the wrong type: it must be text"),
        }
    }

    /// Claim `sid` (OpenID Connect Back-Channel Logout, section 2.1).
    pub(super) fn session(&self) -> Result<Option<&str>, &'static str> {
        self.optional_text("sid", "claim sid has the wrong type: it must be text")
    }

    /// A claim that may be missing, and is text.
    pub(super) fn optional_text(
        &self,
        name: &str,
        wrong: &'static str,
    ) -> Result<Option<&str>, &'static str> {
        match self.named(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong),
        }
    }

    /// What it says of a logout.
    pub(super) fn logout_event(&self) -> Option<&Value> {
        self.any("events")?.get(LOGOUT_EVENT)
    }

    /// A claim, whatever it is; also null.
    pub(super) fn any(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whose token it says it is; to be believed once the signature was found good.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.named("iss")?.as_str()
    }

    /// Whether a role stands in the claim of this name.
    pub(super) fn has_role(&self, name: &str, role: &str) -> bool {
        let is_spaced = name.rsplit('.').next().is_some_and(|last| SPACED.contains(&last));
        match find(&self.0, name) {
            Some(Value::String(roles)) if is_spaced => roles.split(' ').any(|one| one == role),
            Some(Value::String(one)) => one == role,
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(role)),
            _ => false,
        }
    }

    pub(super) fn times(&self) -> Result<Times, &'static str> {
        const EXP: &str = "claim exp has the wrong type or value: it must be a number of seconds since 1970";
        const NBF: &str = "claim nbf has the wrong type or value: it must be a number of seconds since 1970";
        const IAT: &str = "claim iat has the wrong type or value: it must be a number of seconds since 1970";
        Ok(Times {
            issued: self.time("iat", IAT)?,
            not_before: self.time("nbf", NBF)?,
            expires: self.time("exp", EXP)?.ok_or("claim exp is missing")?,
        })
    }

    /// A NumericDate (RFC 7519, section 2): seconds, possibly with a fraction or an exponent.
    fn time(&self, name: &str, wrong: &'static str) -> Result<Option<Timestamp>, &'static str> {
        let Some(value) = self.named(name) else { return Ok(None) };
        let millis = value.as_f64().ok_or(wrong)? * 1000.0;
        // Beyond u64 the cast saturates, which is `NEVER`.
        if millis >= 0.0 { Ok(Some(Timestamp(millis as u64))) } else { Err(wrong) }
    }

    /// A claim that is there, and is not null.
    fn named(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
}

/// The claim of a name; where there is none, its parts before and behind a dot lead to one. Null is
/// no claim.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value).filter(|value| !value.is_null());
    }
    // The longest first: names of claims have dots, too.
    name.rmatch_indices('.').find_map(|(dot, _)| {
        let inner = claims.get(&name[..dot])?.as_object()?;
        find(inner, &name[dot + 1..])
    })
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Claims;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of claims")
    }

    /// RFC 7519, section 4: a claim that stands twice may be refused. Who reads the one and who
    /// reads the other would not agree on who somebody is.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Claims, A::Error> {
        let mut claims = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if claims.insert(name, value).is_some() {
                return Err(A::Error::custom("a claim stands twice"));
            }
        }
        Ok(Claims(claims))
    }
}
