//! Asks an issuer whether a token is still active (RFC 7662).
//!
//! The token goes to the issuer that made it and to nobody else. Of the answer only `active` is
//! used: what the token says was signed.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::config::Account;
use super::error::ProviderError;
use crate::https::{Https, Login};

/// What it is called in texts.
const ENDPOINT: &str = "the introspection endpoint";
/// Longest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 1024;

#[derive(Deserialize)]
struct Answer {
    active: bool,
}

/// Whether the issuer says that a token is active; `address` is `None` as long as it has not said
/// where to ask.
pub(super) async fn ask(
    https: &Https,
    address: Option<&Url>,
    account: &Account,
    token: &str,
) -> Result<bool, ProviderError> {
    let address = address.ok_or(ProviderError::NoAddress("introspection_endpoint"))?;
    let login = login(account).await?;
    let form = Serializer::new(String::new())
        .append_pair("token", token)
        .append_pair("token_type_hint", "access_token")
        .finish();
    let answer = https.post(address, Some(&login), form).await;
    let answer = answer.map_err(|source| ProviderError::Https { of: ENDPOINT, source })?;
    let read: Result<Answer, _> = serde_json::from_slice(&answer.body);
    read.map(|answer| answer.active).map_err(|_| ProviderError::not_json(ENDPOINT, &answer.body))
}

/// RFC 6749, section 2.3.1: name and secret are encoded as in a form, then as RFC 7617 has it.
pub(super) async fn login(account: &Account) -> Result<Login, ProviderError> {
    let secret = secret(&account.secret).await.map_err(ProviderError::Secret)?;
    let form = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", form(&account.client), form(&secret));
    let odd = || ProviderError::Secret(std::io::ErrorKind::InvalidData.into());
    Login::new(&format!("Basic {}", STANDARD.encode(pair))).ok_or_else(odd)
}

async fn secret(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).await?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(std::io::ErrorKind::UnexpectedEof.into()),
        secret => Ok(secret.to_owned()),
    }
}
