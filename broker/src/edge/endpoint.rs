//! The QUIC endpoint: one UDP socket, TLS 1.3 only, every cap from [`limits`](crate::limits).
//!
//! Datagrams, early data and client-opened unidirectional streams are off. Connections
//! are taken in by `acceptor`.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{hkdf, hmac};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig,
    VarInt,
};

use super::ids::Ids;
use super::secrets::Secrets;
use super::tickets::{self, Tickets};
use crate::limits::Limits;
use crate::settings::Tls;
use crate::wire::ALPN;

/// What the kernel is asked for, each way; the default loses packets under a burst.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Packets that a client may receive before it acknowledges them.
const ACK_ELICITING_PACKETS: u32 = 8;

/// From which difference on a path is searched for the longest packet in smaller steps: more than
/// half of what lies between 1,200 bytes and 1,452, so that the longest is tried at once.
const MTU_STEP: u16 = 127;

/// Least time between the stateless resets that answer packets; those of the roll come beside them
/// (`resets`).
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// Binds the socket with large buffers.
///
/// # Errors
/// [`io::Error`] if the address is taken or not ours.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    use rustix::net::sockopt;
    // What the kernel refuses to set shows in what it gives.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    // Linux tells twice what it gives, for its own bookkeeping (socket(7)).
    let given = sockopt::socket_recv_buffer_size(&socket)? / 2;
    if given < SOCKET_BUFFER_BYTES {
        tracing::warn!(
            code = "small-receive-buffer",
            given,
            wanted = SOCKET_BUFFER_BYTES,
            "the kernel gives a small UDP receive buffer: packets will be lost under load; raise net.core.rmem_max (and \
             net.core.wmem_max)"
        );
    }
    Ok(socket)
}

/// Makes the endpoint on a bound socket.
///
/// # Errors
/// [`io::Error`] if the runtime does not take the socket.
pub(super) fn open(
    socket: UdpSocket,
    config: ServerConfig,
    secrets: &Secrets,
    ids: &Arc<Ids>,
    runtime: Arc<dyn quinn::Runtime>,
) -> io::Result<quinn::Endpoint> {
    quinn::Endpoint::new(endpoint_config(secrets, ids), Some(config), socket, runtime)
}

/// What lets a restarted broker tell the clients of the one before that their connections are gone
/// (stateless reset, RFC 9000, section 10.3): secrets that are the same after the restart.
fn endpoint_config(secrets: &Secrets, ids: &Arc<Ids>) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(reset_key(secrets)));
    let ids = Arc::clone(ids);
    config.cid_generator(move || ids.generator()).min_reset_interval(RESET_INTERVAL);
    config
}

/// Makes the token of a stateless reset from the id of the connection.
pub(super) fn reset_key(secrets: &Secrets) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secrets.derive(b"wardline stateless reset").as_ref())
}

/// By which the ids of connections are known again.
pub(super) fn ids_key(secrets: &Secrets) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secrets.derive(b"wardline connection id").as_ref())
}

/// The server's QUIC and TLS configuration.
///
/// # Errors
/// [`rustls::Error`] if key and certificate do not go together.
pub(crate) fn server_config(
    tls: &Tls,
    limits: &Limits,
    secrets: &Secrets,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(tls.chain.clone(), tls.key.clone_key())?;
    crypto.alpn_protocols = vec![ALPN.to_vec()];
    crypto.max_early_data_size = 0;
    crypto.ticketer = Arc::new(Tickets::new(secrets, &tls.chain));
    crypto.send_tls13_tickets = tickets::EACH;
    let crypto = QuicServerConfig::try_from(crypto)
        .map_err(|_| rustls::Error::General("no TLS 1.3 cipher suite for QUIC initial packets".to_owned()))?;
    // A client that was sent a Retry just before a reload comes back with its token just after it.
    let retry = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secrets.derive(b"wardline retry").as_ref());
    let mut config = ServerConfig::new(Arc::new(crypto), Arc::new(retry));
    config.transport_config(Arc::new(transport(limits)));
    Ok(config)
}

/// The QUIC transport settings of every connection: what a bare server must have too to be compared
/// with this one.
pub fn transport(limits: &Limits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = u64::try_from(limits.idle_timeout.as_millis()).unwrap_or(u64::MAX);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.lanes_max))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits.stream_receive_window))
        .receive_window(VarInt::from_u32(limits.connection_receive_window))
        .send_window(limits.send_window)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(limits.keep_alive))
        .ack_frequency_config(Some(ack_frequency()))
        .mtu_discovery_config(Some(mtu_discovery()))
        .max_idle_timeout(VarInt::from_u64(idle).ok().map(IdleTimeout::from));
    transport
}

/// One probe, of 1,452 bytes, quinn's default bound: nearly every path takes it, and the steps on
/// the way there cost four probes for each connection. More than that black-holes with segmentation
/// offload.
fn mtu_discovery() -> MtuDiscoveryConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.minimum_change(MTU_STEP);
    discovery
}

/// Asks clients to acknowledge every few packets instead of every other one: an acknowledgement
/// costs as much to take in as a packet of messages. Stays below the initial congestion window of
/// ten packets (RFC 9002, section 7.2).
fn ack_frequency() -> AckFrequencyConfig {
    let mut frequency = AckFrequencyConfig::default();
    frequency.ack_eliciting_threshold(VarInt::from_u32(ACK_ELICITING_PACKETS));
    frequency
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, SignatureScheme};
    use tokio::runtime::Runtime;
    use tokio::time::timeout;
    use wardline_storage::model::IdSecret;

    use super::*;

    pub(in crate::edge) fn tls() -> Tls {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key =
            rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        Tls { chain: vec![made.cert.der().clone()], key: Arc::new(key) }
    }

    /// Serves on a runtime of its own, so that it can end as a killed process does: without a word.
    fn serve(address: SocketAddr, tls: &Tls) -> (Runtime, SocketAddr) {
        let runtime = Runtime::new().expect("a runtime");
        let entered = runtime.enter();
        let secrets = Secrets::new(&IdSecret::new([7; 32]), &[8; 32]);
        let config = server_config(tls, &Limits::default(), &secrets).expect("a configuration");
        let ids = Ids::new(ids_key(&secrets));
        let endpoint =
            open(bind(address).expect("a socket"), config, &secrets, &ids, Arc::new(quinn::TokioRuntime))
                .expect("an endpoint");
        let address = endpoint.local_addr().expect("an address");
        runtime.spawn(async move {
            let mut connections = Vec::new();
            while let Some(incoming) = endpoint.accept().await {
                connections.extend(incoming.await);
            }
        });
        drop(entered);
        (runtime, address)
    }

    pub(in crate::edge) fn client(tls: &Tls) -> quinn::Endpoint {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(tls.chain[0].clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        client_with(verifier.build().expect("a verifier"))
    }

    fn client_with(verifier: Arc<dyn ServerCertVerifier>) -> quinn::Endpoint {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut crypto = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        crypto.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(crypto).expect("a QUIC suite");
        let mut endpoint =
            quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        endpoint
    }

    /// Ends one without a word, and starts the next at the same address.
    async fn restart(killed: Runtime, address: SocketAddr, tls: Tls) -> Runtime {
        killed.shutdown_background();
        let started = tokio::task::spawn_blocking(move || {
            // The socket is free once the last task of the killed one is gone.
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while UdpSocket::bind(address).is_err() {
                assert!(std::time::Instant::now() < deadline, "the port is still taken");
                std::thread::yield_now();
            }
            serve(address, &tls).0
        });
        started.await.expect("a restart")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restarted_broker_resets_the_connections_of_the_one_before() {
        let first = tls();
        let (killed, address) = serve(([127, 0, 0, 1], 0).into(), &first);
        let client = client(&first);
        let connection =
            client.connect(address, "localhost").expect("a connection").await.expect("a handshake");
        // With another certificate, as after a renewal.
        let restarted = restart(killed, address, tls()).await;
        let (mut stream, _answers) = connection.open_bi().await.expect("a stream");
        stream.write_all(b"anybody there?").await.expect("room in the window");
        let ended = timeout(Duration::from_secs(20), connection.closed()).await.expect("told in time");
        assert_eq!(ended, quinn::ConnectionError::Reset);
        restarted.shutdown_background();
    }
    /// Believes everybody, and counts whom it had to believe.
    #[derive(Debug, Default)]
    struct Believer {
        certificates: AtomicUsize,
    }

    impl ServerCertVerifier for Believer {
        fn verify_server_cert(
            &self,
            _leaf: &CertificateDer<'_>,
            _rest: &[CertificateDer<'_>],
            _name: &ServerName<'_>,
            _ocsp: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            self.certificates.fetch_add(1, Ordering::Relaxed);
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _leaf: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::General("TLS 1.3 only".into()))
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _leaf: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }
    }

    /// Connects, and stays until there is a ticket for the next time.
    async fn connect(client: &quinn::Endpoint, to: SocketAddr) {
        let connecting = client.connect(to, "localhost").expect("a start");
        let connection = connecting.await.expect("a handshake");
        let confirmed = async {
            while connection.stats().frame_rx.handshake_done == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), confirmed).await.expect("the handshake is confirmed in time");
        // The ticket comes with that, or right behind it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.close(VarInt::from_u32(0), b"");
        client.wait_idle().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restarted_broker_takes_the_tickets_of_the_one_before() {
        let (first, believer) = (tls(), Arc::new(Believer::default()));
        let believed = || believer.certificates.load(Ordering::Relaxed);
        let (killed, address) = serve(([127, 0, 0, 1], 0).into(), &first);
        let client = client_with(Arc::clone(&believer) as _);
        connect(&client, address).await;
        assert_eq!(believed(), 1);
        let restarted = restart(killed, address, first.clone()).await;
        connect(&client, address).await;
        assert_eq!(believed(), 1, "the certificate was looked at again");
        // With another certificate, no ticket of the one before is good.
        let renewed = restart(restarted, address, tls()).await;
        connect(&client, address).await;
        assert_eq!(believed(), 2);
        renewed.shutdown_background();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_longest_packet_of_a_path_is_found_by_one_probe() {
        let tls = tls();
        let secrets = Secrets::new(&IdSecret::new([7; 32]), &[8; 32]);
        let config = server_config(&tls, &Limits::default(), &secrets).expect("a configuration");
        let socket = bind(([127, 0, 0, 1], 0).into()).expect("a socket");
        let ids = Ids::new(ids_key(&secrets));
        let server =
            open(socket, config, &secrets, &ids, Arc::new(quinn::TokioRuntime)).expect("an endpoint");
        let to = server.local_addr().expect("an address");
        let client = client(&tls);
        let (theirs, ours) = tokio::join!(client.connect(to, "localhost").expect("a start"), async {
            server.accept().await.expect("a client").await
        });
        let (_theirs, ours) = (theirs.expect("a handshake"), ours.expect("a handshake"));
        let found = async {
            while ours.stats().path.current_mtu != 1452 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), found).await.expect("found in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(ours.stats().path.sent_plpmtud_probes, 1);
    }
}
