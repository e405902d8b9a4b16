//! From where a broker is said to be to a connection with it.
//!
//! Owns the client's sockets and what is remembered of the broker's name. Each attempt asks the
//! resolver again, so that a broker that moved is found; the addresses that the name had before are
//! for when the resolver is silent. They are tried as RFC 8305 says: the two families in turns,
//! each address a moment after the one before or as soon as that failed. The first handshake that
//! succeeds counts, and the others are let go of. Invariant: an attempt yields one connection at
//! most, and says Hello on no other.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use tokio::time::{sleep, timeout};

use crate::end::End;
use crate::options::Options;

/// How long an address has before the next one is tried beside it: RFC 8305, section 8.
const STAGGER: Duration = Duration::from_millis(250);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;
/// Of the time for an attempt, the resolver has one part in so many.
const LOOKUP_PART: u32 = 2;

/// What became of the addresses that did not answer.
pub(crate) type Failures = Vec<(SocketAddr, End)>;

/// Connects to a broker wherever it is now.
pub(crate) struct Whereabouts {
    config: ClientConfig,
    sockets: Sockets,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// What the name had last.
    addresses: Vec<SocketAddr>,
    /// Where no session was given although somebody answered: tried after the others.
    avoided: Option<SocketAddr>,
}

impl Whereabouts {
    /// Opens a socket at once where it is known which.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn new(options: &Options, config: ClientConfig) -> io::Result<Self> {
        let sockets = match &options.endpoint {
            Some(endpoint) => Sockets::Shared(endpoint.clone()),
            None => Sockets::Own(Mutex::default()),
        };
        if let Some(address) = options.address.ip() {
            sockets.to(address)?;
        }
        Ok(Self { config, sockets, memory: Mutex::default() })
    }

    /// Connects to one of these addresses; `None`: all have failed. What failed on the way is told
    /// even if this is dropped.
    pub(crate) async fn connect(
        &self,
        options: &Options,
        addresses: Vec<SocketAddr>,
        failures: &mut Failures,
    ) -> Option<(SocketAddr, Connection)> {
        let parts = u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
        let stagger = STAGGER.min(options.connect_timeout / parts);
        let handshake = |address| self.handshake(address, &options.server_name);
        let (address, connection) = first(addresses, stagger, failures, handshake).await?;
        self.memory.lock().avoided = Some(address);
        Some((address, connection))
    }

    /// Takes note that the last connection became a session.
    pub(crate) fn succeeded(&self) {
        self.memory.lock().avoided = None;
    }

    /// Lets the farewells of closed connections leave, if the sockets are this client's alone.
    pub(crate) async fn wait_idle(&self) {
        for endpoint in self.sockets.own() {
            endpoint.wait_idle().await;
        }
    }

    /// Looks the broker up: where it is now, or was last if nobody can say.
    ///
    /// # Errors
    /// If there is no address, in words.
    pub(crate) async fn addresses(&self, options: &Options) -> Result<Vec<SocketAddr>, String> {
        let Some((host, port)) = options.address.name() else {
            return Ok(options.address.ip().into_iter().collect());
        };
        let looked_up =
            timeout(options.connect_timeout / LOOKUP_PART, options.resolver.resolve(host, port)).await;
        let why = match looked_up {
            Ok(Ok(found)) if found.is_empty() => "its name has no address".to_owned(),
            Ok(Ok(found)) => {
                let mut memory = self.memory.lock();
                memory.addresses = in_turns(found);
                return Ok(last(memory.addresses.clone(), memory.avoided));
            }
            Ok(Err(error)) => format!("its name cannot be looked up: {error}"),
            Err(_) => "the resolver does not answer".to_owned(),
        };
        let memory = self.memory.lock();
        if memory.addresses.is_empty() {
            return Err(format!("{why}; check the name, and this machine's resolver"));
        }
        tracing::debug!(code = "old-addresses", why, "the broker is looked for where it was last");
        Ok(last(memory.addresses.clone(), memory.avoided))
    }

    async fn handshake(&self, address: SocketAddr, server_name: &str) -> Result<Connection, End> {
        let endpoint = self.sockets.to(address).map_err(|error| End::Lost(no_socket(&error)))?;
        let connecting = endpoint.connect_with(self.config.clone(), address, server_name);
        let connecting = connecting.map_err(|error| {
            if matches!(error, quinn::ConnectError::EndpointStopping) {
                self.sockets.forget(address);
            }
            End::Lost(format!("cannot connect: {error}"))
        })?;
        connecting.await.map_err(handshake_failed)
    }
}

/// Why no socket could be opened, and what to do.
pub(crate) fn no_socket(error: &io::Error) -> String {
    format!("cannot open a UDP socket: {error}; check the limits of the process")
}

/// Where packets leave and arrive.
enum Sockets {
    /// The application's: it reaches what it is bound for.
    Shared(Endpoint),
    /// One for IPv4 and one for IPv6, each opened for the first address of its family.
    Own(Mutex<[Option<Endpoint>; 2]>),
}

impl Sockets {
    fn to(&self, address: SocketAddr) -> io::Result<Endpoint> {
        let own = match self {
            Self::Shared(endpoint) => return Ok(endpoint.clone()),
            Self::Own(own) => own,
        };
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut own = own.lock();
        let place = &mut own[usize::from(address.is_ipv6())];
        match place {
            Some(endpoint) => Ok(endpoint.clone()),
            None => Ok(place.insert(Endpoint::client(any)?).clone()),
        }
    }

    /// Lets go of a socket that failed, so that the next attempt opens another.
    fn forget(&self, address: SocketAddr) {
        if let Self::Own(own) = self {
            own.lock()[usize::from(address.is_ipv6())] = None;
        }
    }

    fn own(&self) -> Vec<Endpoint> {
        match self {
            Self::Shared(_) => Vec::new(),
            Self::Own(own) => own.lock().iter().flatten().cloned().collect(),
        }
    }
}

/// RFC 8305, section 4: in the resolver's order, but the two families in turns.
fn in_turns(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_v6_first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| it.is_ipv6() == is_v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return ordered;
        }
        for address in pair.into_iter().flatten() {
            if !ordered.contains(&address) && ordered.len() < ADDRESSES_MAX {
                ordered.push(address);
            }
        }
    }
}

/// Puts one address behind the others.
fn last(mut addresses: Vec<SocketAddr>, avoided: Option<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(|address| Some(*address) == avoided);
    addresses
}

/// RFC 8305, section 5: begins an attempt at each address in turn, and takes the first that
/// succeeds.
async fn first<T, F: Future<Output = Result<T, End>>>(
    addresses: Vec<SocketAddr>,
    stagger: Duration,
    failures: &mut Failures,
    attempt: impl Fn(SocketAddr) -> F,
) -> Option<(SocketAddr, T)> {
    let mut waiting = addresses.into_iter();
    let mut under_way = FuturesUnordered::new();
    loop {
        if let Some(address) = waiting.next() {
            let attempt = attempt(address);
            under_way.push(async move { (address, attempt.await) });
        }
        tokio::select! {
            biased;
            ended = under_way.next() => match ended? {
                (address, Ok(connection)) => return Some((address, connection)),
                (address, Err(end)) => failures.push((address, end)),
            },
            () = sleep(stagger), if waiting.len() > 0 => {}
        }
    }
}

/// Why a handshake failed.
fn handshake_failed(error: ConnectionError) -> End {
    /// TLS alerts as QUIC reports them (RFC 9001, section 4.8).
    const NO_APPLICATION_PROTOCOL: u64 = 0x0100 + 120;
    const CONNECTION_REFUSED: u64 = 0x02;
    let (code, local) = match &error {
        ConnectionError::ApplicationClosed(_) => return error.into(),
        ConnectionError::TransportError(error) => (u64::from(error.code), true),
        ConnectionError::ConnectionClosed(close) => (u64::from(close.error_code), false),
        _ => return End::Lost(error.to_string()),
    };
    let hint = match code {
        NO_APPLICATION_PROTOCOL => "what listens there does not speak wardline/1",
        CONNECTION_REFUSED => "it takes no more connections now; try again later",
        0x0100..=0x01ff if local => {
            "its certificate is not trusted: check the certificate authority and the server name"
        }
        0x0100..=0x01ff => "it ended the TLS handshake",
        _ => "the QUIC handshake failed",
    };
    End::Lost(format!("{hint} ({error})"))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 4433).into()
    }

    fn v6(last: u16) -> SocketAddr {
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 4433).into()
    }

    #[test]
    fn the_families_take_turns_and_none_is_tried_twice() {
        let found = vec![v6(1), v6(2), v6(1), v6(3), v4(1), v4(2)];
        assert_eq!(in_turns(found), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(in_turns(vec![v4(1), v6(1), v4(2)]), [v4(1), v6(1), v4(2)]);
        assert_eq!(in_turns((0..200).map(v6).collect()).len(), ADDRESSES_MAX);
        assert_eq!(in_turns(Vec::new()), []);
        assert_eq!(last(vec![v6(1), v4(1), v6(2)], Some(v6(1))), [v4(1), v6(2), v6(1)]);
    }

    #[tokio::test]
    async fn one_that_is_silent_holds_up_the_next_only_for_a_moment() {
        let mut failures = Vec::new();
        let attempt = |address| async move {
            match address {
                address if address == v6(1) => pending().await,
                address if address == v4(1) => Err(End::Lost("no".into())),
                address => Ok(address),
            }
        };
        let began = std::time::Instant::now();
        let stagger = Duration::from_millis(200);
        let found = first(vec![v6(1), v4(1), v6(2), v6(3)], stagger, &mut failures, attempt).await;
        assert_eq!(found, Some((v6(2), v6(2))));
        assert!(matches!(&failures[..], [(failed, End::Lost(_))] if *failed == v4(1)), "{failures:?}");
        // The second begins after the stagger, the third as soon as the second has failed.
        assert!((stagger..stagger * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn all_that_failed_are_told() {
        let mut failures = Vec::new();
        let attempt = |_| async { Err::<(), _>(End::Lost("no".into())) };
        let none = first(vec![v6(1), v4(1)], Duration::from_secs(60), &mut failures, attempt).await;
        assert!(none.is_none());
        assert_eq!(failures.len(), 2);
    }
}
