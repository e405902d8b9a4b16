//! Reloading: another certificate, other token keys, and no connection notices.
//!
//! New handshakes get the new certificate, tokens are checked by the new keys from then on; what is
//! open stays open, under the token that it was opened with. Files are looked at every few seconds,
//! and at once on SIGHUP. What cannot be used is refused with the reason, and what was in force
//! stays so. A change is taken when two looks agree, since a certificate and its key are two files.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::access::auth::{Expected, JwksError, Verifier};
use crate::access::caller::Callers;
use crate::edge::certificate::Certificates;
use crate::edge::tls::{self, TlsError};
use crate::settings::Tls;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Replaces certificate and token keys of a running broker.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

struct Inner {
    certificates: Certificates,
    callers: Arc<Callers>,
    stop: CancellationToken,
}

impl Reloader {
    /// Of the broker with these parts.
    pub(crate) fn new(certificates: Certificates, callers: Arc<Callers>, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { certificates, callers, stop }))
    }

    /// Puts another certificate and other token keys in force, for handshakes and tokens that come
    /// from now on.
    ///
    /// # Errors
    /// [`rustls::Error`] if key and certificate do not go together; then nothing changes.
    pub fn replace(&self, tls: &Tls, verifier: Verifier) -> Result<(), rustls::Error> {
        let Inner { certificates, callers, stop } = &*self.0;
        let usable = certificates.check(tls)?;
        // A broker that stops takes nobody in any more.
        if !stop.is_cancelled() {
            certificates.replace(usable);
            callers.replace(verifier);
        }
        Ok(())
    }
}

/// Where certificate and token keys lie.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The token keys.
    pub jwks: PathBuf,
    /// What tokens must say.
    pub expected: Expected,
}

/// The files cannot be used. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token keys.
    #[error(transparent)]
    Jwks(#[from] JwksError),
    /// The TLS library takes them not.
    #[error("the certificate or its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What tells one state of a file from another. `None`: it cannot be looked at.
type FileMark = Option<(SystemTime, u64, u64, u64)>;

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// [`ReloadError`] if they cannot be read or do not fit.
    pub fn load(&self) -> Result<(Tls, Verifier), ReloadError> {
        let tls = tls::load(&self.certificate, &self.key)?;
        Ok((tls, Verifier::from_file(&self.jwks, self.expected.clone())?))
    }

    fn look(&self) -> [FileMark; 3] {
        [&self.certificate, &self.key, &self.jwks].map(|path| mark(path))
    }
}

/// Follows symbolic links, which is how containers exchange a folder of secrets.
fn mark(path: &Path) -> FileMark {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.dev(), metadata.ino(), metadata.len()))
}

/// Reloads on each `hangup` and whenever the files changed, until the broker stops. `put` puts what
/// was read in force; looks at the files every `every`.
///
/// # Cancellation
/// Loses nothing.
pub async fn watch(
    files: Files,
    mut hangup: Signal,
    every: Duration,
    stop: CancellationToken,
    mut put: impl FnMut(Tls, Verifier) -> Result<(), rustls::Error>,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_force = files.look();
    let mut before = in_force;
    let mut refused = None;
    loop {
        let told = tokio::select! {
            told = hangup.recv() => told.is_some(),
            _ = ticks.tick() => false,
            () = stop.cancelled() => return,
        };
        let now = files.look();
        let changed = now != in_force && now == before;
        before = now;
        if !(told || changed) {
            continue;
        }
        let put = files.load().and_then(|(tls, verifier)| {
            let keys = verifier.keys();
            put(tls, verifier)?;
            Ok(keys)
        });
        match put {
            Ok(keys) => {
                (in_force, refused) = (now, None);
                tracing::info!(
                    code = "reloaded",
                    token_keys = keys,
                    "certificate and token keys are read anew"
                );
            }
            // Tried again at every look, since what was wrong may have been with the process or the
            // folder, which the files do not show; complained of once.
            Err(error) => {
                let why = Some(error.to_string());
                if told || refused != why {
                    tracing::error!(
                        code = "reload-refused", %error,
                        "certificate and token keys stay as they were"
                    );
                }
                refused = why;
            }
        }
    }
}
