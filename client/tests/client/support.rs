//! A broker of cardboard: real QUIC and frames, with every answer given by the test.
//!
//! It knows the wire and nothing of the real broker. Every wait has a deadline.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use wardline_client::{
    Backoff, ConversationId, DeviceId, Inbox, Incoming, Options, Outgoing, Sequence, Status, TokenSource,
    Trust,
};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::*;
use wardline_proto::{ALPN, frame};

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, at most [`PATIENCE`].
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// An endpoint that accepts whom the test accepts.
pub(crate) struct Broker {
    pub(crate) endpoint: Endpoint,
    tls: rustls::ServerConfig,
    pub(crate) address: SocketAddr,
    pub(crate) ca: Vec<u8>,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::with_alpn(ALPN)
    }

    /// One on the other loopback address.
    pub(crate) fn start_v6() -> Self {
        Self::at((Ipv6Addr::LOCALHOST, 0).into(), ALPN)
    }

    pub(crate) fn with_alpn(alpn: &[u8]) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), alpn)
    }

    fn at(address: SocketAddr, alpn: &[u8]) -> Self {
        let (tls, ca) = certified(alpn);
        let endpoint = Endpoint::server(config(&tls), address).unwrap();
        let address = endpoint.local_addr().unwrap();
        Self { endpoint, tls, address, ca }
    }

    /// Shows a certificate from now on that nobody trusts; takes the tickets that it gave all the
    /// same.
    pub(crate) fn show_another_certificate(&self) {
        let mut tls = self.tls.clone();
        tls.cert_resolver = certified(ALPN).0.cert_resolver;
        self.endpoint.set_server_config(Some(config(&tls)));
    }

    /// Options for this broker, with short pauses.
    pub(crate) fn options(&self, tokens: impl TokenSource) -> Options {
        let trust = Trust::Pem(self.ca.clone());
        let mut options = Options::new(self.address, "localhost", trust, tokens, DeviceId::random());
        options.backoff = Backoff { first: Duration::from_millis(10), max: Duration::from_millis(100) };
        options.receipt_delay = Duration::from_millis(1);
        options
    }

    /// Accepts the next connection and reads its Hello.
    pub(crate) async fn accept(&self) -> Session {
        soon("a connection and its Hello", async {
            let connection = self.endpoint.accept().await.unwrap().await.unwrap();
            let mut control = Lane::new(connection.accept_bi().await.unwrap());
            let frame = control.next().await;
            let Some(Request::Hello(hello)) = frame.request else { panic!("the first frame was no Hello") };
            Session { connection, control, hello, hello_id: frame.request_id }
        })
        .await
    }

    /// Accepts the next connection and welcomes it.
    pub(crate) async fn welcome(&self) -> Session {
        let mut session = self.accept().await;
        session.welcome(Duration::from_secs(3600)).await;
        session
    }
}

/// With a certificate of its own, and that as an authority.
fn certified(alpn: &[u8]) -> (rustls::ServerConfig, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    tls.alpn_protocols = vec![alpn.to_vec()];
    (tls, certificate.pem().into_bytes())
}

fn config(tls: &rustls::ServerConfig) -> ServerConfig {
    let crypto = QuicServerConfig::try_from(tls.clone()).unwrap();
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport.send_window(64 * 1024);
    config.transport_config(Arc::new(transport));
    config
}

/// A session as the broker sees it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) control: Lane,
    pub(crate) hello: Hello,
    pub(crate) hello_id: u64,
}

impl Session {
    pub(crate) async fn welcome(&mut self, token_lifetime: Duration) {
        let id = self.hello_id;
        self.control.answer(id, Response::Welcome(welcome(token_lifetime))).await;
    }

    /// Waits for the publish lane.
    pub(crate) async fn publish_lane(&self) -> Lane {
        Lane::new(soon("a publish lane", self.connection.accept_bi()).await.unwrap())
    }

    /// Opens a delivery lane.
    pub(crate) async fn delivery_lane(&self, class: LaneClass) -> Delivery {
        let mut lane = Delivery { stream: self.connection.open_uni().await.unwrap() };
        lane.push(Push::Header(LaneHeader { lane_class: class.into() })).await;
        lane
    }

    /// Ends the session as a crash would look.
    pub(crate) fn cut(&self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }

    /// Says Goodbye and closes.
    pub(crate) async fn goodbye(mut self, code: ErrorCode, retry_after: Duration) {
        let retry_after_ms = retry_after.as_millis() as u64;
        let goodbye = Goodbye { code: code.into(), text: "the test says so".into(), retry_after_ms };
        self.control.answer(0, Response::Goodbye(goodbye)).await;
        self.control.stream.finish().unwrap();
        let _ = soon("the client to read Goodbye", self.control.stream.stopped()).await;
        self.connection.close(VarInt::from_u32(code as u32), b"");
    }

    /// The positions in Hello.
    pub(crate) fn positions(&self) -> Vec<(ConversationId, Sequence)> {
        let positions = self.hello.resume.clone().unwrap_or_default().positions;
        positions
            .into_iter()
            .map(|position| (conversation_of(&position.conversation_id), position.after_sequence))
            .collect()
    }
}

/// A request lane as the broker sees it.
pub(crate) struct Lane {
    pub(crate) stream: SendStream,
    incoming: RecvStream,
    buffer: BytesMut,
}

impl Lane {
    pub(crate) fn new((stream, incoming): (SendStream, RecvStream)) -> Self {
        Self { stream, incoming, buffer: BytesMut::new() }
    }

    pub(crate) async fn next(&mut self) -> ClientFrame {
        soon("a request", self.try_next()).await.expect("the lane ended")
    }

    /// The next request; `None` when the lane or the connection ends.
    pub(crate) async fn try_next(&mut self) -> Option<ClientFrame> {
        loop {
            if let Some(content) = frame::split(&mut self.buffer, 1 << 20).unwrap() {
                return Some(frame::decode(content).unwrap());
            }
            let chunk = self.incoming.read_chunk(64 * 1024, true).await.ok()??;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }

    pub(crate) async fn publish(&mut self) -> (u64, Publish) {
        let frame = self.next().await;
        let Some(Request::Publish(publish)) = frame.request else { panic!("not a publish") };
        (frame.request_id, publish)
    }

    pub(crate) async fn acknowledge(&mut self) -> (u64, Acknowledge) {
        let frame = self.next().await;
        let Some(Request::Acknowledge(acknowledge)) = frame.request else { panic!("not an acknowledge") };
        (frame.request_id, acknowledge)
    }

    pub(crate) async fn answer(&mut self, request_id: u64, response: Response) {
        let mut frames = BytesMut::new();
        frame::encode(
            &ServerFrame { request_id, response: Some(response), ..ServerFrame::default() },
            &mut frames,
        );
        self.stream.write_all(&frames).await.unwrap();
    }

    pub(crate) async fn ack(&mut self, request_id: u64, sequence: u64) {
        self.answer(request_id, Response::PublishAck(PublishAck { sequence, time_ms: 1 })).await;
    }

    pub(crate) async fn refuse(&mut self, request_id: u64, code: ErrorCode, retry_after: Duration) {
        self.answer(request_id, Response::Error(refusal(code, retry_after))).await;
    }
}

/// A delivery lane as the broker sees it.
pub(crate) struct Delivery {
    pub(crate) stream: SendStream,
}

impl Delivery {
    pub(crate) async fn push(&mut self, push: Push) {
        self.try_push(push).await.unwrap();
    }

    pub(crate) async fn try_push(&mut self, push: Push) -> Result<(), quinn::WriteError> {
        let mut frames = BytesMut::new();
        frame::encode(&PushFrame { push: Some(push) }, &mut frames);
        self.stream.write_all(&frames).await
    }

    /// Pushes a frame of this content.
    pub(crate) async fn raw(&mut self, content: &[u8]) {
        let mut frame = Vec::new();
        prost::encoding::encode_varint(content.len() as u64, &mut frame);
        frame.extend_from_slice(content);
        self.stream.write_all(&frame).await.unwrap();
    }

    pub(crate) async fn entry(&mut self, conversation: ConversationId, sequence: u64) {
        self.push(entry(conversation, sequence, b"text")).await;
    }
}

pub(crate) fn refusal(code: ErrorCode, retry_after: Duration) -> Error {
    Error {
        code: code.into(),
        text: "refused by the test".into(),
        action: "none".into(),
        retry_after_ms: retry_after.as_millis() as u64,
        current_sequence: 0,
    }
}

pub(crate) fn welcome(token_lifetime: Duration) -> Welcome {
    Welcome {
        session_id: Bytes::copy_from_slice(&DeviceId::random().0),
        server_time_ms: 1_000_000,
        limits: Some(Limits {
            frame_bytes_max: 80 * 1024,
            payload_bytes_max: 64 * 1024,
            page_entries_max: 200,
            lane_requests_max: 1024,
            members_max: 1000,
            resume_positions_max: 4,
            retention_max_ms: 1_000_000,
            dedupe_window_ms: 1_000_000,
            lanes_max: 8,
        }),
        user: "user".into(),
        tenant: "tenant".into(),
        token_expires_at_ms: 1_000_000 + token_lifetime.as_millis() as u64,
        broker_version: "test".into(),
        ..Welcome::default()
    }
}

pub(crate) fn entry(conversation: ConversationId, sequence: u64, payload: &[u8]) -> Push {
    Push::Entry(Entry {
        conversation_id: Bytes::copy_from_slice(&conversation.0),
        sequence,
        sender: "somebody".into(),
        time_ms: 1,
        expires_at_ms: 2,
        body: Some(entry::Body::Message(Message {
            client_message_id: Bytes::copy_from_slice(&DeviceId::random().0),
            content_type: "text/plain".into(),
            payload: Bytes::copy_from_slice(payload),
            priority: Priority::Routine.into(),
            reply_to_sequence: 0,
        })),
    })
}

pub(crate) fn conversation_of(bytes: &[u8]) -> ConversationId {
    ConversationId(bytes.try_into().unwrap())
}

/// A message whose payload is a number.
pub(crate) fn numbered(conversation: ConversationId, number: u64) -> Outgoing {
    Outgoing::new(conversation, "text/plain", number.to_be_bytes().to_vec())
}

pub(crate) fn number_of(publish: &Publish) -> u64 {
    u64::from_be_bytes(publish.payload.as_ref().try_into().unwrap())
}

/// The next entry's sequence.
pub(crate) async fn next_sequence(inbox: &mut Inbox) -> u64 {
    match soon("an entry", inbox.next()).await {
        Some(Incoming::Entry(entry)) => entry.sequence,
        other => panic!("no entry but {other:?}"),
    }
}

/// Waits until the status is as wanted.
pub(crate) async fn until(client: &wardline_client::Client, what: &str, wanted: impl Fn(&Status) -> bool) {
    let mut status = client.status();
    soon(what, status.wait_for(|status| wanted(status))).await.unwrap();
}
