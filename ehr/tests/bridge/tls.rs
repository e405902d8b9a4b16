//! Senders over TLS, and another certificate while the bridge runs.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::program::Bridge;
use crate::sender::{Event, Sender};
use crate::site::{Site, shown, until};

/// An authority, and what it certified, in files.
fn certify(folder: &Path, name: &str) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join(format!("{name}-ca.pem")), authority.pem()).unwrap();
    for of in ["bridge", "sender"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.join(format!("{name}-{of}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}-{of}.key")), key.serialize_pem()).unwrap();
    }
}

/// Sends as a client that believes this authority, and shows its certificate or none.
async fn is_served(site: &Site, bridge: &Bridge, name: &str, shows: bool) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.path(&format!("{name}-ca.pem"))).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if shows {
        let chain = CertificateDer::from_pem_file(site.path(&format!("{name}-sender.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(site.path(&format!("{name}-sender.key"))).unwrap();
        builder.with_client_auth_cert(vec![chain], key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let stream = TcpStream::connect(bridge.sender("his")).await.unwrap();
    let host = ServerName::try_from("localhost").unwrap();
    let Ok(stream) = TlsConnector::from(Arc::new(config)).connect(host, stream).await else { return false };
    let event = Event::of("A01", 1, "V1", "W1").text();
    Sender::over(stream).say(&event).await.as_deref() == Some("AA")
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_are_served_over_tls_and_another_certificate_takes_its_place() {
    let site = Site::start().await;
    certify(site.folder.path(), "old");
    certify(site.folder.path(), "new");
    let put = |name: &str| {
        for of in ["ca.pem", "bridge.pem", "bridge.key"] {
            std::fs::copy(site.path(&format!("{name}-{of}")), site.path(of)).unwrap();
        }
    };
    put("old");
    let set = ["certificate=bridge.pem", "key=bridge.key", "ca=ca.pem"].map(|setting| {
        let (key, file) = setting.split_once('=').unwrap();
        format!("senders.his.{key}={}", shown(&site.path(file)))
    });
    let bridge = Bridge::start(&site, &set.each_ref().map(String::as_str));
    assert!(is_served(&site, &bridge, "old", true).await);
    assert!(!is_served(&site, &bridge, "old", false).await);
    assert!(!is_served(&site, &bridge, "new", true).await);
    put("new");
    until("the new certificate to be in force", async || {
        is_served(&site, &bridge, "new", true).await.then_some(())
    })
    .await;
    assert!(!is_served(&site, &bridge, "old", true).await);
}
