//! The discovery document of an issuer (OpenID Connect Discovery 1.0, section 4): where its keys
//! are.
//!
//! It must name the issuer that was asked, letter by letter (section 4.3): who could answer for
//! another one could give it keys. What it names must be `https`; it may be on another host.

use serde::Deserialize;
use url::Url;

use super::error::ProviderError;
use crate::https::HttpsError;

/// What it is called in texts.
pub(super) const DOCUMENT: &str = "the discovery document";
const PATH: &str = "/.well-known/openid-configuration";

/// What is of use in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) keys: Url,
    pub(super) introspection: Option<Url>,
}

#[derive(Deserialize)]
struct Raw {
    issuer: String,
    jwks_uri: Option<String>,
    introspection_endpoint: Option<String>,
}

/// Where the document of an issuer is.
pub(super) fn address(issuer: &str) -> Result<Url, ProviderError> {
    let below = || {
        // By itself: what comes behind it could become its host.
        let own = https(issuer).filter(|own| own.query().is_none() && own.fragment().is_none())?;
        let address = format!("{}{PATH}", issuer.strip_suffix('/').unwrap_or(issuer));
        https(&address).filter(|address| address.origin() == own.origin())
    };
    below().ok_or(ProviderError::Https { of: DOCUMENT, source: HttpsError::Address })
}

/// Reads one that came from there.
pub(super) fn read(body: &[u8], issuer: &str) -> Result<Document, ProviderError> {
    let raw: Raw = serde_json::from_slice(body).map_err(|_| ProviderError::not_json(DOCUMENT, body))?;
    if raw.issuer != issuer {
        return Err(ProviderError::OtherIssuer);
    }
    let keys = raw.jwks_uri.as_deref().and_then(https).ok_or(ProviderError::NoAddress("jwks_uri"))?;
    Ok(Document { keys, introspection: raw.introspection_endpoint.as_deref().and_then(https) })
}

fn https(address: &str) -> Option<Url> {
    Url::parse(address)
        .ok()
        .filter(|url| url.scheme() == "https" && url.has_host() && url.username().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example/realms/north";

    #[test]
    fn it_lies_below_the_issuer() {
        let expected = "https://id.example/realms/north/.well-known/openid-configuration";
        assert_eq!(address(ISSUER).expect("it is one").as_str(), expected);
        assert_eq!(address(&format!("{ISSUER}/")).expect("it is one").as_str(), expected);
        for odd in [
            "",
            "id.example",
            "http://id.example",
            "https://",
            "https://me:pw@id.example",
            "https://id.example/?a",
            "https://id.example/#a",
            "file:///etc",
        ] {
            assert!(address(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn only_one_of_the_issuer_that_was_asked_is_taken() {
        let good = r#"{"issuer": "https://id.example/realms/north", "jwks_uri": "https://keys.example/", "more": [1]}"#;
        let document = read(good.as_bytes(), ISSUER).expect("it is good");
        assert_eq!((document.keys.as_str(), document.introspection), ("https://keys.example/", None));
        let label = |text: &str| read(text.as_bytes(), ISSUER).expect_err("it is not").label();
        for (text, why) in [
            ("", "not_json"),
            ("<html>", "not_json"),
            ("[]", "not_json"),
            ("{}", "not_json"),
            (r#"{"issuer": 1, "jwks_uri": "https://k/"}"#, "not_json"),
            // Who reads the one and who reads the other would not agree.
            (
                r#"{"issuer": "https://id.example/realms/north", "issuer": "x", "jwks_uri": "https://k/"}"#,
                "not_json",
            ),
            (r#"{"issuer": "https://id.example/realms/north/", "jwks_uri": "https://k/"}"#, "other_issuer"),
            (r#"{"issuer": "https://ID.example/realms/north", "jwks_uri": "https://k/"}"#, "other_issuer"),
            (r#"{"issuer": "https://id.example/realms/south", "jwks_uri": "https://k/"}"#, "other_issuer"),
            (r#"{"issuer": "https://id.example/realms/north"}"#, "no_address"),
            (r#"{"issuer": "https://id.example/realms/north", "jwks_uri": "http://k/"}"#, "no_address"),
            (r#"{"issuer": "https://id.example/realms/north", "jwks_uri": "/keys"}"#, "no_address"),
        ] {
            assert_eq!(label(text), why, "{text}");
        }
    }
}
