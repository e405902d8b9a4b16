//! The configuration, typed: every key with its default.
//!
//! Checks nothing: what a key takes is its own business, and what must hold between keys that of
//! whoever is bounded by them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use wardline_storage::model::Policy;

use crate::access::provider::Pace;
use crate::limits::Limits;
use crate::retention::{Kept, Retention, Terms};

/// Where clients expect the broker, unless told otherwise.
pub const PORT: u16 = 4433;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What the operator says of an issuer that is asked over HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuer {
    /// `issuer`.
    pub issuer: String,
    /// `ca`. Empty: whom the host trusts.
    pub ca: PathBuf,
    /// `audience`. Empty, here and below: as in `auth`.
    pub audience: String,
    /// `tenant`. Empty: `tenants`.
    pub tenant: String,
    /// `tenants`.
    pub tenants: BTreeSet<String>,
    /// `tenant_claim`.
    pub tenant_claim: String,
    /// `roles_claim`.
    pub roles_claim: String,
    /// `client`. Empty: the audience.
    pub client: String,
    /// `client_secret`. Empty: not set.
    pub client_secret: PathBuf,
    /// `introspect`.
    pub introspect: bool,
}

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
    /// `auth.lifetime`.
    pub auth_lifetime: Duration,
    /// `auth.tenant_claim`.
    pub auth_tenant_claim: String,
    /// `auth.roles_claim`.
    pub auth_roles_claim: String,
    /// `auth.fetch_*`, `auth.keys_kept` and `auth.introspect_*`.
    pub auth_pace: Pace,
    /// `issuers.*`, by the name that the operator gave.
    pub issuers: BTreeMap<String, Issuer>,
    /// `logout.listen` (TCP); `None`: off.
    pub logout_listen: Option<SocketAddr>,
    /// `storage.path`.
    pub storage_path: PathBuf,
    /// `storage.engine`: a name, whether or not there is such an engine. Empty: the program's
    /// first that keeps files.
    pub storage_engine: String,
    /// `storage.memory`, in bytes: what the engine may hold of its data.
    pub storage_memory_bytes: usize,
    /// `storage.reserve`, in bytes; 0: the disk is not watched.
    pub storage_reserve_bytes: u64,
    /// `storage.ballast`, in bytes; `None`: by the reserve ([`Config::ballast_bytes`]).
    pub storage_ballast_bytes: Option<u64>,
    /// `retention.max`, `retention.dedupe_window`, `limits.members` and `limits.devices`.
    pub policy: Policy,
    /// The rest of `retention.*` for everybody, and `tenants.*`.
    pub retention: Retention,
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
            auth_lifetime: 7 * 24 * HOUR,
            auth_tenant_claim: "tenant".into(),
            auth_roles_claim: "roles".into(),
            auth_pace: Pace::default(),
            issuers: BTreeMap::new(),
            logout_listen: None,
            storage_path: "data".into(),
            storage_engine: String::new(),
            storage_memory_bytes: 256 * 1024 * 1024,
            storage_reserve_bytes: 512 * 1024 * 1024,
            storage_ballast_bytes: None,
            policy: Policy {
                retention_max: 30 * 24 * HOUR,
                dedupe_window: 24 * HOUR,
                members_max: 10_000,
                devices_max: 16,
            },
            retention: Retention {
                everybody: Terms {
                    direct: Kept::from(HOUR),
                    group: Kept::from(HOUR),
                    broadcast: Kept::from(HOUR),
                    message_min: MINUTE,
                },
                tenants: BTreeMap::new(),
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
