//! What the library needs to run, already read, checked and typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wardline_storage::ballast::Ballast;
use wardline_storage::model::Policy;

use crate::access::auth::Verifier;
use crate::access::provider;
use crate::limits::Limits;
use crate::retention::Retention;

/// What the library needs to run.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen (UDP). Port 0: any free one.
    pub listen: SocketAddr,
    /// Certificate chain and key. The endpoint adds TLS 1.3, ALPN and no early data.
    pub tls: Tls,
    /// Checks tokens of the issuer whose keys are in a file, if there is one.
    pub verifier: Option<Arc<Verifier>>,
    /// The issuers that are asked over HTTPS.
    pub providers: Vec<provider::Config>,
    /// Bounds.
    pub limits: Limits,
    /// Bounds that the store is to apply: put in force at start, if others are.
    pub policy: Policy,
    /// How long messages may be kept: put in force at start, too.
    pub retention: Retention,
    /// How often expired bytes are reclaimed. They are gone within twice this.
    pub reclaim_every: Duration,
    /// Longest time for a graceful stop.
    pub stop_deadline: Duration,
    /// Messages are refused while the file system has less room than this; `None`: not watched.
    pub disk: Option<DiskWatch>,
}

/// Certificate chain and private key.
#[derive(Clone)]
pub struct Tls {
    /// Leaf first.
    pub chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    /// The leaf's key.
    pub key: Arc<rustls::pki_types::PrivateKeyDer<'static>>,
}

/// Which file system to watch, and how much room it must have.
#[derive(Clone, Debug)]
pub struct DiskWatch {
    /// A folder on it.
    pub path: PathBuf,
    /// Bytes that must stay free.
    pub reserve_bytes: u64,
    /// Room that is kept on it for what is written all the same.
    pub ballast: Option<Arc<Ballast>>,
}
