//! The server's certificate chain and private key, from PEM files.
//!
//! What can be told wrong from here is told at start, not to the first client: a missing or
//! mixed-up file, a key of another certificate. An expired certificate is a warning, since the
//! broker may be up before its renewal is. Key material never stands in an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};
use thiserror::Error;

use crate::settings::Tls;

/// Certificate or key cannot be used. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not there, or may not be read.
    #[error("cannot read {key} {path}: {source}; check the path and that the broker's user may read it")]
    Read {
        /// Which key of the configuration names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing of the kind in the file, or it is damaged.
    #[error("{key} {path} has no usable {wanted} in PEM form; {hint}")]
    Content {
        /// Which key of the configuration names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What it should have.
        wanted: &'static str,
        /// What may help.
        hint: &'static str,
    },
    /// The key is not that of the certificate.
    #[error(
        "the private key {key} does not belong to the certificate {certificate}; take both from the same issue"
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// Whether a certificate is good at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Valid,
    /// It is past its end.
    Expired,
    /// It is before its begin.
    NotYet,
}

/// Reads a chain and its key, and checks that they belong together.
///
/// # Errors
/// [`TlsError`] if they cannot be read or do not fit.
pub fn load(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
    const CERTIFICATE: &str = "tls.certificate";
    const KEY: &str = "tls.key";
    let pem = read(CERTIFICATE, certificate)?;
    let no_chain = || TlsError::Content {
        key: CERTIFICATE,
        path: certificate.into(),
        wanted: "certificate",
        hint: "it should begin with -----BEGIN CERTIFICATE-----",
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| no_chain())?;
    let leaf = chain.first().ok_or_else(no_chain)?;
    ParsedCertificate::try_from(leaf).map_err(|_| no_chain())?;

    let pem = read(KEY, key)?;
    let no_key = |hint| TlsError::Content { key: KEY, path: key.into(), wanted: "private key", hint };
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| no_key("it should begin with -----BEGIN PRIVATE KEY-----, and not be encrypted"))?;
    let signing = aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|_| no_key("it should be an RSA, ECDSA or Ed25519 key"))?;
    if CertifiedKey::new(chain.clone(), signing).keys_match().is_err() {
        return Err(TlsError::Mismatch { certificate: certificate.into(), key: key.into() });
    }
    Ok(Tls { chain, key: Arc::new(private) })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let bytes = std::fs::read(path).map_err(|source| TlsError::Read { key, path: path.into(), source })?;
    // With it, the first line would not be that of a PEM block.
    Ok(bytes.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec).unwrap_or(bytes))
}

/// Until when the leaf of a chain is good, as time since the Unix epoch, to the second; `None` if
/// that cannot be told.
pub fn valid_until(chain: &[CertificateDer<'_>]) -> Option<Duration> {
    let expired = |at| validity(chain, Duration::from_secs(at)) == Validity::Expired;
    // Certificates end before the year 2242, or say that they have no end.
    let (mut good, mut late) = (0u64, 1 << 33);
    if chain.is_empty() || expired(good) || !expired(late) {
        return None;
    }
    while late - good > 1 {
        let middle = good.midpoint(late);
        if expired(middle) { late = middle } else { good = middle }
    }
    Some(Duration::from_secs(good))
}

/// Whether the leaf of a chain is good at `time`, given as time since the Unix epoch.
///
/// Only its dates are judged: whether clients trust it is theirs to say.
pub fn validity(chain: &[CertificateDer<'_>], time: Duration) -> Validity {
    let Some((leaf, rest)) = chain.split_first() else { return Validity::Valid };
    let Ok(parsed) = ParsedCertificate::try_from(leaf) else { return Validity::Valid };
    // The verifier checks a leaf's dates before it looks for a path, so any root at all will do.
    let mut roots = RootCertStore::empty();
    if roots.add(rest.last().unwrap_or(leaf).clone()).is_err() {
        return Validity::Valid;
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let time = UnixTime::since_unix_epoch(time);
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, rest, time, algorithms) {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Validity::Expired,
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Validity::NotYet,
        _ => Validity::Valid,
    }
}
