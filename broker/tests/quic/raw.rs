//! A client without manners: quinn and frames, to send what the SDK never would, and to see on
//! which lane something came.
//!
//! Never looks into the broker; what it says on its streams is all there is.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connecting, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use wardline_client::Code;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{
    ClientFrame, ConversationKind, CreateConversation, Error, Goodbye, Hello, LaneClass, Publish, PublishAck,
    PushFrame, ServerFrame, Welcome, entry,
};
use wardline_proto::{ALPN, PROTOCOL_VERSION, frame};

use crate::site::{Site, device_of, within};

const FRAME_BYTES_MAX: usize = 4 << 20;

/// A connection and the lane that it was opened with.
pub(crate) struct Raw {
    pub(crate) connection: quinn::Connection,
    pub(crate) control: Lane,
    /// Once there is a session.
    pub(crate) welcome: Welcome,
    /// Its device, likewise.
    pub(crate) device: Bytes,
    /// The latest request of [`Raw::ask`]; Hello had 1.
    asked: u64,
    deliveries: Vec<(LaneClass, Frames)>,
    /// Keeps the socket.
    _endpoint: Endpoint,
}

/// A request lane.
pub(crate) struct Lane {
    send: SendStream,
    answers: Frames,
}

/// What arrives on a stream.
struct Frames {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Frames {
    fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next one; `None` once there is none.
    async fn next<M: prost::Message + Default>(&mut self) -> Option<M> {
        loop {
            if let Some(content) = frame::split(&mut self.buffer, FRAME_BYTES_MAX).unwrap() {
                return Some(frame::decode(content).unwrap());
            }
            let chunk = within("a frame", self.stream.read_chunk(FRAME_BYTES_MAX, true)).await.ok()??;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }
}

/// Connects without opening a session.
///
/// # Errors
/// As quinn tells them.
pub(crate) async fn connect(
    site: &Site,
    alpn: &[u8],
) -> Result<(Endpoint, quinn::Connection), ConnectionError> {
    let (endpoint, connecting) = connecting(site, site.broker.address(), alpn);
    let connection = within("the handshake", connecting).await?;
    Ok((endpoint, connection))
}

/// Begins to connect to what listens there.
pub(crate) fn connecting(site: &Site, address: SocketAddr, alpn: &[u8]) -> (Endpoint, Connecting) {
    let (endpoint, config) = (endpoint(), config(site, alpn, TransportConfig::default()));
    let connecting = endpoint.connect_with(config, address, "localhost").unwrap();
    (endpoint, connecting)
}

/// A socket of one's own, for one connection or many.
pub(crate) fn endpoint() -> Endpoint {
    Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// How to connect.
pub(crate) fn config(site: &Site, alpn: &[u8], transport: TransportConfig) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&site.ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport));
    config
}

impl Raw {
    /// Connects and opens the control stream, without a word.
    pub(crate) async fn silent(site: &Site) -> Self {
        Self::silent_with(site, TransportConfig::default()).await
    }

    /// The same, with a transport that is set otherwise.
    pub(crate) async fn silent_with(site: &Site, transport: TransportConfig) -> Self {
        Self::silent_on(site, endpoint(), config(site, ALPN, transport)).await
    }

    /// The same, on a socket that may have other connections.
    pub(crate) async fn silent_on(site: &Site, endpoint: Endpoint, config: ClientConfig) -> Self {
        let connecting = endpoint.connect_with(config, site.broker.address(), "localhost").unwrap();
        let connection = within("the handshake", connecting).await.unwrap();
        let control = Lane::open(&connection).await;
        let (welcome, device, deliveries) = (Welcome::default(), Bytes::new(), Vec::new());
        Self { connection, control, welcome, device, asked: 1, deliveries, _endpoint: endpoint }
    }

    /// Opens a session for somebody's device.
    pub(crate) async fn session(site: &Site, user: &str, device: u8) -> Self {
        Self::silent(site).await.says(hello(site.issuer.token(user), user, device)).await
    }

    /// Opens a session by a Hello that is accepted.
    pub(crate) async fn says(mut self, hello: Hello) -> Self {
        self.device = hello.device_id.clone();
        self.control.send(1, Request::Hello(hello)).await;
        match self.control.answer(1).await {
            Response::Welcome(welcome) => Self { welcome, ..self },
            other => panic!("{other:?} instead of Welcome"),
        }
    }

    /// Asks on the control stream and waits for the answer.
    pub(crate) async fn ask(&mut self, request: Request) -> Response {
        self.asked += 1;
        self.control.send(self.asked, request).await;
        self.control.answer(self.asked).await
    }

    /// Asks for something that is refused with this code.
    pub(crate) async fn refused(&mut self, request: Request, code: Code) -> Error {
        self.asked += 1;
        self.control.send(self.asked, request).await;
        self.control.refused(self.asked, code).await
    }

    /// Finds or makes the conversation with somebody.
    pub(crate) async fn direct(&mut self, peer: &str) -> Bytes {
        self.create(ConversationKind::Direct, &[peer], 0).await
    }

    /// Makes a conversation under a key.
    pub(crate) async fn create(&mut self, kind: ConversationKind, members: &[&str], key: u8) -> Bytes {
        match self.ask(create(kind, members, key)).await {
            Response::Conversation(conversation) => conversation.conversation_id,
            other => panic!("{other:?} instead of a conversation"),
        }
    }

    /// Publishes under a key, and waits until that is durable.
    pub(crate) async fn publish(&mut self, conversation: &Bytes, key: u8, payload: &str) -> PublishAck {
        match self.ask(publish(conversation, key, payload)).await {
            Response::PublishAck(ack) => ack,
            other => panic!("{other:?} instead of an acknowledgement"),
        }
    }

    /// The next push on the ordered lane, leaving out the end of the backlog.
    pub(crate) async fn push(&mut self) -> Push {
        loop {
            match self.push_on(LaneClass::Ordered).await {
                Push::CaughtUp(_) => {}
                push => return push,
            }
        }
    }

    /// The next push on a delivery lane.
    pub(crate) async fn push_on(&mut self, class: LaneClass) -> Push {
        loop {
            if let Some((_, pushes)) = self.deliveries.iter_mut().find(|(of, _)| *of == class) {
                return pushes.next::<PushFrame>().await.expect("a push").push.unwrap();
            }
            let stream = within("a delivery lane", self.connection.accept_uni()).await.unwrap();
            let mut pushes = Frames::new(stream);
            let first = pushes.next::<PushFrame>().await.expect("a header").push;
            let Some(Push::Header(header)) = first else { panic!("{first:?} instead of a header") };
            self.deliveries.push((header.lane_class(), pushes));
        }
    }

    /// The next message on the ordered lane: its sequence, sender and payload.
    pub(crate) async fn message(&mut self) -> (u64, String, Bytes) {
        loop {
            if let Push::Entry(entry) = self.push().await {
                let Some(entry::Body::Message(message)) = entry.body else { continue };
                return (entry.sequence, entry.sender, message.payload);
            }
        }
    }

    /// Opens another lane.
    pub(crate) async fn lane(&self) -> Lane {
        Lane::open(&self.connection).await
    }

    /// The certificate that the broker showed.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.connection.peer_identity().unwrap().downcast::<Vec<CertificateDer>>().unwrap();
        shown[0].clone()
    }

    /// Waits until the broker closes the connection; asserts the code.
    pub(crate) async fn closed(&self, code: Code) {
        match within("the connection to be closed", self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, quic(code), "{close:?} instead of {code:?}");
            }
            other => panic!("{other} instead of {code:?}"),
        }
    }
}

impl Lane {
    async fn open(connection: &quinn::Connection) -> Self {
        let (send, recv) = within("a stream", connection.open_bi()).await.unwrap();
        Self { send, answers: Frames::new(recv) }
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, request_id: u64, request: Request) {
        let mut out = BytesMut::new();
        frame::encode(
            &ClientFrame { request_id, request: Some(request), ..ClientFrame::default() },
            &mut out,
        );
        self.send_bytes(&out).await;
    }

    /// Sends whatever it is. An error is not ours to judge: the broker may have closed already, and
    /// says why.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        within("sending", self.send.write_all(bytes)).await.ok();
    }

    /// Ends the sending side.
    pub(crate) fn finish(&mut self) {
        self.send.finish().ok();
    }

    /// The next frame; `None` once there is none.
    pub(crate) async fn frame(&mut self) -> Option<ServerFrame> {
        self.answers.next().await
    }

    /// The next answer, and which request it is for.
    pub(crate) async fn next(&mut self) -> (u64, Response) {
        let frame = self.frame().await.expect("an answer");
        (frame.request_id, frame.response.expect("an answer says something"))
    }

    /// The answer to this request, which must be the next.
    pub(crate) async fn answer(&mut self, request_id: u64) -> Response {
        let (id, response) = self.next().await;
        assert_eq!(id, request_id, "{response:?}");
        response
    }

    /// Asserts that the next answer is a refusal of this request.
    pub(crate) async fn refused(&mut self, request_id: u64, code: Code) -> Error {
        match self.answer(request_id).await {
            Response::Error(error) => {
                assert_eq!(error.code(), code, "{error:?}");
                assert!(!error.text.is_empty() && !error.action.is_empty(), "{error:?}");
                error
            }
            other => panic!("{other:?} instead of {code:?}"),
        }
    }

    /// Waits for Goodbye; answers are passed over.
    pub(crate) async fn goodbye(&mut self) -> Goodbye {
        loop {
            let frame = self.frame().await.expect("Goodbye before the end");
            if let Some(Response::Goodbye(goodbye)) = frame.response {
                return goodbye;
            }
        }
    }

    /// Waits until the broker resets the stream or asks to stop sending; asserts the code.
    pub(crate) async fn reset(&mut self, code: Code) {
        let stopped = within("the stream to be stopped", self.send.stopped()).await;
        assert_eq!(stopped.unwrap(), Some(quic(code)));
    }
}

fn quic(code: Code) -> VarInt {
    VarInt::from_u32(code as u32)
}

/// A Hello as it should be.
pub(crate) fn hello(token: String, user: &str, device: u8) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        token,
        device_id: Bytes::copy_from_slice(&device_of(user, device).0),
        client_name: "raw".into(),
        client_version: "1".into(),
        resume: None,
        publish_only: false,
    }
}

/// A conversation to be made under a key.
pub(crate) fn create(kind: ConversationKind, members: &[&str], key: u8) -> Request {
    Request::CreateConversation(CreateConversation {
        kind: kind.into(),
        members: members.iter().map(|name| (*name).to_owned()).collect(),
        client_conversation_id: Bytes::from(vec![key; 16]),
        ..Default::default()
    })
}

/// A message under a key of its sender.
pub(crate) fn publish(conversation: &Bytes, key: u8, payload: &str) -> Request {
    Request::Publish(Publish {
        conversation_id: conversation.clone(),
        client_message_id: Bytes::from(vec![key; 16]),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Default::default()
    })
}
