//! Wardline as a contestant: `wardline serve --dev`, its SDK, one conversation.
//!
//! Everybody has a QUIC connection of their own; receipts go out by themselves and come back to the
//! publisher.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use wardline_client::{
    Body, Client, ConversationId, DeviceId, Inbox, Incoming, NewConversation, Options, Outgoing, Trust,
    connect,
};

use super::contestant::Contestant;
use super::harness::{self, Ack, Peer};
use super::server::{Server, Site};
use super::usage::Usage;
use crate::dialler;
use crate::token::{Claims, Signer};

/// Handshakes at the same time.
const HANDSHAKES: usize = 8;
/// UDP sockets that the clients share.
const ENDPOINTS: usize = 4;

/// A running broker.
pub(crate) struct Wardline {
    server: Server,
    address: SocketAddr,
    in_flight_max: usize,
}

/// A connected user, and the conversation that is published into.
pub(crate) struct Publisher {
    client: Client,
    conversation: ConversationId,
}

/// A connected member.
pub(crate) struct Reader {
    /// Ends the session when dropped.
    _client: Client,
    inbox: Inbox,
}

impl Peer for Wardline {
    type Publisher = Publisher;
    type Reader = Reader;

    async fn start(_: Contestant, site: Site, in_flight_max: usize) -> anyhow::Result<Self> {
        let data = site.path("data");
        let mut server = Server::start(site, |command| {
            command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        })?;
        let address = server.says("listening on ").await?;
        Ok(Self { server, address: address.parse().context("the broker listens nowhere")?, in_flight_max })
    }

    async fn open(&self, publishers: usize, readers: usize) -> anyhow::Result<(Vec<Publisher>, Vec<Reader>)> {
        let dial = &Dial::new(self, publishers + readers)?;
        // Without readers, somebody who never comes.
        let members: Vec<String> = (0..readers.max(1)).map(|number| format!("reader-{number}")).collect();
        let mut writing = Vec::with_capacity(publishers);
        for number in 0..publishers {
            // Without readers it is told nothing, as a publisher of the peers is.
            let (client, mut inbox) = dial.dial(&format!("publisher-{number}"), number, readers == 0).await?;
            let new = NewConversation { members: members.clone(), ..NewConversation::default() };
            let conversation = client.create_group(new).await?.id;
            // Its own messages and the receipts.
            tokio::task::spawn_local(async move { while inbox.next().await.is_some() {} });
            writing.push(Publisher { client, conversation });
        }
        let reading = stream::iter(0..readers)
            .map(|number| async move {
                let (client, inbox) =
                    dial.dial(&format!("reader-{number}"), publishers + number, false).await?;
                anyhow::Ok(Reader { _client: client, inbox })
            })
            .buffered(HANDSHAKES)
            .try_collect()
            .await?;
        Ok((writing, reading))
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        self.server.usage()
    }
}

impl harness::Publisher for Publisher {
    async fn publish(&mut self, payload: Bytes) -> anyhow::Result<Ack> {
        let message = Outgoing::new(self.conversation, "application/octet-stream", payload);
        let ack = self.client.enqueue(message).await?;
        Ok(async move { Ok(ack.wait().await.map(drop)?) }.boxed_local())
    }
}

impl harness::Reader for Reader {
    async fn next(&mut self) -> anyhow::Result<Bytes> {
        loop {
            match self.inbox.next().await {
                Some(Incoming::Entry(entry)) => {
                    if let Body::Message { payload, .. } = entry.body {
                        return Ok(payload);
                    }
                }
                Some(_) => {}
                None => bail!("the session has ended"),
            }
        }
    }
}

/// Connects everybody.
struct Dial<'a> {
    broker: &'a Wardline,
    authority: Vec<u8>,
    signer: Signer,
    endpoints: Vec<quinn::Endpoint>,
}

impl<'a> Dial<'a> {
    fn new(broker: &'a Wardline, sessions: usize) -> anyhow::Result<Self> {
        let dev: PathBuf = broker.server.site().path("data").join("dev");
        let authority = std::fs::read(dev.join("ca.pem")).context("the broker has no certificate")?;
        let claims = Claims {
            issuer: "wardline-dev".into(),
            audience: "wardline".into(),
            tenant: "dev".into(),
            key_id: None,
        };
        let signer = Signer::from_file(&dev.join("token-key.pem"), claims)?;
        let endpoints = (0..ENDPOINTS.min(sessions)).map(|_| dialler::endpoint(&broker.address.into()));
        Ok(Self { broker, authority, signer, endpoints: endpoints.collect::<anyhow::Result<_>>()? })
    }

    async fn dial(&self, user: &str, number: usize, publish_only: bool) -> anyhow::Result<(Client, Inbox)> {
        let token = self.signer.sign(user)?;
        let trust = Trust::Pem(self.authority.clone());
        let mut options = Options::new(self.broker.address, "localhost", trust, token, DeviceId::random());
        options.publish_window = self.broker.in_flight_max;
        options.publish_only = publish_only;
        options.endpoint = Some(self.endpoints[number % self.endpoints.len()].clone());
        Ok(connect(options).await?)
    }
}
