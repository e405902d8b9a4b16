//! A raw client: frames over quinn, without the SDK, so that the broker can be told what no SDK
//! would say.
//!
//! Owns a broker on the memory engine for each test, with keys and a folder of its own; never
//! shares one. Every wait has a deadline; a test that hangs fails with the name of what it waited
//! for.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use wardline_broker::access::auth::{Expected, Verifier};
use wardline_broker::broker::Broker;
use wardline_broker::dev::{self, Bearer, Dev};
use wardline_broker::edge::tls;
use wardline_broker::limits::Limits;
use wardline_broker::settings::Settings;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::{ALPN, PROTOCOL_VERSION, frame, v1};
use wardline_storage::engine::Engine;
use wardline_storage::format;
use wardline_storage::id::Timestamp;
use wardline_storage::local::Local;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::Policy;

pub(crate) const AUDIENCE: &str = "test";
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for something, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// A broker on the memory engine, with keys of its own.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) keys: Keys,
    _folder: TempDir,
}

/// What is needed to connect.
#[derive(Clone)]
pub(crate) struct Keys {
    dev: Dev,
    pub(crate) address: SocketAddr,
}

impl Site {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(limits, |_| {}).await
    }

    pub(crate) async fn start_with(limits: Limits, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_on(Arc::new(MemoryEngine::default()), limits, change).await
    }

    pub(crate) async fn start_on(
        engine: Arc<dyn Engine>,
        limits: Limits,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dev = Dev::of(folder.path());
        dev.prepare(now()).unwrap();
        let expected = Expected {
            issuer: dev::ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            leeway: Duration::ZERO,
        };
        let mut settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: tls::load(&dev.certificate(), &dev.key()).unwrap(),
            verifier: Arc::new(Verifier::from_file(&dev.jwks(), expected).unwrap()),
            limits,
            policy: Policy {
                retention_max: Duration::from_secs(3600),
                dedupe_window: Duration::from_secs(3600),
                members_max: 50,
                devices_max: 8,
            },
            reclaim_every: Duration::from_secs(1),
            stop_deadline: Duration::from_secs(8),
            disk: None,
        };
        change(&mut settings);
        format::check(&*engine).unwrap();
        let broker = Broker::start(settings, engine, &Local).await.unwrap();
        let keys = Keys { dev, address: broker.address() };
        Self { broker, keys, _folder: folder }
    }
}

impl Keys {
    pub(crate) fn token(&self, user: &str, ttl: Duration) -> String {
        self.token_of(user, dev::TENANT, &["broadcaster"], ttl)
    }

    pub(crate) fn token_of(&self, user: &str, tenant: &str, roles: &[&str], ttl: Duration) -> String {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let bearer = Bearer { user: user.to_owned(), tenant: tenant.to_owned(), roles };
        self.dev.token(&bearer, AUDIENCE, now(), ttl).unwrap()
    }

    pub(crate) fn endpoint(
        &self,
        alpn: &[u8],
        tune: impl FnOnce(&mut quinn::TransportConfig),
    ) -> quinn::Endpoint {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dev.ca()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut crypto = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        crypto.alpn_protocols = vec![alpn.to_vec()];
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto).unwrap()));
        let mut transport = quinn::TransportConfig::default();
        tune(&mut transport);
        config.transport_config(Arc::new(transport));
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(config);
        endpoint
    }

    /// A connection on which nothing was said yet.
    pub(crate) async fn dial(&self) -> quinn::Connection {
        let endpoint = self.endpoint(ALPN, |_| {});
        soon("a connection", endpoint.connect(self.address, "localhost").unwrap()).await.unwrap()
    }

    /// An open session.
    pub(crate) async fn session(&self, user: &str, device: u8) -> Device {
        let token = self.token(user, Duration::from_secs(600));
        self.session_with(self.dial().await, token, device, vec![]).await
    }

    pub(crate) async fn session_with(
        &self,
        connection: quinn::Connection,
        token: String,
        device: u8,
        positions: Vec<v1::Position>,
    ) -> Device {
        let mut control = Lane::open(&connection).await;
        control.send(1, hello(token, device, positions)).await;
        match control.answer().await {
            (1, Response::Welcome(welcome)) => {
                Device { connection, control, welcome, next_id: 1, pushes: Pushes::default() }
            }
            (_, other) => panic!("no welcome but {other:?}"),
        }
    }
}

pub(crate) fn hello(token: String, device: u8, positions: Vec<v1::Position>) -> Request {
    Request::Hello(v1::Hello {
        protocol_version: PROTOCOL_VERSION,
        token,
        device_id: Bytes::from(vec![device; 16]),
        client_name: "raw".to_owned(),
        client_version: "1".to_owned(),
        resume: Some(v1::Resume { positions }),
        publish_only: false,
    })
}

/// A request lane.
pub(crate) struct Lane {
    pub(crate) up: quinn::SendStream,
    pub(crate) down: quinn::RecvStream,
    buffer: BytesMut,
}

impl Lane {
    pub(crate) async fn open(connection: &quinn::Connection) -> Self {
        let (up, down) = soon("a lane", connection.open_bi()).await.unwrap();
        Self { up, down, buffer: BytesMut::new() }
    }

    pub(crate) async fn send(&mut self, request_id: u64, request: Request) {
        let mut out = BytesMut::new();
        frame::encode(&v1::ClientFrame { request_id, request: Some(request) }, &mut out);
        self.up.write_all(&out).await.unwrap();
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> (u64, Response) {
        let frame: v1::ServerFrame = soon("an answer", read(&mut self.down, &mut self.buffer)).await.unwrap();
        (frame.request_id, frame.response.unwrap())
    }

    /// The next answer, which must be a refusal; its code.
    pub(crate) async fn refusal(&mut self) -> (u64, v1::Error) {
        match self.answer().await {
            (id, Response::Error(error)) => (id, error),
            (_, other) => panic!("no refusal but {other:?}"),
        }
    }
}

/// The next frame of a stream; `None` at its end.
pub(crate) async fn read<M: prost::Message + Default>(
    stream: &mut quinn::RecvStream,
    buffer: &mut BytesMut,
) -> Option<M> {
    loop {
        if let Some(content) = frame::split(buffer, usize::MAX).unwrap() {
            return Some(frame::decode(content).unwrap());
        }
        let chunk = stream.read_chunk(usize::MAX, true).await.ok()??;
        buffer.extend_from_slice(&chunk.bytes);
    }
}

/// Delivery lanes that were opened, by class.
#[derive(Default)]
pub(crate) struct Pushes {
    lanes: Vec<(v1::LaneClass, quinn::RecvStream, BytesMut)>,
}

/// A device with a session.
pub(crate) struct Device {
    pub(crate) connection: quinn::Connection,
    pub(crate) control: Lane,
    pub(crate) welcome: v1::Welcome,
    next_id: u64,
    pushes: Pushes,
}

impl Device {
    /// Asks on the control stream and waits for the answer.
    pub(crate) async fn ask(&mut self, request: Request) -> Response {
        self.next_id += 1;
        let asked = self.next_id;
        self.control.send(asked, request).await;
        let (id, response) = self.control.answer().await;
        assert_eq!(id, asked);
        response
    }

    /// Asks for something that is refused; the refusal.
    pub(crate) async fn refused(&mut self, request: Request) -> v1::Error {
        match self.ask(request).await {
            Response::Error(error) => error,
            other => panic!("no refusal but {other:?}"),
        }
    }

    pub(crate) async fn direct(&mut self, peer: &str) -> Bytes {
        self.create(v1::ConversationKind::Direct, &[peer], 0).await
    }

    pub(crate) async fn create(&mut self, kind: v1::ConversationKind, members: &[&str], key: u8) -> Bytes {
        let request = Request::CreateConversation(v1::CreateConversation {
            kind: kind.into(),
            members: members.iter().map(|name| (*name).to_owned()).collect(),
            client_conversation_id: Bytes::from(vec![key; 16]),
            ..Default::default()
        });
        match self.ask(request).await {
            Response::Conversation(conversation) => conversation.conversation_id,
            other => panic!("no conversation but {other:?}"),
        }
    }

    pub(crate) async fn publish(&mut self, conversation: &Bytes, key: u8, payload: &str) -> v1::PublishAck {
        match self.ask(publish(conversation, key, payload)).await {
            Response::PublishAck(ack) => ack,
            other => panic!("no ack but {other:?}"),
        }
    }

    /// The next push on the ordered lane, leaving out the end of the backlog.
    pub(crate) async fn push(&mut self) -> Push {
        loop {
            match self.push_on(v1::LaneClass::Ordered).await {
                Push::CaughtUp(_) => {}
                push => return push,
            }
        }
    }

    /// The next push on a lane.
    pub(crate) async fn push_on(&mut self, class: v1::LaneClass) -> Push {
        loop {
            if let Some((_, stream, buffer)) = self.pushes.lanes.iter_mut().find(|lane| lane.0 == class) {
                let frame: v1::PushFrame = soon("a push", read(stream, buffer)).await.unwrap();
                return frame.push.unwrap();
            }
            let mut stream = soon("a delivery lane", self.connection.accept_uni()).await.unwrap();
            let mut buffer = BytesMut::new();
            let frame: v1::PushFrame = soon("a lane header", read(&mut stream, &mut buffer)).await.unwrap();
            let Some(Push::Header(header)) = frame.push else { panic!("no header first") };
            self.pushes.lanes.push((header.lane_class(), stream, buffer));
        }
    }

    /// The next message on the ordered lane: its sequence, sender and payload.
    pub(crate) async fn message(&mut self) -> (u64, String, Bytes) {
        loop {
            if let Push::Entry(entry) = self.push().await {
                let Some(v1::entry::Body::Message(message)) = entry.body else { continue };
                return (entry.sequence, entry.sender, message.payload);
            }
        }
    }
}

pub(crate) fn publish(conversation: &Bytes, key: u8, payload: &str) -> Request {
    Request::Publish(v1::Publish {
        conversation_id: conversation.clone(),
        client_message_id: Bytes::from(vec![key; 16]),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Default::default()
    })
}

/// The code that a connection was closed with.
pub(crate) async fn close_code(connection: &quinn::Connection) -> u64 {
    match soon("the close", connection.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("closed otherwise: {other}"),
    }
}
