//! Keys for trying Wardline out: a certificate authority, a server certificate and a token signing
//! key of its own.
//!
//! They lie in `<data>/dev/`, are made once and kept, so that a restarted broker is the same broker
//! to its clients. Folder and files are readable by their owner only. A file appears whole or not
//! at all. Never for production: whoever reads the folder can be the broker, and everybody in every
//! tenant.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use thiserror::Error;
use wardline_storage::id::Timestamp;

use crate::edge::tls::{Validity, validity};
use crate::operator::private::{self, Content, PrivateError};

/// The `iss` of development tokens.
pub const ISSUER: &str = "wardline-dev";
/// The tenant of development tokens, unless told otherwise.
pub const TENANT: &str = "dev";

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server-key.pem";
const TOKEN_KEY: &str = "token-key.pem";
const JWKS: &str = "jwks.json";
/// The `kid` of the token key.
const KID: &str = "dev";

const DAY: Duration = Duration::from_secs(86_400);
const CA_DAYS: u32 = 3650;
const SERVER_DAYS: u32 = 90;
/// A server certificate that ends sooner than this is replaced at start.
const RENEW_DAYS: u32 = 30;
/// Certificates begin this much earlier, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Development keys cannot be made or used. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DevError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read the keys.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// There are no development keys.
    #[error(
        "there is no development key {path}; start `wardline serve --dev` once, or name its data folder with --data"
    )]
    Absent {
        /// The file that is not there.
        path: PathBuf,
    },
    /// A file is not what was written there.
    #[error(
        "{path} is damaged ({detail}); remove the folder around it, `wardline serve --dev` makes it anew"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The cryptographic library refused.
    #[error("cannot make development keys: {0}")]
    Crypto(String),
}

/// A folder with development keys.
#[derive(Clone, Debug)]
pub struct Dev {
    folder: PathBuf,
}

/// What a development token says.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Claim `sub`.
    pub user: String,
    /// Claim `tenant`.
    pub tenant: String,
    /// Claim `roles`.
    pub roles: Vec<String>,
}

impl Dev {
    /// Names the folder of a data folder; touches nothing.
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join("dev") }
    }

    /// Whether there is such a folder.
    pub fn is_there(&self) -> bool {
        self.folder.is_dir()
    }

    /// Makes what is missing, and replaces a server certificate that is near its end.
    ///
    /// # Errors
    /// [`DevError`] if a file cannot be read, written or understood.
    pub fn prepare(&self, now: Timestamp) -> Result<(), DevError> {
        private::make(&self.folder)?;
        private::narrow(&self.folder, Content::Ours)?;
        if !(self.has(CA) && self.has(CA_KEY)) {
            self.make_ca(now)?;
        }
        if self.server_is_due(now)? {
            self.make_server(now)?;
        }
        if !self.has(TOKEN_KEY) {
            let key = KeyPair::generate_for(&PKCS_ED25519).map_err(crypto)?;
            self.write(TOKEN_KEY, &key.serialize_pem())?;
        }
        // Always, so that it fits the key whatever happened in between.
        self.write_jwks()
    }

    /// The certificate authority's certificate, for clients.
    pub fn ca(&self) -> PathBuf {
        self.folder.join(CA)
    }

    /// The server's certificate chain.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(SERVER)
    }

    /// The server's private key.
    pub fn key(&self) -> PathBuf {
        self.folder.join(SERVER_KEY)
    }

    /// The public key that tokens are verified with.
    pub fn jwks(&self) -> PathBuf {
        self.folder.join(JWKS)
    }

    /// Signs a token, good from `now` for `ttl`.
    ///
    /// # Errors
    /// [`DevError`] if there is no signing key, or it is damaged.
    pub fn token(
        &self,
        bearer: &Bearer,
        audience: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<String, DevError> {
        let der = self.token_key()?.serialize_der();
        let issued_at = now.0 / 1000;
        let claims = Claims {
            iss: ISSUER,
            aud: audience,
            sub: &bearer.user,
            tenant: &bearer.tenant,
            roles: &bearer.roles,
            iat: issued_at,
            nbf: issued_at,
            exp: issued_at.saturating_add(ttl.as_secs()),
        };
        let header = Header { kid: Some(KID.into()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&der)).map_err(crypto)
    }

    fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    fn make_ca(&self, now: Timestamp) -> Result<(), DevError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let certificate = ca_params(now).self_signed(&key).map_err(crypto)?;
        // A server certificate of an older authority would not be believed.
        let _ = fs::remove_file(self.certificate());
        self.write(CA_KEY, &key.serialize_pem())?;
        self.write(CA, &certificate.pem())
    }

    fn server_is_due(&self, now: Timestamp) -> Result<bool, DevError> {
        if !(self.has(SERVER) && self.has(SERVER_KEY)) {
            return Ok(true);
        }
        let pem = self.read(SERVER)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|error| self.damaged(SERVER, &error))?;
        Ok(validity(&chain, since_epoch(now) + DAY * RENEW_DAYS) != Validity::Valid)
    }

    fn make_server(&self, now: Timestamp) -> Result<(), DevError> {
        let ca_key = KeyPair::from_pem(&self.read(CA_KEY)?).map_err(|error| self.damaged(CA_KEY, &error))?;
        // The issuer's name and key are all that is signed into the new certificate.
        let issuer = Issuer::new(ca_params(now), ca_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).map_err(crypto)?;
        params.distinguished_name = named("Wardline development server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_dates(&mut params, now, SERVER_DAYS);
        let certificate = params.signed_by(&key, &issuer).map_err(crypto)?;
        self.write(SERVER_KEY, &key.serialize_pem())?;
        self.write(SERVER, &certificate.pem())
    }

    fn write_jwks(&self) -> Result<(), DevError> {
        let pair = Ed25519KeyPair::from_pkcs8(self.token_key()?.serialized_der())
            .map_err(|error| self.damaged(TOKEN_KEY, &error))?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let jwk = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": KID, "x": x,
        });
        self.write(JWKS, &format!("{:#}\n", serde_json::json!({ "keys": [jwk] })))
    }

    fn token_key(&self) -> Result<KeyPair, DevError> {
        let path = self.folder.join(TOKEN_KEY);
        if !path.exists() {
            return Err(DevError::Absent { path });
        }
        KeyPair::from_pkcs8_pem_and_sign_algo(&self.read(TOKEN_KEY)?, &PKCS_ED25519)
            .map_err(|error| self.damaged(TOKEN_KEY, &error))
    }

    fn read(&self, name: &str) -> Result<String, DevError> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).map_err(|source| DevError::File { doing: "read", path, source })
    }

    /// Writes beside and renames, so that a crash leaves the old file or the new one.
    fn write(&self, name: &str, content: &str) -> Result<(), DevError> {
        let path = self.folder.join(name);
        let beside = self.folder.join(format!("{name}.new"));
        let write = || {
            // A file left over from a crash may have other permissions.
            match fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|source| DevError::File { doing: "write", path: path.clone(), source })
    }

    fn damaged(&self, name: &str, detail: &dyn std::fmt::Display) -> DevError {
        DevError::Damaged { path: self.folder.join(name), detail: detail.to_string() }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    tenant: &'a str,
    roles: &'a [String],
    iat: u64,
    nbf: u64,
    exp: u64,
}

fn ca_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Wardline development CA, not for production");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_dates(&mut params, now, CA_DAYS);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_dates(params: &mut CertificateParams, now: Timestamp, days: u32) {
    let begin = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(now).saturating_sub(BACKDATED);
    params.not_before = begin;
    params.not_after = begin + DAY * days;
}

fn since_epoch(now: Timestamp) -> Duration {
    Duration::from_millis(now.0)
}

fn crypto(error: impl std::fmt::Display) -> DevError {
    DevError::Crypto(error.to_string())
}
