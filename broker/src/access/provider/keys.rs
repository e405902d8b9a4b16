//! Reads an issuer's keys as it publishes them: its discovery document, then the set that it names.

use std::time::Duration;

use bytes::Bytes;

use super::config::Config;
use super::document::{self, DOCUMENT, Document};
use super::error::ProviderError;
use super::introspection;
use crate::access::auth::Verifier;
use crate::https::Https;

/// What the set is called in texts.
const SET: &str = "the key set (jwks_uri)";

/// What an issuer says of itself.
#[derive(Debug)]
pub struct Fetched {
    /// With its keys.
    pub verifier: Verifier,
    /// The set as it came.
    pub(super) set: Bytes,
    /// For how long it is fresh, as the issuer says.
    pub(super) fresh_for: Option<Duration>,
    pub(super) document: Document,
}

pub(super) async fn fetch(https: &Https, config: &Config) -> Result<Fetched, ProviderError> {
    let of = |of| move |source| ProviderError::Https { of, source };
    let address = document::address(&config.expected.issuer)?;
    let answer = https.get(&address).await.map_err(of(DOCUMENT))?;
    let document = document::read(&answer.body, &config.expected.issuer)?;
    let answer = https.get(&document.keys).await.map_err(of(SET))?;
    let verifier = Verifier::from_bytes(&answer.body, SET, config.expected.clone())?;
    Ok(Fetched { verifier, set: answer.body, fresh_for: answer.fresh_for, document })
}

/// Asks an issuer once, for `check-config` and `doctor`.
///
/// # Errors
/// [`ProviderError`] saying what is wrong.
///
/// # Cancellation
/// Nothing comes of it.
pub async fn try_out(config: &Config) -> Result<Fetched, ProviderError> {
    let https = Https::new(&config.trust, config.pace.bounds());
    let fetched = fetch(&https, config).await?;
    if let Some(account) = &config.introspection {
        if fetched.document.introspection.is_none() {
            return Err(ProviderError::NoAddress("introspection_endpoint"));
        }
        introspection::login(account).await?;
    }
    Ok(fetched)
}
