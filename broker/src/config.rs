//! Configuration: a TOML file, then the environment, then flags; the later wins.
//!
//! Every key is known to the table in `key`, which gives its type, its range and its place in
//! [`Config`]. Whatever is not in that table is refused, whichever way it came, naming the nearest
//! known key. Nothing is read but the one file; certificates, keys and data are opened by those who
//! use them.

mod error;
mod foreign;
mod issuer;
mod key;
mod layer;
mod tenant;
mod typed;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wardline_storage::ballast::Ballast;

use crate::access::auth::tenants::Tenants;
use crate::access::auth::{Expected, Verifier};
use crate::access::provider;
use crate::limits::ENVELOPE_BYTES;
use crate::settings::{DiskWatch, Settings, Tls};

/// Bounds of the ballast where none is set.
const BALLAST_BYTES_MIN: u64 = 32 << 20;
const BALLAST_BYTES_MAX: u64 = 256 << 20;
/// And one part in so many of a small disk.
const BALLAST_SHARE: u64 = 4;

pub use error::ConfigError;
pub use layer::Setting;
pub use typed::{Config, Issuer, PORT};

impl Config {
    /// What `serve --dev` starts from: reachable from this machine only.
    pub fn dev() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), ..Self::default() }
    }

    /// Puts a file, the environment and flags over this configuration, in that order of strength.
    ///
    /// Of the environment, `WARDLINE_<SECTION>_<KEY>` is read. `WARDLINE_TOKEN`, `WARDLINE_LOG` and
    /// the tests' `WARDLINE_SEED` and `WARDLINE_SEQUENCES` are not configuration; nor is what a
    /// container platform sets for a service whose name begins so (`foreign`).
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
        for flag in flags {
            layers.push(flag.assignment()?);
        }
        // What holds for everybody comes first: a tenant and an issuer begin with it.
        layers.sort_by_key(layer::Assignment::is_of_one);
        for assignment in layers {
            assignment.apply(&mut self)?;
        }
        self.limits.frame_bytes_max = self.limits.payload_bytes_max + ENVELOPE_BYTES;
        self.limits.check()?;
        issuer::check(&self)?;
        match self.http_listen {
            Some(address) if !is_loopback(address) && !self.http_remote => {
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
            (
                "auth.jwks",
                self.needs_file_keys() && self.auth_jwks.as_os_str().is_empty(),
                "the keys of who issues tokens, a JWK set, unless there are [issuers]",
            ),
            (
                "auth.issuer",
                self.needs_file_keys() && self.auth_issuer.is_empty(),
                "the `iss` that tokens must have, unless there are [issuers]",
            ),
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
            ("issuers", self.issuers.is_empty()),
        ];
        match keys.into_iter().find(|(_, empty)| !empty) {
            Some((key, _)) => Err(ConfigError::DevKeys { key }),
            None => Ok(()),
        }
    }

    /// Checks that no other machine reaches a broker with development keys.
    ///
    /// # Errors
    /// [`ConfigError::DevRemote`] if one does.
    pub fn refuse_remote(&self) -> Result<(), ConfigError> {
        match is_loopback(self.listen) {
            true => Ok(()),
            false => Err(ConfigError::DevRemote { address: self.listen }),
        }
    }

    /// Whether there is an issuer whose keys are in a file.
    fn needs_file_keys(&self) -> bool {
        self.issuers.is_empty() || !self.auth_issuer.is_empty() || !self.auth_jwks.as_os_str().is_empty()
    }

    /// The file with token keys, if there is one.
    pub fn jwks(&self) -> Option<PathBuf> {
        self.needs_file_keys().then(|| self.auth_jwks.clone())
    }

    /// What tokens must say whose keys are in a file.
    pub fn expected(&self) -> Expected {
        let others = self.issuers.values().flat_map(Issuer::tenants);
        Expected {
            issuer: self.auth_issuer.as_str().into(),
            audience: self.auth_audience.clone(),
            client: self.auth_audience.clone(),
            tenants: Tenants::AllBut(others.map(str::to_owned).collect()),
            leeway: self.auth_leeway,
            lifetime_max: self.auth_lifetime,
            tenant_claim: self.auth_tenant_claim.clone(),
            roles_claim: self.auth_roles_claim.clone(),
        }
    }

    /// How much ballast a store on a disk of this size is to have. Unless it is set: half of the
    /// reserve, within bounds, and no more than a part of a small disk.
    pub fn ballast_bytes(&self, disk_bytes: u64) -> u64 {
        match (self.storage_ballast_bytes, self.storage_reserve_bytes) {
            (Some(set), _) => set,
            // Nobody watches when it would be wanted.
            (None, 0) => 0,
            (None, reserve) => {
                (reserve / 2).clamp(BALLAST_BYTES_MIN, BALLAST_BYTES_MAX).min(disk_bytes / BALLAST_SHARE)
            }
        }
    }

    /// What the library needs to run. The disk is watched if the engine writes to it: its `folder`
    /// ([`Engine::folder`](wardline_storage::engine::Engine::folder)), with the ballast in it.
    pub fn into_settings(
        self,
        tls: Tls,
        verifier: Option<Arc<Verifier>>,
        providers: Vec<provider::Config>,
        folder: Option<&Path>,
        ballast: Option<Arc<Ballast>>,
    ) -> Settings {
        let watched = folder.filter(|_| self.storage_reserve_bytes > 0);
        Settings {
            listen: self.listen,
            tls,
            verifier,
            providers,
            limits: self.limits,
            policy: self.policy,
            retention: self.retention,
            reclaim_every: self.reclaim_every,
            stop_deadline: self.stop_deadline,
            disk: watched.map(|folder| DiskWatch {
                path: folder.to_owned(),
                reserve_bytes: self.storage_reserve_bytes,
                ballast,
            }),
        }
    }
}

/// Also one of IPv4 that is written as one of IPv6.
fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The names of all keys, `section.key`, in the order of the reference file.
pub fn keys() -> impl Iterator<Item = &'static str> {
    key::KEYS.iter().map(|key| key.name)
}
