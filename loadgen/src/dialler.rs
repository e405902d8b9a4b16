//! Connects people: their tokens, their devices, and a few UDP sockets that all of them share.
//!
//! Handshakes are the most expensive thing a client does, so only some run at the same time.
//! Everything here is the public SDK; there is no private client.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use wardline_client::{Address, Client, ConnectError, DeviceId, Inbox, Options, Trust, connect};

use crate::token::{Claims, Signer};

/// Most handshakes at the same time.
const HANDSHAKES_MAX: usize = 32;
/// UDP sockets that the clients share.
const ENDPOINTS: usize = 4;
/// What a socket should hold while its task is busy.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// How often an idle client asks whether the broker is still there: half of an app's 20 seconds, so
/// that everybody notices a kill well before the replay is over.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Publishes without an answer: the SDK's own default.
const PUBLISH_WINDOW: usize = 256;
/// Pause before trying again to connect.
const PAUSE: Duration = Duration::from_millis(300);

/// Where the broker is and who vouches for whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Server {
    /// Where the broker listens.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Address,
    /// Certificate authority that signed the broker's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// Name that the broker's certificate must have. [default: the broker's name, or localhost]
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// Key to sign everybody's tokens with (Ed25519, PKCS#8 PEM).
    #[arg(long, value_name = "FILE")]
    pub signing_key: PathBuf,
    /// What the tokens say.
    #[command(flatten)]
    pub claims: Claims,
}

impl Server {
    /// Where it is now; looked up if it has a name.
    ///
    /// # Errors
    /// If the name has no address.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let Some(name) = self.server.name() else { return Ok(self.server.ip().into_iter().collect()) };
        let found = name.to_socket_addrs();
        let found = found.with_context(|| format!("{} cannot be looked up: check the name", self.server))?;
        Ok(found.collect())
    }

    /// As it is given on a command line.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let Self { server, ca, server_name, signing_key, claims } = self;
        let mut given: Vec<OsString> = vec!["--server".into(), server.to_string().into()];
        given.extend(["--ca".into(), ca.into(), "--signing-key".into(), signing_key.into()]);
        if let Some(name) = server_name {
            given.extend(["--server-name".into(), name.into()]);
        }
        given.extend(claims.arguments());
        given
    }

    /// As the certificate has it: development certificates are for `localhost`.
    pub(crate) fn name(&self) -> String {
        let own = self.server.name().map(|_| self.server.server_name());
        self.server_name.clone().or(own).unwrap_or_else(|| "localhost".into())
    }
}

/// Connects people.
pub struct Dialler {
    address: Address,
    server_name: String,
    trust: Trust,
    signer: Signer,
    endpoints: Vec<quinn::Endpoint>,
    next_endpoint: AtomicUsize,
    handshakes: Semaphore,
    publish_window: usize,
}

impl Dialler {
    /// Reads the files and opens the sockets.
    ///
    /// # Errors
    /// If a file cannot be used, a name has no address, or a socket cannot be opened.
    pub fn new(server: &Server) -> anyhow::Result<Self> {
        let ca = std::fs::read(&server.ca).with_context(|| format!("cannot read {}", server.ca.display()))?;
        // Nobody would ever come to a name that is mistyped, and everybody would go on trying.
        server.addresses()?;
        let endpoints = (0..ENDPOINTS).map(|_| endpoint(&server.server)).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            address: server.server.clone(),
            server_name: server.name(),
            trust: Trust::Pem(ca),
            signer: Signer::from_file(&server.signing_key, server.claims.clone())?,
            endpoints,
            next_endpoint: AtomicUsize::new(0),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            publish_window: PUBLISH_WINDOW,
        })
    }

    /// Lets everybody have so many publishes without an answer; the broker has its own bound.
    #[must_use]
    pub fn with_publish_window(mut self, publishes: usize) -> Self {
        self.publish_window = publishes;
        self
    }

    /// Opens a session for a person; tries again as long as the broker cannot be reached.
    ///
    /// # Errors
    /// If the broker refuses the person, or the token cannot be signed.
    ///
    /// # Cancellation
    /// Safe: nothing stays behind.
    pub async fn dial(&self, user: &str, device: DeviceId) -> anyhow::Result<(Client, Inbox)> {
        self.dial_with(user, |token| self.options(token, device)).await
    }

    /// The same as an application does it: with the SDK's defaults, and a socket of its own if it
    /// is given none.
    ///
    /// # Errors
    /// As [`Self::dial`].
    ///
    /// # Cancellation
    /// Safe: nothing stays behind.
    pub async fn dial_plainly(
        &self,
        user: &str,
        endpoint: Option<quinn::Endpoint>,
    ) -> anyhow::Result<(Client, Inbox)> {
        let device = DeviceId::random();
        let plain = |token| {
            let mut options =
                Options::new(self.address.clone(), &self.server_name, self.trust.clone(), token, device);
            options.endpoint.clone_from(&endpoint);
            options
        };
        self.dial_with(user, plain).await
    }

    async fn dial_with(
        &self,
        user: &str,
        options: impl Fn(String) -> Options,
    ) -> anyhow::Result<(Client, Inbox)> {
        loop {
            let permit = self.handshakes.acquire().await.context("nobody closes the semaphore")?;
            let token = self.signer.sign(user)?;
            let attempt = connect(options(token)).await;
            drop(permit);
            match attempt {
                Ok(connected) => return Ok(connected),
                Err(ConnectError::Unreachable { .. }) => sleep(PAUSE).await,
                Err(ConnectError::Refused(refusal)) if !refusal.retry_after.is_zero() => {
                    sleep(refusal.retry_after).await;
                }
                Err(error) => return Err(error).context("the broker refuses a session"),
            }
        }
    }

    /// Opens a session for a person; tries once.
    ///
    /// # Errors
    /// If the broker cannot be reached or refuses the person, or the token cannot be signed.
    ///
    /// # Cancellation
    /// Safe: nothing stays behind.
    pub async fn dial_once(&self, user: &str, device: DeviceId) -> anyhow::Result<(Client, Inbox)> {
        let token = self.signer.sign(user)?;
        connect(self.options(token, device)).await.context("the broker gives no session")
    }

    fn options(&self, token: String, device: DeviceId) -> Options {
        let endpoint = self.next_endpoint.fetch_add(1, Ordering::Relaxed) % self.endpoints.len();
        let mut options =
            Options::new(self.address.clone(), &self.server_name, self.trust.clone(), token, device);
        options.keep_alive = KEEP_ALIVE;
        options.publish_window = self.publish_window;
        options.client_name = "wardline-loadgen".into();
        options.endpoint = Some(self.endpoints[endpoint].clone());
        options
    }
}

/// Opens a client socket that can reach the broker: by IPv6 and IPv4, if it has a name.
pub(crate) fn endpoint(server: &Address) -> anyhow::Result<quinn::Endpoint> {
    let socket = match server.ip() {
        Some(server) => UdpSocket::bind((near(server.ip()), 0)),
        // A host without IPv6 has no such socket.
        None => for_both_families().or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))),
    };
    let socket = socket.context("cannot open a UDP socket")?;
    // The kernel may give less (net.core.rmem_max); then bursts cost retransmissions, nothing else.
    sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES).context("cannot set SO_RCVBUF")?;
    sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES).context("cannot set SO_SNDBUF")?;
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new(quinn::EndpointConfig::default(), None, socket, runtime)
        .context("cannot start a QUIC endpoint")
}

/// Where to bind in order to reach an address.
fn near(server: IpAddr) -> IpAddr {
    match server {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn for_both_families() -> std::io::Result<UdpSocket> {
    let socket = net::socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    net::bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))?;
    Ok(socket.into())
}
