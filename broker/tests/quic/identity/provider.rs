//! An OpenID provider in this process: real TLS, real HTTP, keys of its own, and as odd as a test
//! wants it.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Interval, interval};
use tokio_rustls::TlsAcceptor;
use wardline_broker::access::auth::Expected;
use wardline_broker::access::auth::tenants::Tenants;
use wardline_broker::access::provider::{Account, Config, Pace};
use wardline_broker::https::Trust;

use crate::site::{Authority, now_ms};

pub(super) const DOCUMENT: &str = "/.well-known/openid-configuration";
pub(super) const KEYS: &str = "/keys";
pub(super) const INTROSPECTION: &str = "/introspect";
/// What it knows the broker by.
pub(super) const CLIENT: &str = "wardline broker";
const SECRET: &str = "s3cret:with odd+letters";

/// How it answers at an address.
#[derive(Clone, Debug)]
pub(super) enum Odd {
    /// With this status, these headers and this body.
    Says(u16, Vec<(&'static str, String)>, Bytes),
    /// A letter now and then, for ever.
    Trickles,
    /// Takes the request and never answers.
    Hangs,
}

impl Odd {
    pub(super) fn body(body: impl Into<Bytes>) -> Self {
        Self::Says(200, Vec::new(), body.into())
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self::Says(302, vec![("location", to.to_owned())], Bytes::new())
    }
}

type Said = Either<Full<Bytes>, Trickle>;

fn whole(body: impl Into<Bytes>) -> Said {
    Either::Left(Full::new(body.into()))
}

/// A space now and then, with which any JSON may begin.
struct Trickle(Interval);

impl Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

/// The provider.
pub(super) struct Idp {
    pub(super) url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    serving: Option<JoinHandle<()>>,
    folder: TempDir,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Vec<(String, Arc<Ed25519KeyPair>)>>,
    odd: Mutex<BTreeMap<String, Odd>>,
    asked: Mutex<Vec<String>>,
    inactive: Mutex<HashSet<String>>,
    max_age: Mutex<Option<u64>>,
}

impl Idp {
    pub(super) async fn start() -> Self {
        let authority = Authority::new();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let tls = authority.certify();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(tls.chain, tls.key.clone_key())
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut idp = Self {
            url: format!("https://localhost:{}", address.port()),
            address,
            shared: Arc::default(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            serving: None,
            folder,
        };
        idp.rotate(&["first"]);
        idp.serve(listener);
        idp
    }

    fn serve(&mut self, listener: TcpListener) {
        let (acceptor, url, shared) = (self.acceptor.clone(), self.url.clone(), Arc::clone(&self.shared));
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (acceptor, url, shared) = (acceptor.clone(), url.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let (url, shared) = (url.clone(), Arc::clone(&shared));
                        async move { Ok::<_, Infallible>(shared.answer(&url, request).await) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }));
    }

    /// Nobody is there any more.
    pub(super) async fn goes_down(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _ = serving.await;
    }

    pub(super) async fn comes_up(&mut self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    /// Other keys, by these names; one that was there stays.
    pub(super) fn rotate(&self, names: &[&str]) {
        let mut keys = self.shared.keys.lock();
        keys.retain(|(name, _)| names.contains(&name.as_str()));
        for name in names {
            if !keys.iter().any(|(known, _)| known == name) {
                keys.push(((*name).to_owned(), Arc::new(Ed25519KeyPair::generate().unwrap())));
            }
        }
    }

    /// How it answers at an address from now on; `None`: as it should.
    pub(super) fn is_odd(&self, path: &str, odd: Option<Odd>) {
        match odd {
            Some(odd) => self.shared.odd.lock().insert(path.to_owned(), odd),
            None => self.shared.odd.lock().remove(path),
        };
    }

    pub(super) fn says_max_age(&self, seconds: u64) {
        *self.shared.max_age.lock() = Some(seconds);
    }

    /// How often it was asked at an address.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.shared.asked.lock().iter().filter(|asked| *asked == path).count()
    }

    pub(super) fn takes_back(&self, token: &str) {
        self.shared.inactive.lock().insert(token.to_owned());
    }

    /// A JWT signed with its last key, or the one of this name.
    pub(super) fn signs(&self, typ: &str, key: Option<&str>, claims: &Value) -> String {
        let keys = self.shared.keys.lock();
        let named = |(name, _): &&(String, Arc<Ed25519KeyPair>)| key.is_none_or(|key| name == key);
        let (name, pair) = keys.iter().rev().find(named).unwrap();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "EdDSA", "kid": name, "typ": typ});
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }

    /// The claims of a token that was issued so many seconds from now.
    pub(super) fn claims(&self, user: &str, issued_in: i64) -> Value {
        let now = i64::try_from(now_ms() / 1000).unwrap() + issued_in;
        json!({"iss": self.url, "aud": "wardline", "sub": user, "iat": now, "exp": now + 3600})
    }

    /// The token of somebody, of a session of the provider's own.
    pub(super) fn token(&self, user: &str, session: Option<&str>) -> String {
        let mut claims = self.claims(user, -5);
        if let Some(session) = session {
            claims["sid"] = json!(session);
        }
        self.signs("at+jwt", None, &claims)
    }

    /// As the broker is told of it.
    pub(super) fn config(&self, tenants: Tenants) -> Config {
        let expected =
            Expected { tenants, client: CLIENT.into(), ..Expected::new(self.url.as_str(), "wardline") };
        Config {
            name: "idp".into(),
            expected,
            trust: Trust::load(Some(&self.folder.path().join("ca.pem"))).unwrap(),
            introspection: None,
            pace: Pace {
                timeout: Duration::from_secs(2),
                fetch_min: Duration::from_millis(300),
                fetch_max: Duration::from_secs(5),
                introspect_every: Duration::from_millis(300),
                introspect_grace: Duration::from_secs(600),
                ..Pace::default()
            },
        }
    }

    /// The same, and it is asked about tokens.
    pub(super) fn introspecting(&self, tenants: Tenants) -> Config {
        let secret: PathBuf = self.folder.path().join("secret");
        Config { introspection: Some(Account { client: CLIENT.into(), secret }), ..self.config(tenants) }
    }

    fn set(&self) -> Value {
        self.shared.set()
    }

    /// Its key set, with another one in the place of its own.
    pub(super) fn set_with(&self, other: Value) -> Bytes {
        let mut set = self.set();
        set["keys"].as_array_mut().unwrap().push(other);
        set.to_string().into()
    }

    /// Its discovery document, with a member that is something else.
    pub(super) fn document_with(&self, member: &str, value: Value) -> Bytes {
        let mut document = document(&self.url);
        document[member] = value;
        document.to_string().into()
    }
}

fn document(url: &str) -> Value {
    json!({
        "issuer": url, "jwks_uri": format!("{url}{KEYS}"),
        "introspection_endpoint": format!("{url}{INTROSPECTION}"), "authorization_endpoint": "x",
    })
}

impl Shared {
    fn set(&self) -> Value {
        let jwk = |(name, pair): &(String, Arc<Ed25519KeyPair>)| {
            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": name, "x": x})
        };
        json!({"keys": self.keys.lock().iter().map(jwk).collect::<Vec<_>>()})
    }

    async fn answer(&self, url: &str, request: Request<Incoming>) -> Response<Said> {
        let path = request.uri().path().to_owned();
        self.asked.lock().push(path.clone());
        let odd = self.odd.lock().get(&path).cloned();
        match odd {
            Some(Odd::Says(status, headers, body)) => {
                let builder =
                    headers.iter().fold(Response::builder().status(status), |builder, (name, value)| {
                        builder.header(*name, value)
                    });
                return builder.body(whole(body)).unwrap();
            }
            Some(Odd::Trickles) => {
                let letters = Trickle(interval(Duration::from_millis(50)));
                return Response::new(Either::Right(letters));
            }
            Some(Odd::Hangs) => std::future::pending().await,
            None => {}
        }
        let body = match path.as_str() {
            DOCUMENT => document(url),
            KEYS => self.set(),
            INTROSPECTION => return self.introspect(request).await,
            _ => return Response::builder().status(404).body(whole("")).unwrap(),
        };
        let builder = match *self.max_age.lock() {
            Some(seconds) => {
                Response::builder().header("cache-control", format!("public, max-age={seconds}"))
            }
            None => Response::builder(),
        };
        builder.header("content-type", "application/json").body(whole(body.to_string())).unwrap()
    }

    async fn introspect(&self, request: Request<Incoming>) -> Response<Said> {
        let login = request.headers().get("authorization").map(|login| login.to_str().unwrap().to_owned());
        let pair = "wardline+broker:s3cret%3Awith+odd%2Bletters";
        let right = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        if login.as_deref() != Some(right.as_str()) {
            return Response::builder().status(401).body(whole("")).unwrap();
        }
        let form = request.into_body().collect().await.unwrap().to_bytes();
        let token = url::form_urlencoded::parse(&form).find(|(name, _)| name == "token").unwrap().1;
        let is_active = !self.inactive.lock().contains(&*token);
        let body = json!({"active": is_active, "sub": "somebody else"}).to_string();
        Response::builder().body(whole(body)).unwrap()
    }
}
