//! QUIC endpoints for both ends of a measurement, with the settings of Wardline's broker and SDK.
//!
//! TLS 1.3 is always on, with development keys from a folder. A bare server has the broker's own
//! transport settings, and differs in nothing but what is done with it. Clients are set as the SDK
//! is, but for acknowledgements of packets, which the broker asks for as it likes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, TransportConfig, VarInt};
use rustix::net::sockopt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use wardline_broker::dev::Dev;
use wardline_broker::edge::endpoint::transport;
use wardline_broker::edge::tls;
use wardline_broker::limits::Limits;
use wardline_storage::id::Timestamp;

/// What bare endpoints speak.
pub const BARE_ALPN: &[u8] = b"bare";

/// As the broker asks the kernel for.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// So many connections share a client's socket: few enough that what is in flight to them fits into
/// its buffer.
const CONNECTIONS_PER_SOCKET: usize = 10;
/// As the SDK has them.
const CLIENT_WINDOW: u32 = 256 * 1024;
const CLIENT_STREAM_WINDOW: u32 = 64 * 1024;

/// Now, by the wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp(since.as_millis() as u64)
}

/// Makes development keys in a folder.
///
/// # Errors
/// If they cannot be written.
pub fn keys(folder: &Path) -> Result<Dev> {
    let dev = Dev::of(folder);
    dev.prepare(now())?;
    Ok(dev)
}

/// A server without the broker, at any free port of the loopback.
///
/// # Errors
/// If the keys cannot be used, or the socket cannot be had.
pub fn server(dev: &Dev) -> Result<Endpoint> {
    let keys = tls::load(&dev.certificate(), &dev.key())?;
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(keys.chain, keys.key.clone_key())?;
    crypto.alpn_protocols = vec![BARE_ALPN.to_vec()];
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto)?));
    config.transport_config(Arc::new(transport(&Limits::default())));
    let socket = bind()?;
    Ok(Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(quinn::TokioRuntime))?)
}

/// Opens connections to one server.
pub struct Dialler {
    address: SocketAddr,
    config: quinn::ClientConfig,
    endpoint: Option<Endpoint>,
    connections: usize,
}

impl Dialler {
    /// Trusts the authority whose certificate (PEM) is given; opens nothing yet.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub fn new(address: SocketAddr, authority: &Path, alpn: &[u8]) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(authority).context("reading the authority's certificate")?)?;
        let mut crypto = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        crypto.alpn_protocols = vec![alpn.to_vec()];
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
        let mut transport = TransportConfig::default();
        transport
            .receive_window(VarInt::from_u32(CLIENT_WINDOW))
            .stream_receive_window(VarInt::from_u32(CLIENT_STREAM_WINDOW))
            .send_window(CLIENT_WINDOW.into())
            .datagram_receive_buffer_size(None)
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .max_idle_timeout(Some(Duration::from_secs(60).try_into()?));
        config.transport_config(Arc::new(transport));
        Ok(Self { address, config, endpoint: None, connections: 0 })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If there is no socket left, or the handshake fails.
    pub async fn connect(&mut self) -> Result<Connection> {
        if self.connections.is_multiple_of(CONNECTIONS_PER_SOCKET) {
            let runtime = Arc::new(quinn::TokioRuntime);
            self.endpoint = Some(Endpoint::new(EndpointConfig::default(), None, bind()?, runtime)?);
        }
        self.connections += 1;
        let endpoint = self.endpoint.as_ref().expect("made for the first connection");
        Ok(endpoint.connect_with(self.config.clone(), self.address, "localhost")?.await?)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn bind() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // What the kernel does not give shows as loss, on both sides alike.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    Ok(socket)
}
