//! How to connect: where, as whom, and within which bounds.
//!
//! Owns the application's choices and their defaults. It never acts on them, and what cannot work
//! is told by `connect`. Invariant: every queue and every wait of the SDK is bounded by one of
//! these or by a constant beside its use.

use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, Resolver, SystemResolver};
use crate::types::{ConversationId, DeviceId, Sequence};

/// Gives a token for each session. Called again for every reconnect, and before a token expires.
pub trait TokenSource: Send + Sync + 'static {
    /// A JWT in compact form, or why there is none. Called on the client's task: it must not block
    /// for long.
    ///
    /// # Errors
    /// A sentence for people.
    fn token(&self) -> Result<String, String>;
}

impl TokenSource for String {
    fn token(&self) -> Result<String, String> {
        Ok(self.clone())
    }
}

/// Whom to believe that they are the broker.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Certificate authorities in PEM.
    Pem(Vec<u8>),
}

/// Who tells the broker that a delivery arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledging {
    /// The SDK, once the application took the entry from the inbox; coalesced over
    /// [`Options::receipt_delay`].
    Automatic,
    /// The application, with [`Client::delivered`](crate::Client::delivered).
    Manual,
}

/// Pauses between attempts to connect: doubled each time, drawn at random between half and all of
/// it.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

/// How to connect. Start from [`Options::new`].
#[derive(Clone)]
pub struct Options {
    /// Where the broker is. A name is looked up at every attempt, so that a broker that moved is
    /// found again, and each of its addresses is tried, IPv6 and IPv4.
    pub address: Address,
    /// The name that its certificate must have.
    pub server_name: String,
    /// Whom to believe.
    pub trust: Trust,
    /// Where tokens come from.
    pub tokens: Arc<dyn TokenSource>,
    /// Which device this is.
    pub device: DeviceId,
    /// The application's name, at most 64 bytes of printable ASCII.
    pub client_name: String,
    /// The application's version, at most 32 bytes of printable ASCII.
    pub client_version: String,
    /// Most publishes without an answer, of each priority.
    pub publish_window: usize,
    /// Most entries that wait for the application; then the SDK stops reading, and the broker
    /// sending.
    pub inbox_max: usize,
    /// Who acknowledges.
    pub acknowledging: Acknowledging,
    /// Over how long receipts are coalesced: each time between half of this and one and a half, so
    /// that a crowd's do not come back together. A receipt alone costs the broker as much as a
    /// message; nobody sees a check mark turn a twentieth of a second later.
    pub receipt_delay: Duration,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// How often a sign of life goes over an idle connection. A broker that does not acknowledge
    /// it, or anything else, counts as lost within about a fifth of this.
    pub keep_alive: Duration,
    /// Longest time for one attempt.
    pub connect_timeout: Duration,
    /// Longest time that a request other than a publish waits, reconnects included.
    pub request_timeout: Duration,
    /// Receive nothing: the inbox stays empty. For feeds that only publish and ask.
    pub publish_only: bool,
    /// Where the application stands, if it keeps that itself: deliver what lies above.
    pub resume: Vec<(ConversationId, Sequence)>,
    /// Who finds the addresses of a name.
    pub resolver: Arc<dyn Resolver>,
    /// A QUIC endpoint to share among many clients of one process; `None`: one of its own for each
    /// family of addresses. A shared one reaches what its socket reaches: bind it to `[::]`, for
    /// IPv6 and IPv4, where the address is a name.
    pub endpoint: Option<quinn::Endpoint>,
}

impl Options {
    /// Sensible values for everything that has one. The address is a [`SocketAddr`], or parsed from
    /// `HOST:PORT`.
    ///
    /// [`SocketAddr`]: std::net::SocketAddr
    pub fn new(
        address: impl Into<Address>,
        server_name: impl Into<String>,
        trust: Trust,
        tokens: impl TokenSource,
        device: DeviceId,
    ) -> Self {
        Self {
            address: address.into(),
            server_name: server_name.into(),
            trust,
            tokens: Arc::new(tokens),
            device,
            client_name: "wardline-client".into(),
            client_version: env!("CARGO_PKG_VERSION").into(),
            publish_window: 256,
            inbox_max: 1024,
            acknowledging: Acknowledging::Automatic,
            receipt_delay: Duration::from_millis(40),
            backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(10) },
            keep_alive: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            publish_only: false,
            resume: Vec::new(),
            resolver: Arc::new(SystemResolver),
            endpoint: None,
        }
    }
}
