//! RabbitMQ as a contestant: a quorum queue for each reader behind a fanout exchange, or one stream
//! for all.
//!
//! The publisher has a connection, the readers share one with a channel each, as is usual with AMQP
//! (and cheaper: `lapin` runs a thread for each connection). Everything is persistent; publishes
//! are confirmed.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind,
};

use super::contestant::Contestant;
use super::harness::{self, Ack, Peer};
use super::server::{Server, Site, free_address};
use super::usage::Usage;

const EXCHANGE: &str = "work";
/// `delivery_mode` of a message that must be stored.
const PERSISTENT: u8 = 2;
/// Most deliveries that one ack covers.
const CUMULATED_MAX: usize = 64;

/// A running server.
pub(crate) struct Rabbitmq {
    server: Server,
    address: SocketAddr,
    kind: Kind,
    in_flight_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quorum,
    Stream,
}

/// A channel with confirms.
pub(crate) struct Publisher {
    /// Closes when dropped.
    _connection: Rc<Connection>,
    channel: Channel,
}

/// A consumer with manual acks.
pub(crate) struct Reader {
    /// Closes when dropped.
    _connection: Rc<Connection>,
    consumer: Consumer,
    /// The latest delivery that was not acknowledged, and how many there are.
    latest: Option<Delivery>,
    unacked: usize,
}

impl Peer for Rabbitmq {
    type Publisher = Publisher;
    type Reader = Reader;

    async fn start(contestant: Contestant, site: Site, in_flight_max: usize) -> anyhow::Result<Self> {
        let kind = if contestant == Contestant::RabbitmqStream { Kind::Stream } else { Kind::Quorum };
        let (address, names, nodes) = (free_address()?, free_address()?, free_address()?);
        let program = site.program.clone();
        let folder = site.folder.path().to_owned();
        // Its name service in the foreground and on a port of its own, or it would start one that
        // outlives it.
        let epmd = Site { program: "epmd".into(), ..site };
        let mut server = Server::start(epmd, |command| {
            command.args(["-address", "127.0.0.1", "-port", &names.port().to_string()]);
        })?;
        server.listening(names).await?;
        server.add(&program, |command| {
            command
                .env("HOME", &folder)
                .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
                .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
                .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
                .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
                .env("RABBITMQ_LOG_BASE", folder.join("log"))
                .env("RABBITMQ_NODENAME", format!("wardline-peer-{}@localhost", address.port()))
                .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                .env("RABBITMQ_NODE_PORT", address.port().to_string())
                .env("RABBITMQ_DIST_PORT", nodes.port().to_string())
                .env("ERL_EPMD_PORT", names.port().to_string())
                // The script then becomes the server, instead of a shell that waits for it.
                .env("RUNNING_UNDER_SYSTEMD", "true");
        })?;
        server.listening(address).await?;
        Ok(Self { server, address, kind, in_flight_max })
    }

    async fn open(&self, publishers: usize, readers: usize) -> anyhow::Result<(Vec<Publisher>, Vec<Reader>)> {
        let owner = Rc::new(self.connect().await?);
        let channel = owner.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Fanout, durable, FieldTable::default())
            .await?;
        // Without readers, a queue that nobody empties.
        let queues = if self.kind == Kind::Stream { 1 } else { readers.max(1) };
        for number in 0..queues {
            self.declare(&channel, number).await?;
        }
        let mut reading = Vec::with_capacity(readers);
        for number in 0..readers {
            reading.push(self.consume(&owner, number).await?);
        }
        let mut writing = Vec::with_capacity(publishers);
        for _ in 0..publishers {
            let connection = Rc::new(self.connect().await?);
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            writing.push(Publisher { _connection: connection, channel });
        }
        Ok((writing, reading))
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        self.server.usage()
    }
}

impl Rabbitmq {
    async fn connect(&self) -> anyhow::Result<Connection> {
        let uri = format!("amqp://guest:guest@{}/%2f", self.address);
        Connection::connect(&uri, ConnectionProperties::default()).await.context("cannot connect")
    }

    async fn declare(&self, channel: &Channel, number: usize) -> anyhow::Result<()> {
        let kind = match self.kind {
            Kind::Quorum => "quorum",
            Kind::Stream => "stream",
        };
        let queue = queue(number);
        let arguments = table("x-queue-type", kind);
        channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await?;
        let options = QueueBindOptions::default();
        channel.queue_bind(queue, EXCHANGE.into(), "".into(), options, FieldTable::default()).await?;
        Ok(())
    }

    async fn consume(&self, connection: &Rc<Connection>, number: usize) -> anyhow::Result<Reader> {
        let channel = connection.create_channel().await?;
        let prefetch = u16::try_from(self.in_flight_max + CUMULATED_MAX).unwrap_or(u16::MAX);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (queue, arguments) = match self.kind {
            Kind::Quorum => (queue(number), FieldTable::default()),
            Kind::Stream => (queue(0), table("x-stream-offset", "first")),
        };
        let tag = ShortString::from(format!("reader-{number}"));
        let consumer = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), arguments).await?;
        Ok(Reader { _connection: connection.clone(), consumer, latest: None, unacked: 0 })
    }
}

fn queue(number: usize) -> ShortString {
    format!("queue-{number}").into()
}

fn table(key: &str, value: &str) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(key.into(), AMQPValue::LongString(value.into()));
    table
}

impl harness::Publisher for Publisher {
    async fn publish(&mut self, payload: Bytes) -> anyhow::Result<Ack> {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions::default();
        let confirm =
            self.channel.basic_publish(EXCHANGE.into(), "".into(), options, &payload, properties).await?;
        let confirmed = async {
            let confirmation = confirm.await?;
            ensure!(matches!(confirmation, Confirmation::Ack(None)), "the server refuses a publish");
            Ok(())
        };
        Ok(confirmed.boxed_local())
    }
}

impl Reader {
    /// Acknowledges what was taken so far.
    async fn acknowledge(&mut self) -> anyhow::Result<()> {
        self.unacked = 0;
        if let Some(delivery) = self.latest.take() {
            delivery.acker.ack(BasicAckOptions { multiple: true }).await?;
        }
        Ok(())
    }
}

impl harness::Reader for Reader {
    async fn next(&mut self) -> anyhow::Result<Bytes> {
        if self.unacked >= CUMULATED_MAX {
            self.acknowledge().await?;
        }
        let delivery = match self.consumer.next().now_or_never() {
            Some(delivery) => delivery,
            None => {
                self.acknowledge().await?;
                self.consumer.next().await
            }
        };
        let mut delivery = delivery.context("the consumer was cancelled")??;
        let payload = std::mem::take(&mut delivery.data);
        self.latest = Some(delivery);
        self.unacked += 1;
        Ok(payload.into())
    }
}
