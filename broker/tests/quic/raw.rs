//! A client without manners: quinn and frames, to send what the SDK never would.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connecting, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use wardline_client::Code;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{ClientFrame, Error, Goodbye, Hello, ServerFrame, Welcome};
use wardline_proto::{ALPN, PROTOCOL_VERSION, frame};

use crate::site::{Site, device_of, within};

const FRAME_BYTES_MAX: usize = 4 << 20;

/// A connection and the lane that it was opened with.
pub(crate) struct Raw {
    pub(crate) connection: quinn::Connection,
    pub(crate) control: Lane,
    /// Keeps the socket.
    _endpoint: Endpoint,
}

/// A request lane.
pub(crate) struct Lane {
    send: SendStream,
    recv: RecvStream,
    buffer: BytesMut,
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
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&site.ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(config, address, "localhost").unwrap();
    (endpoint, connecting)
}

impl Raw {
    /// Connects and opens the control stream, without a word.
    pub(crate) async fn silent(site: &Site) -> Self {
        let (endpoint, connection) = connect(site, ALPN).await.unwrap();
        let control = Lane::open(&connection).await;
        Self { connection, control, _endpoint: endpoint }
    }

    /// Opens a session for somebody's device.
    pub(crate) async fn session(site: &Site, user: &str, device: u8) -> (Self, Welcome) {
        let mut raw = Self::silent(site).await;
        raw.control.send(1, Request::Hello(hello(site.issuer.token(user), user, device))).await;
        match raw.control.answer(1).await {
            Response::Welcome(welcome) => (raw, welcome),
            other => panic!("{other:?} instead of Welcome"),
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
        Self { send, recv, buffer: BytesMut::new() }
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, request_id: u64, request: Request) {
        let mut out = BytesMut::new();
        frame::encode(&ClientFrame { request_id, request: Some(request) }, &mut out);
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
        loop {
            if let Some(content) = frame::split(&mut self.buffer, FRAME_BYTES_MAX).unwrap() {
                return Some(frame::decode(content).unwrap());
            }
            let chunk = within("a frame", self.recv.read_chunk(FRAME_BYTES_MAX, true)).await.ok()??;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }

    /// The answer to this request, which must be the next.
    pub(crate) async fn answer(&mut self, request_id: u64) -> Response {
        let frame = self.frame().await.expect("an answer");
        assert_eq!(frame.request_id, request_id, "{frame:?}");
        frame.response.expect("an answer says something")
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
