//! Starts a broker in this process and connects people to it through the SDK. Waits with deadlines,
//! never by sleeping.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use wardline_broker::access::auth::{Expected, Verifier};
use wardline_broker::broker::{Broker, Ended, StartError};
use wardline_broker::limits::Limits;
use wardline_broker::retention::Retention;
use wardline_broker::settings::{Settings, Tls};
use wardline_client::{
    Client, Code, ConnectError, Conversation, ConversationId, DeviceId, Direction, Entry, Inbox, Incoming,
    NewConversation, Options, Receipt, RequestError, Session, Status, Trust, connect,
};
use wardline_storage::engine::Engine;
use wardline_storage::format;
use wardline_storage::local::Local;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::Policy;
use wardline_storage::open::{Opener, Options as StoreOptions};

/// How long anything may take before a test gives up. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const TENANT: &str = "st-mary";
const AUDIENCE: &str = "wardline";
pub(crate) const ISSUER: &str = "https://id.example";
/// The engines that keep files.
const ON_DISK: [&dyn Opener; 2] = [&wardline_rocksdb::Rocks, &wardline_redb::Redb];

/// A broker, the engine under it, and the authorities that it trusts.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) settings: Settings,
    pub(crate) ca: Vec<u8>,
    pub(crate) issuer: TokenIssuer,
    /// Where the engine keeps its files, if it does.
    pub(crate) folder: Option<TempDir>,
}

impl Site {
    /// A broker on the memory engine.
    pub(crate) async fn memory() -> Self {
        Self::memory_with(|_| ()).await
    }

    /// A broker on the memory engine, set otherwise.
    pub(crate) async fn memory_with(set: impl FnOnce(&mut Settings)) -> Self {
        Self::start(Arc::new(MemoryEngine::default()), None, set).await
    }

    /// A broker on the memory engine, with other limits.
    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::memory_with(|settings| settings.limits = limits).await
    }

    /// A broker on RocksDB in a folder of its own.
    pub(crate) async fn rocksdb() -> Self {
        Self::rocksdb_with(|_| ()).await
    }

    /// A broker on RocksDB in a folder of its own, set otherwise.
    pub(crate) async fn rocksdb_with(set: impl FnOnce(&mut Settings)) -> Self {
        Self::on_disk("rocksdb", set).await
    }

    /// A broker on redb in a folder of its own.
    pub(crate) async fn redb() -> Self {
        Self::on_disk("redb", |_| ()).await
    }

    /// A broker on an engine that keeps files, in a folder of its own, set otherwise.
    async fn on_disk(engine: &str, set: impl FnOnce(&mut Settings)) -> Self {
        let folder = TempDir::new().unwrap();
        let engine = open(engine, &folder);
        Self::start(engine, Some(folder), set).await
    }

    /// A broker on this engine, set otherwise.
    pub(crate) async fn start(
        engine: Arc<dyn Engine>,
        folder: Option<TempDir>,
        set: impl FnOnce(&mut Settings),
    ) -> Self {
        format::check(&*engine).unwrap();
        let issuer = TokenIssuer::new();
        let authority = Authority::new();
        let mut settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: authority.certify(),
            verifier: Some(Arc::new(issuer.verifier())),
            providers: Vec::new(),
            limits: Limits::default(),
            policy: Policy {
                retention_max: Duration::from_secs(30 * 24 * 3600),
                dedupe_window: Duration::from_secs(24 * 3600),
                members_max: 1000,
                devices_max: 8,
            },
            retention: Retention::unbounded(),
            reclaim_every: Duration::from_secs(3600),
            stop_deadline: Duration::from_secs(5),
            disk: None,
        };
        set(&mut settings);
        let broker = Broker::start(settings.clone(), Arc::clone(&engine), &Local).await.unwrap();
        Self { broker, engine, settings, ca: authority.pem, issuer, folder }
    }

    /// Stops the broker and starts another one on the same engine and port.
    pub(crate) async fn restart(self) -> Self {
        let Self { broker, engine, mut settings, ca, issuer, folder } = self;
        settings.listen = broker.address();
        assert_eq!(within("stopping", broker.stop()).await, Ended::Stopped);
        let broker = start_again(&settings, Arc::clone(&engine)).await;
        Self { broker, engine, settings, ca, issuer, folder }
    }

    /// Closes the store and opens it again: what is there then was on the disk.
    pub(crate) async fn reopen(self) -> Self {
        let Self { broker, engine, mut settings, ca, issuer, folder } = self;
        settings.listen = broker.address();
        assert_eq!(within("stopping", broker.stop()).await, Ended::Stopped);
        let name = engine.name();
        // Whoever read it in the background may be about to let go of it.
        until("the store to be closed", async || (Arc::strong_count(&engine) == 1).then_some(())).await;
        drop(engine);
        let engine = open(name, folder.as_ref().unwrap());
        let broker = start_again(&settings, Arc::clone(&engine)).await;
        Self { broker, engine, settings, ca, issuer, folder }
    }

    /// How somebody connects, with a device of this number.
    pub(crate) fn options(&self, user: &str, device: u8) -> Options {
        self.options_with(self.issuer.token(user), device_of(user, device))
    }

    /// How the bearer of a token connects.
    pub(crate) fn options_with(&self, token: String, device: DeviceId) -> Options {
        let trust = Trust::Pem(self.ca.clone());
        let mut options = Options::new(self.broker.address(), "localhost", trust, token, device);
        options.backoff.first = Duration::from_millis(20);
        options.backoff.max = Duration::from_millis(200);
        options
    }

    /// Connects somebody with their first device.
    pub(crate) async fn person(&self, user: &str) -> Person {
        Person::connect(self.options(user, 1)).await
    }

    /// Connects somebody whose token has the role `broadcaster`.
    pub(crate) async fn broadcaster(&self, user: &str) -> Person {
        self.with_roles(TENANT, user, &["broadcaster"]).await
    }

    /// Connects somebody of a tenant whose token has these roles.
    pub(crate) async fn with_roles(&self, tenant: &str, user: &str, roles: &[&str]) -> Person {
        let token = self.issuer.sign(&claims(tenant, user, json!(roles)));
        Person::connect(self.options_with(token, device_of(user, 1))).await
    }

    /// Connects the user of another tenant.
    pub(crate) async fn stranger(&self, tenant: &str, user: &str) -> Person {
        let token = self.issuer.sign(&claims(tenant, user, json!([])));
        Person::connect(self.options_with(token, DeviceId::random())).await
    }
}

/// Starts a broker where another one was: QUIC's endpoint lets go of its port a moment after it
/// stopped.
pub(crate) async fn start_again(settings: &Settings, engine: Arc<dyn Engine>) -> Broker {
    until("the port to be free", async || {
        match Broker::start(settings.clone(), Arc::clone(&engine), &Local).await {
            Ok(broker) => Some(broker),
            Err(StartError::Listen { .. }) => None,
            Err(other) => panic!("{other}"),
        }
    })
    .await
}

fn open(engine: &str, folder: &TempDir) -> Arc<dyn Engine> {
    let mut engines = ON_DISK.iter().filter(|opener| opener.name() == engine);
    let options = StoreOptions::with_memory(64 << 20);
    engines.next().unwrap().open(&folder.path().join("store"), options).unwrap()
}

/// The same device for the same name and number.
pub(crate) fn device_of(user: &str, number: u8) -> DeviceId {
    let mut bytes = [number; 16];
    bytes.iter_mut().zip(user.bytes()).for_each(|(byte, letter)| *byte ^= letter);
    DeviceId(bytes)
}

/// Somebody who is connected with one device.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) inbox: Inbox,
}

impl Person {
    pub(crate) async fn connect(options: Options) -> Self {
        let (client, inbox) = within("connecting", connect(options)).await.unwrap();
        Self { client, inbox }
    }

    /// The next entry; other things are passed over.
    pub(crate) async fn entry(&mut self) -> Entry {
        loop {
            if let Incoming::Entry(entry) = self.next().await {
                return entry;
            }
        }
    }

    /// The next so many entries.
    pub(crate) async fn entries(&mut self, count: usize) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(count);
        while entries.len() < count {
            entries.push(self.entry().await);
        }
        entries
    }

    /// The next receipt for which `wanted` holds; everything else is passed over.
    pub(crate) async fn receipt(&mut self, wanted: impl Fn(&Receipt) -> bool) -> Receipt {
        loop {
            match self.next().await {
                Incoming::Receipt(receipt) if wanted(&receipt) => return receipt,
                _ => {}
            }
        }
    }

    /// The next conversation that they were brought into.
    pub(crate) async fn joined(&mut self) -> Conversation {
        loop {
            if let Incoming::Joined(conversation) = self.next().await {
                return conversation;
            }
        }
    }

    /// Waits until they are told that they are a member no longer; gives the entries that came
    /// before.
    pub(crate) async fn left(&mut self, conversation: ConversationId) -> Vec<Entry> {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Incoming::Left(id) if id == conversation => return before,
                Incoming::Entry(entry) => before.push(entry),
                _ => {}
            }
        }
    }

    /// Everything up to the end of the backlog.
    pub(crate) async fn backlog(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            match self.next().await {
                Incoming::Entry(entry) => entries.push(entry),
                Incoming::CaughtUp => return entries,
                _ => {}
            }
        }
    }

    /// The next thing of any kind.
    pub(crate) async fn next(&mut self) -> Incoming {
        within("something to arrive", self.inbox.next()).await.expect("the client is open")
    }

    /// The session that is open now, waiting for it if need be.
    pub(crate) async fn session(&self) -> Session {
        let mut status = self.client.status();
        let connected = within("a session", status.wait_for(|status| matches!(status, Status::Connected(_))));
        match &*connected.await.unwrap() {
            Status::Connected(session) => session.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Makes a group with these members.
    pub(crate) async fn group(&self, members: &[&str]) -> ConversationId {
        let members = members.iter().map(ToString::to_string).collect();
        let new = NewConversation { title: "Ward 4".into(), members, retention: None };
        within("a group", self.client.create_group(new)).await.unwrap().id
    }

    /// Everything in a conversation that they may see, in order.
    pub(crate) async fn history(&self, conversation: ConversationId) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut from = 0;
        loop {
            let page = self.client.history(conversation, from, Direction::Forward, 0);
            let page = within("history", page).await.unwrap();
            entries.extend(page.entries);
            match page.next_from {
                Some(next) => from = next,
                None => return entries,
            }
        }
    }

    /// The conversation as their list shows it.
    pub(crate) async fn listed(&self, conversation: ConversationId) -> Conversation {
        let mut after = None;
        loop {
            let page = within("the list", self.client.conversations(0, after)).await.unwrap();
            if let Some(found) = page.items.into_iter().find(|item| item.id == conversation) {
                return found;
            }
            after = Some(page.next.expect("the conversation is in the list"));
        }
    }

    /// Goes offline properly: everything enqueued is acknowledged.
    pub(crate) async fn leave(self) {
        within("closing", self.client.close(PATIENCE)).await;
    }
}

/// Why somebody with this token is kept out.
pub(crate) async fn kept_out(site: &Site, token: String, device: DeviceId) -> Code {
    match within("the refusal", connect(site.options_with(token, device))).await.map(|_| ()) {
        Err(ConnectError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

/// Waits for something, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks again and again until the answer is something.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, asking).await
}

/// Asserts that a request was refused with this code, and waits not longer than usual for it.
pub(crate) async fn refused<T>(code: Code, request: impl Future<Output = Result<T, RequestError>>) {
    match within("a refusal", request).await {
        Err(RequestError::Refused(refusal)) => {
            assert_eq!(refusal.code, code, "{refusal}");
            assert!(!refusal.text.is_empty() && !refusal.action.is_empty(), "{refusal:?}");
        }
        Err(other) => panic!("{other} instead of {code:?}"),
        Ok(_) => panic!("accepted instead of {code:?}"),
    }
}

/// The wall clock, as the broker in this process reads it.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Issues tokens with a key of its own.
pub(crate) struct TokenIssuer {
    key: Ed25519KeyPair,
}

impl TokenIssuer {
    pub(crate) fn new() -> Self {
        Self { key: Ed25519KeyPair::generate().unwrap() }
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Self::verifier_of(&[self], Duration::ZERO)
    }

    /// Its key set.
    pub(crate) fn set(&self) -> Vec<u8> {
        Self::set_of(&[self])
    }

    /// Takes the tokens of several issuers, with a leeway.
    pub(crate) fn verifier_of(issuers: &[&Self], leeway: Duration) -> Verifier {
        let expected = Expected { leeway, ..Expected::new(ISSUER, AUDIENCE) };
        Verifier::from_bytes(&Self::set_of(issuers), "test", expected).unwrap()
    }

    fn set_of(issuers: &[&Self]) -> Vec<u8> {
        let jwk = |issuer: &&Self| {
            let x = URL_SAFE_NO_PAD.encode(issuer.key.public_key().as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x})
        };
        json!({"keys": issuers.iter().map(jwk).collect::<Vec<_>>()}).to_string().into_bytes()
    }

    /// A token of somebody without roles, good for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        self.sign(&claims(TENANT, user, json!([])))
    }

    /// A token of somebody without roles, good for so long.
    pub(crate) fn token_for(&self, user: &str, time: Duration) -> String {
        let mut claims = claims(TENANT, user, json!([]));
        claims["exp"] = (now_ms() / 1000 + time.as_secs()).into();
        self.sign(&claims)
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": "k"})), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }
}

/// The claims of a token that is good for an hour.
pub(crate) fn claims(tenant: &str, user: &str, roles: Value) -> Value {
    let now = now_ms() / 1000;
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "nbf": now - 60, "exp": now + 3600,
        "tenant": tenant, "sub": user, "roles": roles,
    })
}

/// Certifies brokers.
pub(crate) struct Authority {
    pub(crate) pem: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&key).unwrap().pem().into_bytes();
        Self { pem, issuer: Issuer::new(ca, key) }
    }

    /// A new certificate and key in PEM, for others.
    #[cfg(feature = "peers")]
    pub(crate) fn certify_pem(&self) -> (String, String) {
        let (leaf, key) = self.leaf();
        (leaf.pem(), key.serialize_pem())
    }

    fn leaf(&self) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        // Not that of who certifies it, or OpenSSL takes it for self-signed.
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        (leaf.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A new certificate and key for the broker.
    pub(crate) fn certify(&self) -> Tls {
        let (leaf, key) = self.leaf();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        Tls { chain: vec![leaf.der().clone()], key: Arc::new(key.into()) }
    }
}
