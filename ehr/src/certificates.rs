//! Certificates of the bridge: read at start, read anew when their files change or on SIGHUP.
//!
//! What cannot be read or used is said, and what was in force stays so. Senders that are connected
//! keep the session that they have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::listener::tls::{self, TlsError};

/// A certificate that ends sooner than this is worth a warning.
pub const WARNING: Duration = Duration::from_secs(14 * 86_400);

/// How often it is looked whether certificates changed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

const EXPIRES: &str = "wardline_ehr_certificate_expires_timestamp_seconds";

/// Where a certificate, its key, and whoever certifies senders are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Who shows it: a sender's name, or `http`.
    pub of: String,
    /// The chain, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Whose certificates senders must have; empty: they need none.
    pub ca: PathBuf,
}

/// A certificate that is in force, and its files.
pub struct Certificate {
    files: Files,
    seen: Vec<Option<Vec<u8>>>,
    force: watch::Sender<Arc<ServerConfig>>,
}

impl Files {
    /// Reads and tries them.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let ca = (!self.ca.as_os_str().is_empty()).then_some(self.ca.as_path());
        tls::load(&self.certificate, &self.key, ca)
    }

    /// Until when the certificate is good, since 1970; `None` if that cannot be told.
    pub fn valid_until(&self) -> Option<Duration> {
        until(&chain(&self.certificate))
    }

    fn content(&self) -> Vec<Option<Vec<u8>>> {
        [&self.certificate, &self.key, &self.ca].map(|path| std::fs::read(path).ok()).into()
    }
}

impl Certificate {
    /// Puts one in force.
    ///
    /// # Errors
    /// [`TlsError`] if it cannot be used.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        describe_gauge!(EXPIRES, "When a certificate of the bridge ends, in seconds since 1970.");
        let seen = files.content();
        let (force, _) = watch::channel(files.load()?);
        let certificate = Self { files, seen, force };
        certificate.tell();
        Ok(certificate)
    }

    /// What is in force, at each moment.
    pub fn watch(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.force.subscribe()
    }

    /// Looks whether its files changed, and puts in force what is there now.
    pub fn look(&mut self) {
        let now = self.files.content();
        if now == self.seen {
            return;
        }
        self.seen = now;
        let of = self.files.of.as_str();
        match self.files.load() {
            Ok(config) => {
                self.force.send_replace(config);
                tracing::info!(code = "certificate-read", of, "another certificate is in force");
                self.tell();
            }
            Err(error) => {
                tracing::error!(code = "certificate-bad", of, %error, "the certificate stays as it was");
            }
        }
    }

    fn tell(&self) {
        let Some(until) = self.files.valid_until() else { return };
        gauge!(EXPIRES, "of" => self.files.of.clone()).set(until.as_secs_f64());
        if until < since_epoch() + WARNING {
            let of = self.files.of.as_str();
            tracing::warn!(
                code = "certificate-expires",
                of,
                "a certificate expires within 14 days, or has: renew it"
            );
        }
    }
}

/// Looks at the certificates now and then, and on SIGHUP.
pub async fn look_after(mut certificates: Vec<Certificate>, stop: CancellationToken) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let mut ticks = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = hangup.recv() => {}
            () = stop.cancelled() => return,
        }
        let looked = tokio::task::spawn_blocking(move || {
            certificates.iter_mut().for_each(Certificate::look);
            certificates
        });
        match looked.await {
            Ok(same) => certificates = same,
            Err(_) => return,
        }
    }
}

/// The certificates of a file; none where it cannot be read, which others say.
fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).into_iter().flatten().filter_map(Result::ok).collect()
}

/// Until when the leaf of a chain is good, to the second.
fn until(chain: &[CertificateDer<'_>]) -> Option<Duration> {
    let leaf = chain.first()?;
    // Certificates end before the year 2242, or say that they have no end.
    let (mut good, mut late) = (0u64, 1 << 33);
    if has_ended(leaf, good) || !has_ended(leaf, late) {
        return None;
    }
    while late - good > 1 {
        let middle = good.midpoint(late);
        if has_ended(leaf, middle) { late = middle } else { good = middle }
    }
    Some(Duration::from_secs(good))
}

/// Whether a certificate is past its end at a time, in seconds since 1970. The verifier looks at
/// dates before it looks for a path, so the certificate itself will do as a root.
fn has_ended(leaf: &CertificateDer<'_>, at: u64) -> bool {
    let mut roots = RootCertStore::empty();
    let (Ok(parsed), Ok(())) = (ParsedCertificate::try_from(leaf), roots.add(leaf.clone().into_owned()))
    else {
        return false;
    };
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(at));
    let verified = verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], time, algorithms);
    matches!(
        verified,
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. }
        ))
    )
}

/// The time by this machine's clock.
pub fn since_epoch() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
