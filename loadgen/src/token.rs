//! Signs the tokens of everybody in a replay, with the broker's development key.
//!
//! A stand-in for the hospital's identity provider, for tests and demos only. Tokens and keys never
//! reach a log or an error text.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// How long the tokens are good.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// What the tokens say beside who the bearer is.
#[derive(Clone, Debug, clap::Args)]
pub struct Claims {
    /// Issuer (`iss`).
    #[arg(long, default_value = "wardline-dev")]
    pub issuer: String,
    /// Audience (`aud`).
    #[arg(long, default_value = "wardline")]
    pub audience: String,
    /// Tenant.
    #[arg(long, default_value = "dev")]
    pub tenant: String,
    /// Key id (`kid`); without it, the broker goes by the algorithm.
    #[arg(long)]
    pub key_id: Option<String>,
}

impl Claims {
    /// As they are given on a command line.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let Self { issuer, audience, tenant, key_id } = self;
        let mut given = vec![("--issuer", issuer), ("--audience", audience), ("--tenant", tenant)];
        given.extend(key_id.as_ref().map(|id| ("--key-id", id)));
        given.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()]).collect()
    }
}

/// What everybody may: workloads have broadcasts.
const ROLES: [&str; 1] = ["broadcaster"];

/// Signs tokens.
pub struct Signer {
    key: EncodingKey,
    claims: Claims,
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    tenant: &'a str,
    roles: &'a [&'a str],
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Signer {
    /// Reads an Ed25519 key (PKCS#8, PEM).
    ///
    /// # Errors
    /// If the file cannot be read or has no such key.
    pub fn from_file(path: &Path, claims: Claims) -> anyhow::Result<Self> {
        let pem =
            std::fs::read(path).with_context(|| format!("cannot read the signing key {}", path.display()))?;
        let key = EncodingKey::from_ed_pem(&pem)
            .with_context(|| format!("{} is not an Ed25519 key in PKCS#8 PEM", path.display()))?;
        Ok(Self { key, claims })
    }

    /// Signs a token for a person.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub fn sign(&self, user: &str) -> anyhow::Result<String> {
        let now_s =
            SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        let payload = Payload {
            iss: &self.claims.issuer,
            aud: &self.claims.audience,
            sub: user,
            tenant: &self.claims.tenant,
            roles: &ROLES,
            iat: now_s,
            nbf: now_s,
            exp: now_s + LIFETIME.as_secs(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = self.claims.key_id.clone();
        jsonwebtoken::encode(&header, &payload, &self.key).context("cannot sign a token")
    }
}
