//! Configuration: a TOML file, then the environment, then flags; the later wins.
//!
//! Every key is known to the table in `key`, which gives its type, its range and its place in
//! [`Config`]. Whatever is not in that table is refused, whichever way it came, naming the nearest
//! known key. Nothing is read but the one file; certificates, keys and data are opened by those who
//! use them.

mod key;
mod layer;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use wardline_storage::command::Policy;

use crate::access::auth::{Expected, Verifier};
use crate::limits::{Contradiction, ENVELOPE_BYTES, Limits};
use crate::settings::{DiskWatch, Settings, Tls};

pub use layer::Setting;

/// Where clients expect the broker, unless told otherwise.
pub const PORT: u16 = 4433;
const HOUR: Duration = Duration::from_secs(3600);

/// Everything that can be configured, typed and within its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `listen.address` (UDP).
    pub listen: SocketAddr,
    /// `tls.certificate`: PEM, leaf first. Empty: not set.
    pub tls_certificate: PathBuf,
    /// `tls.key`: PEM. Empty: not set.
    pub tls_key: PathBuf,
    /// `auth.jwks`. Empty: not set.
    pub auth_jwks: PathBuf,
    /// `auth.issuer`. Empty: not set.
    pub auth_issuer: String,
    /// `auth.audience`.
    pub auth_audience: String,
    /// `auth.leeway`.
    pub auth_leeway: Duration,
    /// `storage.path`.
    pub storage_path: PathBuf,
    /// `storage.engine`: a name, whether or not there is such an engine. Empty: the program's
    /// first that keeps files.
    pub storage_engine: String,
    /// `storage.memory`, in bytes: what the engine may hold of its data.
    pub storage_memory_bytes: usize,
    /// `storage.reserve`, in bytes; 0: the disk is not watched.
    pub storage_reserve_bytes: u64,
    /// `retention.max`, `retention.dedupe_window`, `limits.members` and `limits.devices`.
    pub policy: Policy,
    /// `retention.reclaim_every`.
    pub reclaim_every: Duration,
    /// `stop.notice`.
    pub stop_notice: Duration,
    /// `stop.deadline`.
    pub stop_deadline: Duration,
    /// `http.listen` (TCP); `None`: off.
    pub http_listen: Option<SocketAddr>,
    /// `http.remote`.
    pub http_remote: bool,
    /// `log.filter`; [`crate::operator::text_log`] reads it.
    pub log_filter: String,
    /// The rest of `limits.*`.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            auth_jwks: PathBuf::new(),
            auth_issuer: String::new(),
            auth_audience: "wardline".into(),
            auth_leeway: Duration::from_secs(30),
            storage_path: "data".into(),
            storage_engine: String::new(),
            storage_memory_bytes: 256 * 1024 * 1024,
            storage_reserve_bytes: 512 * 1024 * 1024,
            policy: Policy {
                retention_max: 30 * 24 * HOUR,
                dedupe_window: 24 * HOUR,
                members_max: 10_000,
                devices_max: 16,
            },
            reclaim_every: HOUR,
            stop_notice: Duration::from_millis(200),
            stop_deadline: Duration::from_secs(10),
            http_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9433))),
            http_remote: false,
            log_filter: "info".into(),
            limits: Limits::default(),
        }
    }
}

/// The configuration is wrong. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}; check the path given with --config")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, for example because it was only half written.
    #[error(
        "{origin}: not valid TOML: {detail}; correct it there, `wardline check-config` tells when it is right"
    )]
    Syntax {
        /// File and line.
        origin: String,
        /// The parser's words.
        detail: String,
    },
    /// No such key.
    #[error("{origin}: unknown key {key}; the nearest known key is {nearest}")]
    Unknown {
        /// File and line, environment variable, or flag.
        origin: String,
        /// What was given.
        key: String,
        /// What may have been meant.
        nearest: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: {key} = {value} is not allowed; it must be {allowed}")]
    Value {
        /// File and line, environment variable, or flag.
        origin: String,
        /// Which key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        allowed: String,
    },
    /// A flag that is not `section.key=value`.
    #[error("--set {given} is not of the form section.key=value")]
    Form {
        /// What was given.
        given: String,
    },
    /// Values that are fine each, but not together.
    #[error("{0}; change one of them in [limits]")]
    Limits(#[from] Contradiction),
    /// The pages would be seen from other machines, and nobody said that they may.
    #[error(
        "http.listen = \"{address}\" can be reached from other machines: set http.remote = true if it should be (with \
         TLS, by the broker's certificate), or listen on 127.0.0.1"
    )]
    HttpRemote {
        /// Where.
        address: SocketAddr,
    },
    /// A key that has no default was not set.
    #[error(
        "{key} is not set: {what}; set it in the configuration (see wardline.toml), or try `serve --dev` first"
    )]
    NotSet {
        /// Which key.
        key: &'static str,
        /// What it is for.
        what: &'static str,
    },
    /// Production keys were configured and development keys asked for.
    #[error("{key} is set, but --dev makes its own; remove one of the two")]
    DevKeys {
        /// Which key.
        key: &'static str,
    },
}

impl Config {
    /// What `serve --dev` starts from: reachable from this machine only, and no pages.
    pub fn dev() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), http_listen: None, ..Self::default() }
    }

    /// Puts a file, the environment and flags over this configuration, in that order of strength.
    ///
    /// Of the environment, `WARDLINE_<SECTION>_<KEY>` is read. `WARDLINE_TOKEN`, `WARDLINE_LOG` and
    /// the tests' `WARDLINE_SEED` and `WARDLINE_SEQUENCES` are not configuration; nor is
    /// `WARDLINE_SERVICE_*` and `WARDLINE_PORT*`, which Kubernetes sets beside a service of that
    /// name.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first thing that is wrong, and where it came from.
    pub fn layered(
        mut self,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[Setting],
    ) -> Result<Self, ConfigError> {
        let mut layers = Vec::new();
        if let Some(path) = file {
            layers.extend(layer::from_file(path)?);
        }
        layers.extend(layer::from_environment(environment)?);
        for assignment in layers {
            assignment.apply(&mut self)?;
        }
        for flag in flags {
            flag.assignment()?.apply(&mut self)?;
        }
        self.limits.frame_bytes_max = self.limits.payload_bytes_max + ENVELOPE_BYTES;
        self.limits.check()?;
        match self.http_listen {
            Some(address) if !address.ip().is_loopback() && !self.http_remote => {
                Err(ConfigError::HttpRemote { address })
            }
            _ => Ok(self),
        }
    }

    /// Checks that everything without a default is set: certificate, keys, issuer.
    ///
    /// # Errors
    /// [`ConfigError::NotSet`] naming the first one that is not.
    pub fn require_keys(&self) -> Result<(), ConfigError> {
        let keys = [
            (
                "tls.certificate",
                self.tls_certificate.as_os_str().is_empty(),
                "the server's certificate chain in PEM",
            ),
            ("tls.key", self.tls_key.as_os_str().is_empty(), "the certificate's private key in PEM"),
            ("auth.jwks", self.auth_jwks.as_os_str().is_empty(), "the keys of who issues tokens, a JWK set"),
            ("auth.issuer", self.auth_issuer.is_empty(), "the `iss` that tokens must have"),
        ];
        match keys.into_iter().find(|(_, empty, _)| *empty) {
            Some((key, _, what)) => Err(ConfigError::NotSet { key, what }),
            None => Ok(()),
        }
    }

    /// Checks that nothing is set which `--dev` makes by itself.
    ///
    /// # Errors
    /// [`ConfigError::DevKeys`] naming the first one that is.
    pub fn refuse_keys(&self) -> Result<(), ConfigError> {
        let keys = [
            ("tls.certificate", self.tls_certificate.as_os_str().is_empty()),
            ("tls.key", self.tls_key.as_os_str().is_empty()),
            ("auth.jwks", self.auth_jwks.as_os_str().is_empty()),
            ("auth.issuer", self.auth_issuer.is_empty()),
        ];
        match keys.into_iter().find(|(_, empty)| !empty) {
            Some((key, _)) => Err(ConfigError::DevKeys { key }),
            None => Ok(()),
        }
    }

    /// What tokens must say.
    pub fn expected(&self) -> Expected {
        Expected {
            issuer: self.auth_issuer.clone(),
            audience: self.auth_audience.clone(),
            leeway: self.auth_leeway,
        }
    }

    /// What the library needs to run. The disk is watched if the engine writes to it: its `folder`
    /// ([`Engine::folder`](wardline_storage::engine::Engine::folder)).
    pub fn into_settings(self, tls: Tls, verifier: Arc<Verifier>, folder: Option<&Path>) -> Settings {
        let watched = folder.filter(|_| self.storage_reserve_bytes > 0);
        Settings {
            listen: self.listen,
            tls,
            verifier,
            limits: self.limits,
            policy: self.policy,
            reclaim_every: self.reclaim_every,
            stop_deadline: self.stop_deadline,
            disk: watched.map(|folder| DiskWatch {
                path: folder.to_owned(),
                reserve_bytes: self.storage_reserve_bytes,
            }),
        }
    }
}

/// The names of all keys, `section.key`, in the order of the reference file.
pub fn keys() -> impl Iterator<Item = &'static str> {
    key::KEYS.iter().map(|key| key.name)
}
