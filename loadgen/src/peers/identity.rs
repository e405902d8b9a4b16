//! A certificate for the peers that speak TLS, and clients that believe it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rustls::{ClientConfig, RootCertStore};

use super::server::Site;

/// A server's certificate for `localhost`, and who believes it.
pub(crate) struct Identity {
    /// PEM.
    pub(crate) certificate: PathBuf,
    /// PEM.
    pub(crate) key: PathBuf,
    /// TLS 1.3 only, as Wardline's.
    pub(crate) client: ClientConfig,
}

impl Identity {
    /// Makes one in the site's folder.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub(crate) fn new(site: &Site) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.context("cannot make a certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).context("the certificate is not usable")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            certificate: site.write("certificate.pem", &made.cert.pem())?,
            key: site.write("key.pem", &made.signing_key.serialize_pem())?,
            client,
        })
    }
}
