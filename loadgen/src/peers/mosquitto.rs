//! Mosquitto as a contestant: QoS 1 in both directions, persistent sessions.
//!
//! Everybody has a connection of their own. `rumqttc` acknowledges a delivery when it is read.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, TlsConfiguration, Transport};

use super::acks::InOrder;
use super::contestant::Contestant;
use super::harness::{self, Ack, Peer};
use super::identity::Identity;
use super::server::{Server, Site, free_address};
use super::usage::Usage;

const TOPIC: &str = "work";
/// Most requests that wait for the client's own loop.
const REQUESTS_MAX: usize = 256;
/// Longest packet.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// A running server.
pub(crate) struct Mosquitto {
    server: Server,
    address: SocketAddr,
    identity: Option<Identity>,
    in_flight_max: usize,
}

/// A client that publishes, and whose connection a task reads.
pub(crate) struct Publisher {
    client: AsyncClient,
    acks: InOrder,
}

/// A subscriber.
pub(crate) struct Reader {
    /// The loop ends with its last client.
    _client: AsyncClient,
    events: EventLoop,
}

impl Peer for Mosquitto {
    type Publisher = Publisher;
    type Reader = Reader;

    async fn start(contestant: Contestant, site: Site, in_flight_max: usize) -> anyhow::Result<Self> {
        let address = free_address()?;
        let identity = if contestant.has_tls() { Some(Identity::new(&site)?) } else { None };
        let mut configuration = format!(
            "listener {} {}\nallow_anonymous true\nuser root\npersistence true\npersistence_location {}/\n\
             max_inflight_messages {in_flight_max}\nmax_queued_messages 0\nset_tcp_nodelay true\n\
             log_type error\nlog_type warning\n",
            address.port(),
            address.ip(),
            site.folder.path().display(),
        );
        if let Some(identity) = &identity {
            let (certificate, key) = (identity.certificate.display(), identity.key.display());
            configuration += &format!("certfile {certificate}\nkeyfile {key}\n");
        }
        let file = site.write("mosquitto.conf", &configuration)?;
        let mut server = Server::start(site, |command| {
            command.arg("-c").arg(file);
        })?;
        server.listening(address).await?;
        Ok(Self { server, address, identity, in_flight_max })
    }

    async fn open(&self, publishers: usize, readers: usize) -> anyhow::Result<(Vec<Publisher>, Vec<Reader>)> {
        let mut reading = Vec::with_capacity(readers);
        for number in 0..readers {
            reading.push(self.subscribe(&format!("reader-{number}")).await?);
        }
        if readers == 0 {
            // Somebody who is not there, and for whom everything is kept.
            drop(self.subscribe("absent").await?);
        }
        let mut writing = Vec::with_capacity(publishers);
        for number in 0..publishers {
            let (client, events) = self.connect(&format!("publisher-{number}")).await?;
            let acks = InOrder::default();
            tokio::task::spawn_local(acknowledge(events, acks.clone()));
            writing.push(Publisher { client, acks });
        }
        Ok((writing, reading))
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        self.server.usage()
    }
}

impl Mosquitto {
    async fn connect(&self, name: &str) -> anyhow::Result<(AsyncClient, EventLoop)> {
        // The certificate is for the name.
        let mut options = MqttOptions::new(name, "localhost", self.address.port());
        options.set_clean_session(false);
        options.set_inflight(u16::try_from(self.in_flight_max).unwrap_or(u16::MAX - 1));
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some(identity) = &self.identity {
            let tls = TlsConfiguration::Rustls(identity.client.clone().into());
            options.set_transport(Transport::tls_with_config(tls));
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        events.network_options.set_tcp_nodelay(true);
        match events.poll().await.context("cannot connect")? {
            Event::Incoming(Packet::ConnAck(_)) => Ok((client, events)),
            other => bail!("the server answers a connection with {other:?}"),
        }
    }

    async fn subscribe(&self, name: &str) -> anyhow::Result<Reader> {
        let (client, mut events) = self.connect(name).await?;
        client.subscribe(TOPIC, QoS::AtLeastOnce).await?;
        while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
        Ok(Reader { _client: client, events })
    }
}

/// Drives a publisher's connection. PUBACKs come in the order of the publishes (MQTT 3.1.1, section
/// 4.6).
async fn acknowledge(mut events: EventLoop, acks: InOrder) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::PubAck(_))) => acks.arrived(Ok(())),
            Ok(_) => {}
            Err(error) => return acks.failed(&error.to_string()),
        }
    }
}

impl harness::Publisher for Publisher {
    async fn publish(&mut self, payload: Bytes) -> anyhow::Result<Ack> {
        let ack = self.acks.expect();
        self.client.publish_bytes(TOPIC, QoS::AtLeastOnce, false, payload).await?;
        Ok(ack)
    }
}

impl harness::Reader for Reader {
    async fn next(&mut self) -> anyhow::Result<Bytes> {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = self.events.poll().await? {
                return Ok(publish.payload);
            }
        }
    }
}
