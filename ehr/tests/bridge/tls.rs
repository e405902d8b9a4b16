//! Senders over TLS, and another certificate while the bridge runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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

/// Connects as a client that believes this authority, and shows its certificate or none.
async fn connect(site: &Site, to: SocketAddr, name: &str, shows: bool) -> Option<TlsStream<TcpStream>> {
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
    let stream = TcpStream::connect(to).await.unwrap();
    let host = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(host, stream).await.ok()
}

async fn is_served(site: &Site, bridge: &Bridge, name: &str, shows: bool) -> bool {
    let Some(stream) = connect(site, bridge.sender("his"), name, shows).await else { return false };
    let event = Event::of("A01", 1, "V1", "W1").text();
    Sender::over(stream).say(&event).await.as_deref() == Some("AA")
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_and_pages_are_served_over_tls_and_another_certificate_takes_its_place() {
    let site = Site::start().await;
    certify(site.folder.path(), "old");
    certify(site.folder.path(), "new");
    let put = |name: &str| {
        for of in ["ca.pem", "bridge.pem", "bridge.key"] {
            std::fs::copy(site.path(&format!("{name}-{of}")), site.path(of)).unwrap();
        }
    };
    put("old");
    let files = [
        ("senders.his.certificate", "bridge.pem"),
        ("senders.his.key", "bridge.key"),
        ("senders.his.ca", "ca.pem"),
        ("http.certificate", "bridge.pem"),
        ("http.key", "bridge.key"),
    ];
    let mut set = files.map(|(key, file)| format!("{key}={}", shown(&site.path(file)))).to_vec();
    set.push("http.remote=true".into());
    let bridge = Bridge::start(&site, &set.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(connect(&site, bridge.http(), "old", false).await.is_some());
    assert!(is_served(&site, &bridge, "old", true).await);
    assert!(!is_served(&site, &bridge, "old", false).await);
    assert!(!is_served(&site, &bridge, "new", true).await);
    put("new");
    until("the new certificate to be in force", async || {
        is_served(&site, &bridge, "new", true).await.then_some(())
    })
    .await;
    assert!(!is_served(&site, &bridge, "old", true).await);
    until("the pages to have it, too", async || connect(&site, bridge.http(), "new", false).await).await;
    assert!(connect(&site, bridge.http(), "old", false).await.is_none());
}
