//! TLS, and certificates of senders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wardline_ehr::listener::tls::{self, TlsError};

use crate::sender::{Noting, Running, Sender, block, message};

/// Certificates in a folder: of a server, of a sender, and of whoever signed each.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        for (authority, names) in [("ours", ["server", "sender"]), ("foreign", ["stranger", "nobody"])] {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, key()).expect("it signs itself");
            write(&folder, &format!("{authority}.pem"), &issuer.pem());
            for name in names {
                let key = key();
                let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
                let certificate = params.signed_by(&key, &issuer).expect("it is signed");
                write(&folder, &format!("{name}.pem"), &certificate.pem());
                write(&folder, &format!("{name}.key"), &key.serialize_pem());
            }
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, ca: Option<&Path>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        tls::load(&self.path("server.pem"), &self.path("server.key"), ca)
    }

    /// Connects, with the certificate of this name or without one.
    async fn connect(&self, running: &Running, name: Option<&str>) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(self.path("ours.pem")).expect("it is there");
        roots.add(root).expect("it is one");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("they are supported").with_root_certificates(roots);
        let config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain =
                    CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).expect("it is there");
                let key =
                    PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("it is there");
                builder.with_client_auth_cert(vec![chain], key).expect("they fit")
            }
        };
        let stream = TcpStream::connect(running.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Whether a sender with this certificate is served.
    async fn is_served(&self, ca: Option<&Path>, name: Option<&str>) -> bool {
        let tls = self.server(ca).expect("it can be used");
        let running =
            Running::start(Noting::passing(9), |settings| settings.tls = Some(watch::channel(tls).1)).await;
        let Ok(stream) = self.connect(&running, name).await else { return false };
        let mut sender = Sender::over(stream);
        // With TLS 1.3 a refusal is only seen by whoever reads.
        sender.send(block(&message("1"))).await;
        sender.hear_code().await.as_deref() == Some("AA 1")
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there is chance")
}

fn write(folder: &TempDir, name: &str, content: &str) {
    std::fs::write(folder.path().join(name), content).expect("there is room");
}

#[tokio::test]
async fn certificates_of_senders_are_as_the_site_wants_them() {
    let certificates = Certificates::new();
    let ours = &certificates.path("ours.pem");
    assert!(certificates.is_served(None, None).await);
    assert!(certificates.is_served(Some(ours), Some("sender")).await);
    assert!(!certificates.is_served(Some(ours), None).await);
    assert!(!certificates.is_served(Some(ours), Some("stranger")).await);
}

#[tokio::test]
async fn a_sender_in_the_clear_is_not_served() {
    let tls = Certificates::new().server(None).expect("it can be used");
    let running =
        Running::start(Noting::passing(9), |settings| settings.tls = Some(watch::channel(tls).1)).await;
    let mut sender = Sender::to(running.address).await;
    sender.send(block(&message("1"))).await;
    let mut bytes = Vec::new();
    // What comes is an alert of TLS, or the end.
    sender.drain(&mut bytes).await;
    assert!(!bytes.contains(&0x0b));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let certificates = Certificates::new();
    write(&certificates.folder, "empty.pem", "");
    let load = |certificate: &str, key: &str| {
        let loaded = tls::load(&certificates.path(certificate), &certificates.path(key), None);
        loaded.expect_err("it cannot be used").to_string()
    };
    assert!(load("nowhere.pem", "server.key").contains("nowhere.pem"));
    assert!(load("empty.pem", "server.key").contains("empty.pem has no certificate"));
    assert!(load("server.pem", "empty.pem").contains("empty.pem has no usable private key"));
    assert!(load("server.pem", "sender.key").contains("from the same issue"));
    let missing = certificates.server(Some(&certificates.path("empty.pem")));
    assert!(missing.expect_err("there are none").to_string().contains("empty.pem"));
    write(&certificates.folder, "odd.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let odd = certificates.server(Some(&certificates.path("odd.pem")));
    assert!(odd.expect_err("it is none").to_string().contains("odd.pem has a certificate that cannot be"));
}
