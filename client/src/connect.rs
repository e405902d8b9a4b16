//! From an address to a session: QUIC, TLS and Hello.
//!
//! Owns the endpoint and the client's TLS and transport settings. It never retries. Invariants: TLS
//! 1.3 only, ALPN `wardline/1`, no early data, no resumption; receive windows are capped, since
//! quinn's defaults allow hundreds of megabytes per connection.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    AckFrequencyConfig, ClientConfig, ConnectionError, Endpoint, IdleTimeout, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{ClientFrame, Hello, Position, Resume, Welcome};
use wardline_proto::{ALPN, PROTOCOL_VERSION, frame};

use crate::end::End;
use crate::error::ConnectError;
use crate::frames::RequestLane;
use crate::options::{Options, Trust};
use crate::session::Established;
use crate::types::{ConversationId, Sequence};
use crate::wire;

const CONNECTION_RECEIVE_WINDOW: u32 = 256 * 1024;
const STREAM_RECEIVE_WINDOW: u32 = 64 * 1024;
const SEND_WINDOW: u64 = 256 * 1024;
const DELIVERY_LANES_MAX: u32 = 4;
/// Packets that the broker may receive before it acknowledges them; below QUIC's initial congestion
/// window.
const ACK_ELICITING_PACKETS: u32 = 8;
/// Keep-alives that may go unanswered before the connection counts as lost.
const KEEP_ALIVES_LOST_MAX: u32 = 3;

/// Opens sessions.
pub(crate) struct Connector {
    endpoint: Endpoint,
    /// Whether the endpoint is this client's alone.
    owned: bool,
    config: ClientConfig,
}

impl Connector {
    /// Checks the options and binds an endpoint if none is shared.
    ///
    /// # Errors
    /// [`ConnectError::Options`] if they cannot work.
    pub(crate) fn new(options: &Options) -> Result<Self, ConnectError> {
        check(options)?;
        let config = client_config(options)?;
        let owned = options.endpoint.is_none();
        let endpoint = match &options.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let any: SocketAddr = match options.address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                Endpoint::client(any).map_err(|error| {
                    ConnectError::Options(format!(
                        "cannot open a UDP socket: {error}; check the limits of the process"
                    ))
                })?
            }
        };
        Ok(Self { endpoint, owned, config })
    }

    /// Tries once to open a session that resumes at `positions`.
    ///
    /// # Errors
    /// As [`ConnectError`] says.
    pub(crate) async fn connect(
        &self,
        options: &Options,
        positions: Vec<(ConversationId, Sequence)>,
    ) -> Result<Established, ConnectError> {
        let token = options.tokens.token().map_err(ConnectError::Token)?;
        tokio::time::timeout(options.connect_timeout, self.open(options, token, positions))
            .await
            .unwrap_or_else(|_| {
                let detail =
                    format!("no answer within {:?}: is the broker running there?", options.connect_timeout);
                Err(unreachable(options, detail))
            })
    }

    /// Lets the farewell of a closed connection leave, if the endpoint is this client's alone.
    pub(crate) async fn wait_idle(&self) {
        if self.owned {
            self.endpoint.wait_idle().await;
        }
    }

    async fn open(
        &self,
        options: &Options,
        token: String,
        positions: Vec<(ConversationId, Sequence)>,
    ) -> Result<Established, ConnectError> {
        let connecting = self
            .endpoint
            .connect_with(self.config.clone(), options.address, &options.server_name)
            .map_err(|error| ConnectError::Options(format!("cannot connect: {error}")))?;
        let connection = connecting.await.map_err(|error| handshake_failed(options, error))?;
        match hello(&connection, options, &token, positions).await {
            Ok((control, welcome)) => Ok(Established { connection, control, welcome, token }),
            Err(end) => {
                connection.close(VarInt::from_u32(0), b"");
                Err(refused(options, end))
            }
        }
    }
}

async fn hello(
    connection: &quinn::Connection,
    options: &Options,
    token: &str,
    positions: Vec<(ConversationId, Sequence)>,
) -> Result<(RequestLane, Welcome), End> {
    let mut control = RequestLane::new(connection.open_bi().await?);
    let positions = positions.into_iter().map(|(conversation, after_sequence)| Position {
        conversation_id: wire::id_bytes(conversation.0),
        after_sequence,
    });
    let hello = Hello {
        protocol_version: PROTOCOL_VERSION,
        token: token.to_owned(),
        device_id: wire::id_bytes(options.device.0),
        client_name: options.client_name.clone(),
        client_version: options.client_version.clone(),
        resume: Some(Resume { positions: positions.collect() }),
        publish_only: options.publish_only,
    };
    let mut frames = BytesMut::new();
    frame::encode(
        &ClientFrame { request_id: 1, request: Some(Request::Hello(hello)), ..ClientFrame::default() },
        &mut frames,
    );
    control.write(frames);
    loop {
        let Some(answer) = control.turn().await? else { continue };
        return match answer.response {
            Some(Response::Welcome(welcome)) => Ok((control, welcome)),
            Some(Response::Error(error)) => Err(End::Told(wire::refusal(error))),
            Some(Response::Goodbye(goodbye)) => Err(End::Told(wire::farewell(goodbye))),
            _ => Err(wire::Malformed("answer to Hello").into()),
        };
    }
}

/// The session was not opened after the handshake.
fn refused(options: &Options, end: End) -> ConnectError {
    match end {
        End::Told(refusal) | End::Goodbye(refusal) => ConnectError::Refused(refusal),
        End::Lost(why) | End::Cut(why) => unreachable(options, why),
        End::Protocol(why) => unreachable(options, format!("it does not speak the protocol: {why}")),
        End::Stopped => unreachable(options, "the client was closed".into()),
    }
}

/// The handshake failed.
fn handshake_failed(options: &Options, error: ConnectionError) -> ConnectError {
    /// TLS alerts as QUIC reports them (RFC 9001, section 4.8).
    const NO_APPLICATION_PROTOCOL: u64 = 0x0100 + 120;
    const CONNECTION_REFUSED: u64 = 0x02;
    let (code, local) = match &error {
        ConnectionError::ApplicationClosed(_) => return refused(options, error.into()),
        ConnectionError::TransportError(error) => (u64::from(error.code), true),
        ConnectionError::ConnectionClosed(close) => (u64::from(close.error_code), false),
        _ => return unreachable(options, error.to_string()),
    };
    let hint = match code {
        NO_APPLICATION_PROTOCOL => "what listens there does not speak wardline/1",
        CONNECTION_REFUSED => "it takes no more connections now; try again later",
        0x0100..=0x01ff if local => {
            "its certificate is not trusted: check the certificate authority and the server name"
        }
        0x0100..=0x01ff => "it ended the TLS handshake",
        _ => "the QUIC handshake failed",
    };
    unreachable(options, format!("{hint} ({error})"))
}

fn unreachable(options: &Options, detail: String) -> ConnectError {
    ConnectError::Unreachable { address: options.address.to_string(), detail }
}

fn check(options: &Options) -> Result<(), ConnectError> {
    let printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let wrong = if options.publish_window == 0 {
        "publish_window is 0: nothing could be published"
    } else if options.publish_window > tokio::sync::Semaphore::MAX_PERMITS {
        "publish_window is too large"
    } else if options.inbox_max == 0 {
        "inbox_max is 0: nothing could be received"
    } else if options.client_name.len() > 64 || !printable(&options.client_name) {
        "client_name is over 64 bytes or not printable ASCII"
    } else if options.client_version.len() > 32 || !printable(&options.client_version) {
        "client_version is over 32 bytes or not printable ASCII"
    } else if options.keep_alive.is_zero() {
        "keep_alive is 0"
    } else {
        return Ok(());
    };
    Err(ConnectError::Options(wrong.into()))
}

fn client_config(options: &Options) -> Result<ClientConfig, ConnectError> {
    let roots = roots(&options.trust)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| ConnectError::Options(format!("TLS 1.3 is not available: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.enable_early_data = false;
    tls.resumption = rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|error| ConnectError::Options(format!("TLS cannot be used with QUIC: {error}")))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(options.keep_alive)?));
    Ok(config)
}

fn roots(trust: &Trust) -> Result<RootCertStore, ConnectError> {
    let Trust::Pem(pem) = trust;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added
            .map_err(|error| ConnectError::Options(format!("trust: a certificate is malformed: {error}")))?;
    }
    if roots.is_empty() {
        return Err(ConnectError::Options("trust: there is no certificate in the PEM text".into()));
    }
    Ok(roots)
}

fn transport(keep_alive: Duration) -> Result<TransportConfig, ConnectError> {
    let idle = IdleTimeout::try_from(keep_alive.saturating_mul(KEEP_ALIVES_LOST_MAX))
        .map_err(|_| ConnectError::Options("keep_alive is too long".into()))?;
    // For the broker an acknowledgement sent is a packet sent.
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_ELICITING_PACKETS));
    let mut transport = TransportConfig::default();
    transport
        .receive_window(VarInt::from_u32(CONNECTION_RECEIVE_WINDOW))
        .stream_receive_window(VarInt::from_u32(STREAM_RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .max_concurrent_uni_streams(VarInt::from_u32(DELIVERY_LANES_MAX))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(keep_alive))
        .ack_frequency_config(Some(acks))
        .max_idle_timeout(Some(idle));
    Ok(transport)
}
