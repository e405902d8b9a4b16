//! A raw client: requests as fast as the stream takes them, answers read only if one likes.
//!
//! quinn and frames, without the SDK, which would do none of this. It never looks into the broker.

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{ClientFrame, Hello, ServerFrame};
use wardline_proto::{ALPN, PROTOCOL_VERSION, frame};

use crate::dialler::{Server, endpoint};
use crate::token::Signer;

/// Longest answer that is taken.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Before something that was refused is asked for again.
const PAUSE: Duration = Duration::from_millis(100);
/// Windows so small that what is not read waits in the broker.
const NARROW_BYTES: u32 = 16 * 1024;

/// Where connections are opened, as one user.
pub(super) struct Door {
    addresses: Vec<SocketAddr>,
    name: String,
    config: quinn::ClientConfig,
    endpoint: Endpoint,
    signer: Signer,
    user: String,
}

/// What came of requests, counted by all tasks of the offender.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Requests that were answered as asked.
    pub(super) done: AtomicU64,
    /// Requests and sessions that were refused with when to come back.
    pub(super) told: AtomicU64,
    /// Refused otherwise.
    pub(super) refused: AtomicU64,
    /// Connections that the broker ended with a code.
    pub(super) ended: AtomicU64,
    /// Connections that ended without a word of the broker's.
    pub(super) cut: AtomicU64,
}

/// The same, as it is told.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) done: u64,
    pub(super) told_to_come_back: u64,
    pub(super) refused_otherwise: u64,
    pub(super) ended_with_a_code: u64,
    pub(super) cut_without_a_word: u64,
}

impl AddAssign for Told {
    fn add_assign(&mut self, more: Self) {
        self.done += more.done;
        self.told_to_come_back += more.told_to_come_back;
        self.refused_otherwise += more.refused_otherwise;
        self.ended_with_a_code += more.ended_with_a_code;
        self.cut_without_a_word += more.cut_without_a_word;
    }
}

/// A session, with its first lane.
pub(super) struct Raw {
    pub(super) connection: Connection,
    pub(super) control: Lane,
}

/// A request lane; its two directions can be used side by side.
pub(super) struct Lane {
    pub(super) asking: Asking,
    pub(super) taking: Taking,
}

/// Requests up.
pub(super) struct Asking {
    stream: SendStream,
    asked: u64,
}

/// Answers down.
pub(super) struct Taking {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Door {
    /// For this user.
    ///
    /// # Errors
    /// If a file cannot be used or a socket not be opened.
    pub(super) fn new(server: &Server, user: &str) -> anyhow::Result<Self> {
        let pem =
            std::fs::read(&server.ca).with_context(|| format!("cannot read {}", server.ca.display()))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).context("--ca is no certificate in PEM")?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        let mut transport = TransportConfig::default();
        transport
            .stream_receive_window(VarInt::from_u32(NARROW_BYTES))
            .receive_window(VarInt::from_u32(8 * NARROW_BYTES));
        config.transport_config(Arc::new(transport));
        Ok(Self {
            addresses: server.addresses()?,
            name: server.name(),
            config,
            endpoint: endpoint(&server.server)?,
            signer: Signer::from_file(&server.signing_key, server.claims.clone())?,
            user: user.to_owned(),
        })
    }

    /// Connects to the first address where somebody answers.
    async fn connection(&self) -> anyhow::Result<Connection> {
        let mut failed = anyhow!("the broker's name has no address");
        for address in &self.addresses {
            match self.endpoint.connect_with(self.config.clone(), *address, &self.name)?.await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }

    /// Opens a session of a device. `None`: the broker told when to come back, or refused.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn session(
        &self,
        device: u32,
        is_silent: bool,
        answers: &Answers,
    ) -> anyhow::Result<Option<Raw>> {
        let connection = self.connection().await?;
        let mut control = Lane::open(&connection).await?;
        let mut device_id = [0; 16];
        device_id[..4].copy_from_slice(&device.to_be_bytes());
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            token: self.signer.sign(&self.user)?,
            device_id: Bytes::copy_from_slice(&device_id),
            client_name: "wardline-loadgen noisy".into(),
            client_version: env!("CARGO_PKG_VERSION").into(),
            publish_only: is_silent,
            ..Hello::default()
        };
        control.asking.ask(Request::Hello(hello)).await?;
        match control.taking.answer(answers).await? {
            Some(Response::Welcome(_)) => Ok(Some(Raw { connection, control })),
            _ => Ok(None),
        }
    }
}

impl Raw {
    /// Opens another lane.
    ///
    /// # Errors
    /// If the connection is gone.
    pub(super) async fn lane(&self) -> anyhow::Result<Lane> {
        Lane::open(&self.connection).await
    }

    /// Waits until the broker ends the connection, and counts how.
    pub(super) async fn ends(&self, answers: &Answers) {
        let count = match self.connection.closed().await {
            quinn::ConnectionError::ApplicationClosed(_) => &answers.ended,
            _ => &answers.cut,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Lane {
    async fn open(connection: &Connection) -> anyhow::Result<Self> {
        let (up, down) = connection.open_bi().await?;
        let taking = Taking { stream: down, buffer: BytesMut::new() };
        Ok(Self { asking: Asking { stream: up, asked: 0 }, taking })
    }

    /// Asks, and asks again for as long as it is refused; takes the answer.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn get(&mut self, request: Request, answers: &Answers) -> anyhow::Result<Response> {
        loop {
            self.asking.ask(request.clone()).await?;
            if let Some(response) = self.taking.answer(answers).await? {
                return Ok(response);
            }
            sleep(PAUSE).await;
        }
    }
}

impl Asking {
    /// Sends a request.
    ///
    /// # Errors
    /// If the stream is gone.
    pub(super) async fn ask(&mut self, request: Request) -> anyhow::Result<()> {
        self.asked += 1;
        let request_id = self.asked;
        let asked = ClientFrame { request_id, request: Some(request), ..ClientFrame::default() };
        let mut out = BytesMut::new();
        frame::encode(&asked, &mut out);
        Ok(self.stream.write_all(&out).await?)
    }
}

impl Taking {
    /// Takes the next answer, and counts it; `None`: a refusal.
    ///
    /// # Errors
    /// If there is none.
    pub(super) async fn answer(&mut self, answers: &Answers) -> anyhow::Result<Option<Response>> {
        loop {
            if let Some(content) = frame::split(&mut self.buffer, ANSWER_BYTES_MAX)? {
                let answer: ServerFrame = frame::decode(content)?;
                let Some(response) = answer.response else { bail!("an answer says nothing") };
                return Ok(answers.count(response));
            }
            match self.stream.read_chunk(ANSWER_BYTES_MAX, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None => bail!("the broker ended the lane"),
            }
        }
    }
}

impl Answers {
    /// What was counted so far.
    pub(super) fn told(&self) -> Told {
        let [done, told_to_come_back, refused_otherwise, ended_with_a_code, cut_without_a_word] =
            [&self.done, &self.told, &self.refused, &self.ended, &self.cut]
                .map(|count| count.load(Ordering::Relaxed));
        Told { done, told_to_come_back, refused_otherwise, ended_with_a_code, cut_without_a_word }
    }

    /// Counts an answer; `None`: it is a refusal.
    fn count(&self, response: Response) -> Option<Response> {
        let count = match &response {
            Response::Error(error) if error.retry_after_ms > 0 => &self.told,
            Response::Error(_) => &self.refused,
            _ => &self.done,
        };
        count.fetch_add(1, Ordering::Relaxed);
        (!matches!(response, Response::Error(_))).then_some(response)
    }
}
