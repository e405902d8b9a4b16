//! TLS of the server side: its certificate, and whose certificates senders must have.
//!
//! Key material never stands in an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

/// TLS cannot be used so. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or has nothing of the kind.
    #[error("{path} has no usable {wanted} in PEM form: {source}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it should have.
        wanted: &'static str,
        /// Why it cannot be read.
        source: rustls::pki_types::pem::Error,
    },
    /// There is nothing in a file.
    #[error("{path} has no {wanted} in PEM form; it should begin with -----BEGIN")]
    Empty {
        /// Which file.
        path: PathBuf,
        /// What it should have.
        wanted: &'static str,
    },
    /// Certificate and key do not work.
    #[error("the certificate and its key cannot be used: {0}; take both from the same issue")]
    Unusable(#[from] rustls::Error),
    /// A certificate that should be an authority's does not work.
    #[error(
        "{path} has a certificate that cannot be an authority's: {source}; name the senders' authorities"
    )]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities do not work.
    #[error("the certificate authorities of the senders cannot be used: {0}")]
    Authorities(#[from] VerifierBuilderError),
}

/// Reads what TLS needs. With `ca`, senders must have a certificate that is signed by one of these.
///
/// # Errors
/// [`TlsError`] if something cannot be read or used.
pub fn load(certificate: &Path, key: &Path, ca: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Content {
        path: key.into(),
        wanted: "private key",
        source,
    })?;
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|source| TlsError::Authority { path: path.into(), source })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    Ok(Arc::new(builder.with_single_cert(chain, private)?))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WANTED: &str = "certificate";
    let content = |source| TlsError::Content { path: path.into(), wanted: WANTED, source };
    let all: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(content)?.collect::<Result<_, _>>().map_err(content)?;
    if all.is_empty() { Err(TlsError::Empty { path: path.into(), wanted: WANTED }) } else { Ok(all) }
}
