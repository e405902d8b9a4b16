//! Tokens of an OpenID token endpoint, over real HTTPS.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use wardline_client::TokenSource as _;
use wardline_ehr::token::{Account, Endpoint, Tokens};

/// Answers whatever is asked, and notes it.
struct Provider {
    folder: TempDir,
    url: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

impl Provider {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(folder.path().join("secret"), "s e+cret\n").unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &authority).unwrap().der().clone()];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(Vec::new())));
        let (says, notes) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut text = String::new();
                // Until its form has come.
                while !text.contains("grant_type=") {
                    let mut bytes = [0; 4096];
                    match stream.read(&mut bytes).await {
                        Ok(count) if count > 0 => text += &String::from_utf8_lossy(&bytes[..count]),
                        _ => break,
                    }
                }
                notes.lock().unwrap().push(text);
                let says = says.lock().unwrap().clone();
                let _ = stream.write_all(says.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { folder, url, answer, asked }
    }

    fn says(&self, status: &str, body: &str) {
        *self.answer.lock().unwrap() = answer(status, body);
    }

    fn account(&self) -> Account {
        Account {
            url: self.url.clone(),
            client: "the bridge".into(),
            secret: self.folder.path().join("secret"),
            ca: self.folder.path().join("ca.pem"),
            scope: "wardline records".into(),
            audience: "wardline".into(),
            timeout: Duration::from_secs(5),
        }
    }

    async fn refuses(&self, account: Account) -> String {
        Endpoint::new(account).unwrap().ask().await.unwrap_err().to_string()
    }
}

const GRANTED: &str = r#"{"access_token":"aa.bb.cc","token_type":"Bearer","expires_in":600}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_given_for_name_and_secret() {
    let provider = Provider::start().await;
    provider.says("200 OK", GRANTED);
    let endpoint = Endpoint::new(provider.account()).unwrap();
    let tokens = Tokens::Endpoint(endpoint.clone());
    assert!(tokens.token().unwrap_err().contains("was not asked yet"));
    endpoint.ask().await.unwrap();
    assert_eq!(tokens.token().unwrap(), "aa.bb.cc");
    let asked = provider.asked.lock().unwrap().remove(0);
    assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    // RFC 6749, section 2.3.1: both as a form would have them, then as RFC 7617 says.
    let login = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "the+bridge:s+e%2Bcret");
    assert!(asked.contains(&format!("authorization: Basic {login}\r\n")), "{asked}");
    for part in ["grant_type=client_credentials", "scope=wardline", "audience=wardline"] {
        assert!(asked.contains(part), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_told_and_not_what_was_said() {
    let provider = Provider::start().await;
    let long = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(100_000));
    for (status, body, says) in [
        (
            "401 Unauthorized",
            "{\"error\":\"ZEBRA\"}",
            "refuses (status 401): check token.client, token.secret",
        ),
        ("302 Found\r\nlocation: https://elsewhere.example", "", "redirects"),
        ("503 Service Unavailable", "ZEBRA", "answers with status 503"),
        ("200 OK", "<html>ZEBRA</html>", "does not answer with a token"),
        ("200 OK", r#"{"access_token":"ZEBRA"}"#, "gives a token that is no JWT"),
        ("200 OK", &long, "too long"),
    ] {
        provider.says(status, body);
        let told = provider.refuses(provider.account()).await;
        assert!(told.contains(says) && !told.contains("ZEBRA"), "{told} does not say {says}");
        assert!(!told.contains("e+cret"), "{told}");
    }
    let gone = Account { url: "https://localhost:1/token".into(), ..provider.account() };
    assert!(provider.refuses(gone).await.contains("cannot be reached"));
    let other = Provider::start().await;
    let stranger = Account { ca: other.folder.path().join("ca.pem"), ..provider.account() };
    assert!(provider.refuses(stranger).await.contains("see token.ca"));
    let empty = Account { secret: PathBuf::from("/nowhere/secret"), ..provider.account() };
    assert!(provider.refuses(empty).await.contains("token.secret /nowhere/secret cannot be read"));
    let plain = Account { url: "http://localhost/token".into(), ..provider.account() };
    assert!(Endpoint::new(plain).map(drop).unwrap_err().to_string().contains("not an https:// URL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_outlives_an_endpoint_that_is_silent() {
    let provider = Provider::start().await;
    provider.says("503 Service Unavailable", "");
    let endpoint = Endpoint::new(provider.account()).unwrap();
    let (tokens, stop) = (Tokens::Endpoint(endpoint.clone()), CancellationToken::new());
    let keeping = tokio::spawn(endpoint.clone().keep(stop.clone()));
    let until = async |count: usize| {
        while provider.asked.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until(1).await;
    // It is asked again by itself.
    provider.says("200 OK", &GRANTED.replace("600", "10"));
    tokio::time::timeout(Duration::from_secs(30), endpoint.has_token()).await.unwrap();
    assert_eq!(tokens.token().unwrap(), "aa.bb.cc");
    let asked = provider.asked.lock().unwrap().len();
    provider.says("503 Service Unavailable", "");
    // Asked for the second time, it has heard the first refusal.
    tokio::time::timeout(Duration::from_secs(30), until(asked + 2)).await.unwrap();
    assert_eq!(tokens.token().unwrap(), "aa.bb.cc");
    stop.cancel();
    keeping.await.unwrap();
}
