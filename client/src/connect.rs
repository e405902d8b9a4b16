//! From an address to a session: QUIC, TLS and Hello.
//!
//! Owns the client's TLS and transport settings; which of the broker's addresses answers is found
//! by [`Whereabouts`]. It never retries. Invariants: TLS 1.3 only, ALPN `wardline/1`, no early
//! data; a broker that was seen within a day is believed by its ticket, as long as this client
//! lives; receive windows are capped, since quinn's defaults allow hundreds of megabytes per
//! connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{AckFrequencyConfig, ClientConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{ClientFrame, Hello, Position, Resume, Welcome};
use wardline_proto::{ALPN, PROTOCOL_VERSION, frame};

use crate::end::End;
use crate::error::{Code, ConnectError};
use crate::frames::RequestLane;
use crate::options::{Options, Trust};
use crate::session::Established;
use crate::types::{ConversationId, Sequence};
use crate::whereabouts::{Failures, Whereabouts, no_socket};
use crate::wire;

const CONNECTION_RECEIVE_WINDOW: u32 = 256 * 1024;
const STREAM_RECEIVE_WINDOW: u32 = 64 * 1024;
const SEND_WINDOW: u64 = 256 * 1024;
const DELIVERY_LANES_MAX: u32 = 4;
/// Packets that the broker may receive before it acknowledges them; below QUIC's initial congestion
/// window.
const ACK_ELICITING_PACKETS: u32 = 8;
/// Whose tickets are kept: a client has one broker.
const BROKERS: usize = 1;
/// From which difference on a path is searched for the longest packet in smaller steps: more than
/// half of what lies between 1,200 bytes and 1,452, so that the longest is tried at once.
const MTU_STEP: u16 = 127;
/// Keep-alives that may go unanswered before the connection counts as lost.
const KEEP_ALIVES_LOST_MAX: u32 = 3;

/// Opens sessions.
pub(crate) struct Connector {
    whereabouts: Whereabouts,
}

impl Connector {
    /// Checks the options and makes ready.
    ///
    /// # Errors
    /// [`ConnectError::Options`] if they cannot work.
    pub(crate) fn new(options: &Options) -> Result<Self, ConnectError> {
        check(options)?;
        let config = client_config(options)?;
        let whereabouts =
            Whereabouts::new(options, config).map_err(|error| ConnectError::Options(no_socket(&error)))?;
        Ok(Self { whereabouts })
    }

    /// Tries once to open a session that resumes at `positions`: looks the broker up, and tries
    /// every address that it has.
    ///
    /// # Errors
    /// As [`ConnectError`] says.
    pub(crate) async fn connect(
        &self,
        options: &Options,
        positions: Vec<(ConversationId, Sequence)>,
    ) -> Result<Established, ConnectError> {
        let token = options.tokens.token().map_err(ConnectError::Token)?;
        let mut failures = Failures::new();
        let opened = self.open(options, token, positions, &mut failures);
        match tokio::time::timeout(options.connect_timeout, opened).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(Some(error))) => Err(error),
            Ok(Err(None)) => Err(all_failed(options, failures)),
            Err(_) => {
                let silence =
                    format!("no answer within {:?}: is the broker running there?", options.connect_timeout);
                Err(unreachable(options, [vec![silence], told(failures)].concat().join("; ")))
            }
        }
    }

    /// Lets the farewell of a closed connection leave, if its socket is this client's alone.
    pub(crate) async fn wait_idle(&self) {
        self.whereabouts.wait_idle().await;
    }

    /// Gives no error if the failures say it all.
    async fn open(
        &self,
        options: &Options,
        token: String,
        positions: Vec<(ConversationId, Sequence)>,
        failures: &mut Failures,
    ) -> Result<Established, Option<ConnectError>> {
        let found = self.whereabouts.addresses(options).await;
        let mut addresses = found.map_err(|why| Some(unreachable(options, why)))?;
        loop {
            let connected = self.whereabouts.connect(options, addresses.clone(), failures).await;
            let (address, connection) = connected.ok_or(None)?;
            let end = match hello(&connection, options, &token, positions.clone()).await {
                Ok((control, welcome)) => {
                    self.whereabouts.succeeded();
                    return Ok(Established { connection, control, welcome, token });
                }
                Err(end) => end,
            };
            connection.close(VarInt::from_u32(0), b"");
            let is_ours = concerns_us(&end);
            failures.push((address, end));
            addresses.retain(|address| failures.iter().all(|(failed, _)| failed != address));
            if is_ours || addresses.is_empty() {
                return Err(None);
            }
        }
    }
}

/// Whether a broker at another address of the name would say the same. One that stops or cannot
/// serve may have a neighbour that does; to be asked again for load would be more load.
fn concerns_us(end: &End) -> bool {
    match end {
        End::Told(refusal) | End::Goodbye(refusal) => {
            !matches!(refusal.code, Code::ShuttingDown | Code::Unavailable)
        }
        End::Lost(_) | End::Forgotten(_) | End::Cut(_) | End::Protocol(_) | End::Stopped => false,
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

/// No session was opened, and why.
fn refused(options: &Options, end: End) -> ConnectError {
    match end {
        End::Told(refusal) | End::Goodbye(refusal) => ConnectError::Refused(refusal),
        end => unreachable(options, sentence(end)),
    }
}

/// The one reason, or that of the last broker that gave one, or all of them.
fn all_failed(options: &Options, mut failures: Failures) -> ConnectError {
    let is_told = |(_, end): &(_, End)| matches!(end, End::Told(_) | End::Goodbye(_));
    let said = if failures.len() == 1 { Some(0) } else { failures.iter().rposition(is_told) };
    match said {
        Some(place) => refused(options, failures.swap_remove(place).1),
        None => unreachable(options, told(failures).join("; ")),
    }
}

/// What each address had to say.
fn told(failures: Failures) -> Vec<String> {
    failures.into_iter().map(|(address, end)| format!("{address}: {}", sentence(end))).collect()
}

fn sentence(end: End) -> String {
    match end {
        End::Told(refusal) | End::Goodbye(refusal) => refusal.to_string(),
        End::Lost(why) | End::Forgotten(why) | End::Cut(why) => why,
        End::Protocol(why) => format!("it does not speak the protocol: {why}"),
        End::Stopped => "the client was closed".into(),
    }
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
    } else if ServerName::try_from(options.server_name.as_str()).is_err() {
        "server_name is neither the name of a host nor an IP address"
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
    tls.resumption = Resumption::in_memory_sessions(BROKERS);
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
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.minimum_change(MTU_STEP);
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
        .mtu_discovery_config(Some(discovery))
        .max_idle_timeout(Some(idle));
    Ok(transport)
}
