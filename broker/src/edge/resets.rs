//! Tells the clients of the broker before that their connections are gone, right after the start.
//!
//! A stateless reset (RFC 9000, section 10.3) ends in 16 bytes that only the broker could give, and
//! that only the client of that connection knows: anybody else drops it. So an entry that is old
//! does no harm but a packet of a hundred bytes, of which there are so many a second and no more,
//! and fewer to one address. The order is fair by address. While many handshakes are in hand, there
//! are few: who is told comes back at once, and what is urgent for those who are back goes first.
//!
//! A packet may be lost, so there is a second round, for those who are not back. Each client's
//! first one strikes it off the [`roll`](super::roll): a broker that crashes in between goes on
//! with those that are left.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn::AsyncUdpSocket;
use quinn::udp::Transmit;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::returning::Returning;
use super::roll::{Former, Roll};
use crate::metrics::Metrics;

/// How often resets are sent.
const TICK: Duration = Duration::from_millis(10);
/// Most of a tick: 4,000 a second.
const TICK_MAX: usize = 40;
/// Most of a tick to one address: 2,000 a second. Everybody in a hospital may have the same.
const TICK_ADDRESS_MAX: usize = 20;
/// Most of a tick while many handshakes are in hand: 100 a second, however many those are.
const TICK_CROWDED_MAX: usize = 1;
/// How often each client is told, at most.
const ROUNDS: usize = 2;
/// From one round to the next.
const ROUNDS_APART: Duration = Duration::from_millis(500);
/// What a packet has before the token: enough to look like any other (RFC 9000, section 10.3), and
/// never of the same length.
const PADDING: std::ops::RangeInclusive<usize> = 26..=80;
/// Bytes of a token.
const TOKEN: usize = 16;

/// Tells clients that their connections are gone.
pub(super) struct Resets {
    /// Of the same address as the endpoint's.
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
    /// Which makes the token of an id.
    pub(super) key: hmac::Key,
    pub(super) roll: Arc<Roll>,
    pub(super) returning: Arc<Returning>,
    /// Whether many handshakes are in hand, or soon will be.
    pub(super) is_crowded: Box<dyn Fn() -> bool + Send + Sync>,
    pub(super) metrics: Arc<Metrics>,
}

/// Who is still to be told in a round, by address.
struct Queue<'a>(VecDeque<(Ipv6Addr, Vec<&'a Former>)>);

impl Resets {
    /// Tells all of these, until told to stop.
    pub(super) async fn run(self, former: Vec<Former>, stop: CancellationToken) {
        let begun = Instant::now();
        let told = stop.run_until_cancelled(self.tell(&former)).await;
        self.returning.forget();
        self.metrics.resets_due.set(0.0);
        match told {
            Some(Ok(())) => tracing::info!(
                code = "clients-reset", clients = former.len(), took = ?begun.elapsed(),
                "the broker before did not stop in order: its clients were told to connect again"
            ),
            Some(Err(error)) => tracing::warn!(
                code = "resets-unsent", %error,
                "the clients of the broker before could not be told to connect again: they find out by themselves"
            ),
            None => {}
        }
    }

    async fn tell(&self, former: &[Former]) -> io::Result<()> {
        self.round(Queue::new(former.iter()), true).await?;
        for _ in 1..ROUNDS {
            sleep(ROUNDS_APART).await;
            let left = former.iter().filter(|client| self.returning.awaits(client));
            self.round(Queue::new(left), false).await?;
        }
        Ok(())
    }

    async fn round(&self, mut queue: Queue<'_>, is_first: bool) -> io::Result<()> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !queue.0.is_empty() {
            if is_first {
                self.metrics.resets_due.set(queue.len() as f64);
            }
            ticks.tick().await;
            let most = if (self.is_crowded)() { TICK_CROWDED_MAX } else { TICK_MAX };
            for client in queue.take(most) {
                // Who found out before has come already.
                if self.returning.awaits(client) {
                    self.send(client).await?;
                }
                if is_first {
                    self.roll.told(client);
                    self.returning.told(client);
                }
            }
        }
        if is_first {
            self.metrics.resets_due.set(0.0);
        }
        Ok(())
    }

    async fn send(&self, client: &Former) -> io::Result<()> {
        let Some((destination, src_ip)) = path(client, self.socket.local_addr()?) else { return Ok(()) };
        let contents = packet(&self.key, &client.id);
        let transmit = Transmit { destination, ecn: None, contents: &contents, segment_size: None, src_ip };
        let mut writable = Arc::clone(&self.socket).create_io_poller();
        loop {
            poll_fn(|context| writable.as_mut().poll_writable(context)).await?;
            match self.socket.try_send(&transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // That one cannot be reached says nothing of the others.
                _ => break,
            }
        }
        self.metrics.resets_sent.increment(1);
        Ok(())
    }
}

/// From where to where, in the family of the socket; `None`: it cannot reach that client.
fn path(client: &Former, socket: SocketAddr) -> Option<(SocketAddr, Option<IpAddr>)> {
    if socket.is_ipv6() {
        return Some((client.remote.into(), client.local));
    }
    let in_four = |ip: IpAddr| Some(ip.to_canonical()).filter(IpAddr::is_ipv4);
    let remote = in_four((*client.remote.ip()).into())?;
    Some((SocketAddr::new(remote, client.remote.port()), client.local.and_then(in_four)))
}

/// A stateless reset for a connection.
fn packet(key: &hmac::Key, id: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; rand::random_range(PADDING)];
    rand::fill(&mut packet[..]);
    // A short header (RFC 9000, section 17.3).
    packet[0] = 0b0100_0000 | packet[0] >> 2;
    packet.extend_from_slice(&hmac::sign(key, id).as_ref()[..TOKEN]);
    packet
}

impl<'a> Queue<'a> {
    fn new(former: impl Iterator<Item = &'a Former>) -> Self {
        let mut addresses: HashMap<Ipv6Addr, Vec<&Former>> = HashMap::new();
        for client in former {
            addresses.entry(*client.remote.ip()).or_default().push(client);
        }
        Self(addresses.into_iter().collect())
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(_, clients)| clients.len()).sum()
    }

    /// The next ones: some of each address in turn, and at most so many.
    fn take(&mut self, most: usize) -> Vec<&'a Former> {
        let mut next = Vec::with_capacity(most);
        for _ in 0..self.0.len() {
            if next.len() == most {
                break;
            }
            let Some((ip, mut clients)) = self.0.pop_front() else { break };
            let count = clients.len().min(TICK_ADDRESS_MAX).min(most - next.len());
            next.extend(clients.drain(clients.len() - count..));
            if !clients.is_empty() {
                self.0.push_back((ip, clients));
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {

    use quinn::{ConnectionError, Runtime as _, TokioRuntime};
    use tokio::time::timeout;
    use wardline_storage::model::IdSecret;

    use super::super::endpoint::{self, tests as served};
    use super::super::ids::Ids;
    use super::super::roll;
    use super::super::secrets::Secrets;
    use super::*;
    use crate::limits::Limits;

    fn former(remote: SocketAddr, id: [u8; 8]) -> Former {
        Former::at(roll::mapped(remote), id)
    }

    fn resets(roll: Arc<Roll>, is_crowded: bool, former: &[Former]) -> Resets {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        Resets {
            socket: TokioRuntime.wrap_udp_socket(socket).expect("a runtime"),
            key: hmac::Key::new(hmac::HMAC_SHA256, b"a key"),
            roll,
            returning: Arc::new(Returning::of(former)),
            is_crowded: Box::new(move || is_crowded),
            metrics: Arc::new(Metrics::new()),
        }
    }

    #[test]
    fn a_tick_is_shared_by_addresses_and_one_address_has_so_many() {
        let at = |ip: [u8; 4], port| former((ip, port).into(), [0; 8]);
        let mut clients: Vec<_> = (0..100).map(|port| at([192, 0, 2, 1], port)).collect();
        clients.extend((1..=5).map(|last| at([192, 0, 2, 100 + last], 1)));
        let mut queue = Queue::new(clients.iter());
        let (mut ticks, mut told) = (0, 0);
        while !queue.0.is_empty() {
            let next = queue.take(TICK_MAX);
            let crowd = next.iter().filter(|client| client.remote.ip().octets()[15] == 1).count();
            assert!(next.len() <= TICK_MAX && crowd <= TICK_ADDRESS_MAX);
            assert!(ticks > 0 || next.len() - crowd == 5, "the others do not stand behind the crowd");
            told += next.len();
            ticks += 1;
        }
        assert_eq!((told, ticks), (105, 5));
        assert_eq!(Queue::new(clients.iter()).take(TICK_CROWDED_MAX).len(), TICK_CROWDED_MAX);
    }

    /// How many packets come to one address within so much time, of a hundred for it; so many of
    /// those are back before.
    async fn arrive(is_crowded: bool, within: Duration, back: usize) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        let (keeper, _) = roll::tests::open(folder.path(), 1);
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = client.local_addr().expect("an address");
        let clients: Vec<_> = (0..100).map(|id| former(address, [id; 8])).collect();
        let resets = resets(Arc::clone(keeper.roll()), is_crowded, &clients);
        assert!((0..back).all(|_| resets.returning.comes(address)));
        let sending = resets.run(clients, CancellationToken::new());
        let (mut packet, mut count) = ([0; 2_000], 0);
        let receiving = async {
            loop {
                let length = client.recv(&mut packet).await.expect("received");
                assert!((42..=96).contains(&length) && packet[0] & 0xc0 == 0x40, "no short header");
                count += 1;
            }
        };
        // Until the time is over: receiving never ends.
        let _ = timeout(within, async { tokio::join!(sending, receiving) }).await;
        count
    }

    #[tokio::test]
    async fn they_are_paced_and_slower_while_many_shake_hands() {
        let crowded = arrive(true, Duration::from_millis(300), 0).await;
        assert!((1..=31).contains(&crowded), "{crowded} in 0.3 s");
        let all = arrive(false, Duration::from_secs(3), 99).await;
        assert!((100..=200).contains(&all), "{all} of two rounds for a hundred");
    }

    #[tokio::test]
    async fn who_is_back_is_told_no_more() {
        assert_eq!(arrive(false, Duration::from_secs(1), 100).await, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_a_reset_that_verifies_is_believed() {
        let tls = served::tls();
        let secrets = Secrets::new(&IdSecret::new([7; 32]), &[8; 32]);
        let (ids, key) = (Ids::new(endpoint::ids_key(&secrets)), endpoint::reset_key(&secrets));
        let config = endpoint::server_config(&tls, &Limits::default(), &secrets).expect("a configuration");
        let socket = endpoint::bind(([127, 0, 0, 1], 0).into()).expect("a socket");
        let apart = socket.try_clone().expect("a second handle");
        let server = endpoint::open(socket, config, &secrets, &ids, Arc::new(TokioRuntime)).expect("one");
        let client = served::client(&tls);
        let connecting =
            client.connect(server.local_addr().expect("an address"), "localhost").expect("a start");
        let incoming = server.accept().await.expect("a client");
        let remote = incoming.remote_address();
        let (accepted, id) = ids.given_by(|| incoming.accept());
        let (theirs, ours) = tokio::join!(connecting, accepted.expect("accepted"));
        let (theirs, _ours) = (theirs.expect("a handshake"), ours.expect("a handshake"));

        let id = id.expect("one was drawn");
        let wrong_key = hmac::Key::new(hmac::HMAC_SHA256, b"another's");
        let mut cut = packet(&key, &id);
        cut.pop();
        let wrong = [packet(&wrong_key, &id), packet(&key, b"not this"), cut, vec![0x40; 21]];
        for wrong in wrong {
            apart.send_to(&wrong, remote).expect("sent");
        }
        let believed = timeout(Duration::from_millis(500), theirs.closed()).await;
        assert!(believed.is_err(), "{believed:?}");
        apart.send_to(&packet(&key, &id), remote).expect("sent");
        let ended = timeout(Duration::from_secs(20), theirs.closed()).await.expect("told in time");
        assert_eq!(ended, ConnectionError::Reset);
    }

    #[test]
    fn a_client_is_reached_in_the_family_of_the_socket() {
        let four = former(([192, 0, 2, 1], 7).into(), [0; 8]);
        let listen = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let to = |client: &Former, socket: &str| path(client, listen(socket)).map(|(remote, _)| remote);
        assert_eq!(to(&four, "0.0.0.0:1"), Some(listen("192.0.2.1:7")));
        assert_eq!(to(&four, "[::]:1"), Some(listen("[::ffff:192.0.2.1]:7")));
        let six = Former::at("[2001:db8::1]:7".parse().expect("an address"), [0; 8]);
        assert_eq!(to(&six, "[::]:1"), Some(listen("[2001:db8::1]:7")));
        assert_eq!(to(&six, "0.0.0.0:1"), None);
    }
}
