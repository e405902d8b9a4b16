//! A broker in this process, as its tests start one, and raw sessions on it.
//!
//! The broker has a thread and a single-threaded runtime of its own, so that what it does can be
//! told from what its clients do. Sessions are frames over quinn without the SDK: nothing here
//! reorders, acknowledges or retries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream};
use tempfile::TempDir;
use tokio::sync::oneshot;
use wardline_broker::access::auth::{Expected, Verifier};
use wardline_broker::broker::Broker;
use wardline_broker::dev::{self, Bearer, Dev};
use wardline_broker::edge::tls;
use wardline_broker::limits::Limits;
use wardline_broker::retention::Retention;
use wardline_broker::settings::Settings;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::{ALPN, PROTOCOL_VERSION, frame, v1};
use wardline_storage::engine::Engine;
use wardline_storage::format;
use wardline_storage::local::Local;
use wardline_storage::model::Policy;

use crate::endpoint::{self, Dialler};

/// What the broker's threads are called, but for the log's own.
pub const THREADS: &str = "wardline";

const AUDIENCE: &str = "bench";
const DAY: Duration = Duration::from_secs(86_400);
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Most people that one request may name.
const NAMED_MAX: usize = 100;

/// A running broker. Dropping it stops it.
pub struct Site {
    address: SocketAddr,
    dev: Dev,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Site {
    /// Starts a broker on an engine.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(engine: Arc<dyn Engine>) -> Result<Self> {
        let folder = TempDir::new()?;
        let dev = endpoint::keys(folder.path())?;
        format::check(&*engine)?;
        let settings = settings(&dev)?;
        let (stop, stopped) = oneshot::channel();
        let (started, starts) = std::sync::mpsc::sync_channel(1);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().thread_name(THREADS).build()?;
        let thread = thread::Builder::new().name(THREADS.to_owned()).spawn(move || {
            runtime.block_on(async move {
                let broker = Broker::start(settings, engine, &Local).await;
                let address = broker.as_ref().map(Broker::address).map_err(ToString::to_string);
                // Nobody waits for the address if the site was given up.
                let _ = started.send(address);
                if let Ok(broker) = broker {
                    // An error means that the sender is gone: the same.
                    let _ = stopped.await;
                    broker.stop().await;
                }
            });
        })?;
        let address = starts.recv().context("the broker's thread ended")?.map_err(anyhow::Error::msg)?;
        Ok(Self { address, dev, stop: Some(stop), thread: Some(thread), _folder: folder })
    }

    /// How to connect.
    ///
    /// # Errors
    /// If the keys cannot be read.
    pub fn dialler(&self) -> Result<Dialler> {
        Dialler::new(self.address, &self.dev.ca(), ALPN)
    }

    /// A token for somebody.
    ///
    /// # Errors
    /// If the keys cannot be read.
    pub fn token(&self, user: &str) -> Result<String> {
        let bearer = Bearer { user: user.to_owned(), tenant: dev::TENANT.to_owned(), roles: Vec::new() };
        Ok(self.dev.token(&bearer, AUDIENCE, endpoint::now(), DAY)?)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; there is nothing to add while things are taken down.
            let _ = thread.join();
        }
    }
}

fn settings(dev: &Dev) -> Result<Settings> {
    let expected = Expected { leeway: Duration::ZERO, ..Expected::new(dev::ISSUER, AUDIENCE) };
    Ok(Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: tls::load(&dev.certificate(), &dev.key())?,
        verifier: Some(Arc::new(Verifier::from_file(&dev.jwks(), expected)?)),
        providers: Vec::new(),
        limits: Limits::default(),
        policy: Policy { retention_max: 30 * DAY, dedupe_window: DAY, members_max: 10_000, devices_max: 8 },
        retention: Retention::unbounded(),
        reclaim_every: DAY,
        stop_deadline: Duration::from_secs(10),
        disk: None,
    })
}

/// A raw session.
pub struct Session {
    /// Its connection, for further lanes.
    pub connection: Connection,
    control: RequestLane,
}

/// A request lane.
pub struct RequestLane {
    up: SendStream,
    down: RecvStream,
    buffer: BytesMut,
}

impl Session {
    /// Opens a session on a connection.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn open(connection: Connection, token: String, device: u64) -> Result<Self> {
        let mut control = RequestLane::open(&connection).await?;
        let hello = Request::Hello(v1::Hello {
            protocol_version: PROTOCOL_VERSION,
            token,
            device_id: Bytes::copy_from_slice(&(u128::from(device) + 1).to_be_bytes()),
            client_name: "bench".to_owned(),
            client_version: "1".to_owned(),
            resume: None,
            publish_only: false,
        });
        match control.ask(hello).await? {
            Response::Welcome(_) => Ok(Self { connection, control }),
            other => bail!("no welcome but {other:?}"),
        }
    }

    /// Makes a group of the caller and others; its id.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn found_group(&mut self, others: Vec<String>) -> Result<Bytes> {
        let request = Request::CreateConversation(v1::CreateConversation {
            kind: v1::ConversationKind::Group.into(),
            client_conversation_id: Bytes::from_static(&[1; 16]),
            ..Default::default()
        });
        let Response::Conversation(group) = self.control.ask(request).await? else { bail!("no group") };
        for members in others.chunks(NAMED_MAX) {
            let request = Request::AddMembers(v1::AddMembers {
                conversation_id: group.conversation_id.clone(),
                members: members.to_vec(),
                role: v1::MemberRole::Member.into(),
                share_history: false,
            });
            let Response::Done(_) = self.control.ask(request).await? else { bail!("members were refused") };
        }
        Ok(group.conversation_id)
    }

    /// Waits until everything that waited for the device has come; the delivery lane, and what was
    /// read of it beyond.
    ///
    /// # Errors
    /// If the session ends before.
    pub async fn caught_up(&self) -> Result<(RecvStream, BytesMut)> {
        let mut lane = self.connection.accept_uni().await?;
        let mut buffer = BytesMut::new();
        loop {
            let pushed: v1::PushFrame = read(&mut lane, &mut buffer).await?;
            if let Some(Push::CaughtUp(_)) = pushed.push {
                return Ok((lane, buffer));
            }
        }
    }
}

impl RequestLane {
    /// Opens a lane of its own.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn open(connection: &Connection) -> Result<Self> {
        let (up, down) = connection.open_bi().await?;
        Ok(Self { up, down, buffer: BytesMut::new() })
    }

    /// Its two directions: requests up, answers down.
    pub fn split(self) -> (SendStream, RecvStream) {
        (self.up, self.down)
    }

    async fn ask(&mut self, request: Request) -> Result<Response> {
        let mut out = BytesMut::new();
        frame::encode(
            &v1::ClientFrame { request_id: 1, request: Some(request), ..v1::ClientFrame::default() },
            &mut out,
        );
        self.up.write_all(&out).await?;
        let answer: v1::ServerFrame = read(&mut self.down, &mut self.buffer).await?;
        answer.response.context("an answer without content")
    }
}

/// The next frame of a stream; an error at its end.
///
/// # Errors
/// If the stream ends, or what comes is no frame.
pub async fn read<M: prost::Message + Default>(stream: &mut RecvStream, buffer: &mut BytesMut) -> Result<M> {
    loop {
        if let Some(content) = frame::split(buffer, FRAME_BYTES_MAX)? {
            return Ok(frame::decode(content)?);
        }
        let chunk = stream.read_chunk(FRAME_BYTES_MAX, true).await?.context("the broker ended the stream")?;
        buffer.extend_from_slice(&chunk.bytes);
    }
}
