//! Whose certificates are believed when others are asked: those of the host, or those of a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// Who may certify.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

/// Nobody could certify. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file is not there, or has no certificate.
    #[error(
        "{path} has no certificate in PEM form that can be read ({detail}); put the certificate authority's there"
    )]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The host knows no certificate authority.
    #[error(
        "this host trusts no certificate authority; install ca-certificates, or name a file with its certificate"
    )]
    Host,
    /// The TLS library refuses.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Trust {
    /// Those in a file, or those that the host trusts.
    ///
    /// # Errors
    /// [`TrustError`] if there are none.
    pub fn load(file: Option<&Path>) -> Result<Self, TrustError> {
        let roots = file.map_or_else(of_host, of_file)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> &ClientConfig {
        &self.0
    }
}

fn of_host() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TrustError::Host) } else { Ok(roots) }
}

fn of_file(path: &Path) -> Result<RootCertStore, TrustError> {
    let wrong = |detail: String| TrustError::File { path: path.to_owned(), detail };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| wrong("it is damaged".into()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is none".into())) } else { Ok(roots) }
}
