//! NATS JetStream as a contestant: one stream on files, durable push consumers.
//!
//! Everybody has a connection of their own. Publishes carry a reply subject whose answers are taken
//! in order, which is cheaper for the client than a request each; so it is the server that is
//! measured.

use std::net::SocketAddr;

use anyhow::{Context, anyhow, ensure};
use async_nats::jetstream::consumer::push::{Config as PushConfig, Messages};
use async_nats::jetstream::consumer::{AckPolicy, PushConsumer};
use async_nats::jetstream::stream::{Config as StreamConfig, StorageType};
use async_nats::jetstream::{self, Message};
use async_nats::{Client, ConnectOptions, Subject};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};

use super::acks::InOrder;
use super::contestant::Contestant;
use super::harness::{self, Ack, Peer};
use super::identity::Identity;
use super::server::{Server, Site, free_address};
use super::usage::Usage;

const STREAM: &str = "work";
/// Threads that give it the best figures on one core, of 1, 2, 4 and 8.
const GO_THREADS: &str = "4";
/// Most deliveries that one cumulative ack covers, so that the server's window never closes.
const CUMULATED_MAX: usize = 64;

/// A running server.
pub(crate) struct Jetstream {
    server: Server,
    address: SocketAddr,
    identity: Option<Identity>,
    policy: AckPolicy,
    in_flight_max: usize,
}

/// A client that publishes into the stream.
pub(crate) struct Publisher {
    client: Client,
    subject: Subject,
    reply: Subject,
    acks: InOrder,
}

/// A durable consumer.
pub(crate) struct Reader {
    messages: Messages,
    policy: AckPolicy,
    /// The latest delivery that was not acknowledged, and how many there are.
    latest: Option<Message>,
    unacked: usize,
}

impl Peer for Jetstream {
    type Publisher = Publisher;
    type Reader = Reader;

    async fn start(contestant: Contestant, site: Site, in_flight_max: usize) -> anyhow::Result<Self> {
        let address = free_address()?;
        let identity = if contestant.has_tls() { Some(Identity::new(&site)?) } else { None };
        let sync = if contestant == Contestant::JetstreamSync { "sync_interval: always" } else { "" };
        let mut configuration = format!(
            "listen: \"{address}\"\njetstream {{\n  store_dir: \"{}\"\n  max_file_store: 50GB\n  {sync}\n}}\n",
            site.path("store").display()
        );
        if let Some(identity) = &identity {
            let (certificate, key) = (identity.certificate.display(), identity.key.display());
            configuration += &format!("tls {{\n  cert_file: \"{certificate}\"\n  key_file: \"{key}\"\n}}\n");
        }
        let file = site.write("nats.conf", &configuration)?;
        let mut server = Server::start(site, |command| {
            command.arg("-c").arg(file);
            // On one core Go would run one thread, and stand still while that one writes a file.
            command.env("GOMAXPROCS", GO_THREADS);
        })?;
        server.listening(address).await?;
        let cumulative = contestant == Contestant::JetstreamAckall;
        let policy = if cumulative { AckPolicy::All } else { AckPolicy::Explicit };
        Ok(Self { server, address, identity, policy, in_flight_max })
    }

    async fn open(&self, publishers: usize, readers: usize) -> anyhow::Result<(Vec<Publisher>, Vec<Reader>)> {
        let owner = jetstream::new(self.connect().await?);
        let stream = StreamConfig {
            name: STREAM.into(),
            subjects: vec![STREAM.into()],
            storage: StorageType::File,
            ..StreamConfig::default()
        };
        owner.create_stream(stream).await.context("cannot make a stream")?;
        let mut reading = Vec::with_capacity(readers);
        for number in 0..readers {
            reading.push(self.subscribe(number).await?);
        }
        let mut writing = Vec::with_capacity(publishers);
        for number in 0..publishers {
            writing.push(self.publisher(number).await?);
        }
        Ok((writing, reading))
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        self.server.usage()
    }
}

impl Jetstream {
    async fn connect(&self) -> anyhow::Result<Client> {
        let mut options = ConnectOptions::new().skip_subject_validation(true);
        if let Some(identity) = &self.identity {
            options = options.tls_client_config(identity.client.clone()).require_tls(true);
        }
        // The certificate is for the name.
        let client = options.connect(format!("nats://localhost:{}", self.address.port())).await;
        client.context("cannot connect")
    }

    async fn publisher(&self, number: usize) -> anyhow::Result<Publisher> {
        let client = self.connect().await?;
        let reply = Subject::from(format!("acks.{number}"));
        let mut replies = client.subscribe(reply.clone()).await?;
        let acks = InOrder::default();
        let waiting = acks.clone();
        tokio::task::spawn_local(async move {
            while let Some(reply) = replies.next().await {
                waiting.arrived(stored(&reply.payload));
            }
            waiting.failed("the connection has ended");
        });
        Ok(Publisher { client, subject: Subject::from_static(STREAM), reply, acks })
    }

    async fn subscribe(&self, number: usize) -> anyhow::Result<Reader> {
        let name = format!("reader-{number}");
        let consumer = PushConfig {
            deliver_subject: format!("deliver.{number}"),
            durable_name: Some(name),
            ack_policy: self.policy,
            // Twice what is ever in flight: never what holds it back.
            max_ack_pending: 2 * self.in_flight_max as i64 + CUMULATED_MAX as i64,
            ..PushConfig::default()
        };
        let context = jetstream::new(self.connect().await?);
        let consumer: PushConsumer =
            context.create_consumer_on_stream(consumer, STREAM).await.context("cannot make a consumer")?;
        let messages = consumer.messages().await.context("cannot subscribe")?;
        Ok(Reader { messages, policy: self.policy, latest: None, unacked: 0 })
    }
}

/// Reads a publish's answer: `{"stream":…,"seq":…}`, or an error.
fn stored(answer: &[u8]) -> anyhow::Result<()> {
    let is_stored = answer.windows(6).any(|window| window == b"\"seq\":")
        && !answer.windows(8).any(|window| window == b"\"error\":");
    ensure!(is_stored, "the server refuses a publish: {}", String::from_utf8_lossy(answer));
    Ok(())
}

impl harness::Publisher for Publisher {
    async fn publish(&mut self, payload: Bytes) -> anyhow::Result<Ack> {
        let ack = self.acks.expect();
        self.client.publish_with_reply(self.subject.clone(), self.reply.clone(), payload).await?;
        Ok(ack)
    }
}

impl Reader {
    /// Acknowledges what was taken so far.
    async fn acknowledge(&mut self) -> anyhow::Result<()> {
        self.unacked = 0;
        match self.latest.take() {
            Some(message) => message.ack().await.map_err(|error| anyhow!("cannot acknowledge: {error}")),
            None => Ok(()),
        }
    }
}

impl harness::Reader for Reader {
    async fn next(&mut self) -> anyhow::Result<Bytes> {
        let limit = if self.policy == AckPolicy::All { CUMULATED_MAX } else { 1 };
        if self.unacked >= limit {
            self.acknowledge().await?;
        }
        let message = match self.messages.next().now_or_never() {
            Some(message) => message,
            None => {
                self.acknowledge().await?;
                self.messages.next().await
            }
        };
        let message = message.context("the connection has ended")??;
        let payload = message.payload.clone();
        self.latest = Some(message);
        self.unacked += 1;
        Ok(payload)
    }
}
