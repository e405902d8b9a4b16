//! A broker that is known by its name: where it is now, wherever it was before.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wardline_client::{Code, ConnectError, Options, Resolver, Resolving, Status, SystemResolver, Trust};
use wardline_proto::v1::server_frame::Response;

use crate::support::*;

/// A resolver that says what the test wants; `None`: it fails.
#[derive(Clone)]
struct Names(Arc<Mutex<Option<Vec<SocketAddr>>>>);

impl Names {
    fn new(addresses: &[SocketAddr]) -> Self {
        Self(Arc::new(Mutex::new(Some(addresses.to_vec()))))
    }

    fn become_known(&self, addresses: &[SocketAddr]) {
        *self.0.lock() = Some(addresses.to_vec());
    }

    fn fail(&self) {
        *self.0.lock() = None;
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        assert_eq!((host, port), ("broker.example", 4433));
        let found = self.0.lock().clone();
        Box::pin(async { found.ok_or_else(|| io::Error::other("the resolver is down")) })
    }
}

/// Options for brokers that a name stands for.
fn named(names: &Names, brokers: &[&Broker]) -> Options {
    let mut options = brokers[0].options("token".to_owned());
    options.address = "broker.example:4433".parse().unwrap();
    options.resolver = Arc::new(names.clone());
    options.trust = Trust::Pem(brokers.iter().flat_map(|broker| broker.ca.clone()).collect());
    options
}

/// A port where nobody answers.
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn a_broker_that_moved_is_found_by_a_running_client() {
    let (here, there) = (Broker::start(), Broker::start_v6());
    let names = Names::new(&[here.address]);
    let options = named(&names, &[&here, &there]);
    let (connected, session) = tokio::join!(wardline_client::connect(options), here.welcome());
    let (client, _inbox) = connected.unwrap();

    names.become_known(&[there.address]);
    session.cut();
    let session = there.welcome().await;
    until(
        &client,
        "the second session",
        |status| matches!(status, Status::Connected(session) if session.generation == 1),
    )
    .await;

    // And back again.
    names.become_known(&[here.address]);
    session.cut();
    let _session = here.welcome().await;
}

#[tokio::test]
async fn an_address_where_nobody_answers_holds_nobody_up() {
    let broker = Broker::start();
    let (_held, nobody) = silent();
    let options = named(&Names::new(&[nobody, broker.address]), &[&broker]);
    let timeout = options.connect_timeout;
    let began = std::time::Instant::now();
    let (connected, _session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    connected.unwrap();
    assert!(began.elapsed() < timeout / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_address_of_somebody_else_is_passed_over() {
    let (broker, other) = (Broker::start(), Broker::start());
    let names = Names::new(&[other.address, broker.address]);
    let accept = async { other.endpoint.accept().await.unwrap().await.err() };
    let options = named(&names, &[&broker]);
    let (connected, _session, refused) =
        tokio::join!(wardline_client::connect(options), broker.welcome(), accept);
    connected.unwrap();
    assert!(refused.is_some(), "it has another certificate");
}

#[tokio::test]
async fn a_resolver_that_fails_keeps_nobody_away() {
    let broker = Broker::start();
    let names = Names::new(&[broker.address]);
    let options = named(&names, &[&broker]);
    let (connected, mut session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, _inbox) = connected.unwrap();
    for generation in 1..=2 {
        match generation {
            1 => names.fail(),
            _ => names.become_known(&[]),
        }
        session.cut();
        session = broker.welcome().await;
        until(
            &client,
            "the next session",
            |status| matches!(status, Status::Connected(session) if session.generation == generation),
        )
        .await;
    }
}

/// Refuses the next session.
async fn refuse(broker: &Broker, code: Code) -> Session {
    let mut session = broker.accept().await;
    let id = session.hello_id;
    session.control.answer(id, Response::Error(refusal(code, Duration::from_millis(1)))).await;
    session
}

#[tokio::test]
async fn a_broker_that_stops_leaves_the_session_to_the_next_one() {
    let (stopping, other) = (Broker::start(), Broker::start());
    let names = Names::new(&[stopping.address, other.address]);
    let options = named(&names, &[&stopping, &other]);
    let refused = refuse(&stopping, Code::ShuttingDown);
    let (connected, _refused, session) =
        tokio::join!(wardline_client::connect(options.clone()), refused, other.welcome());
    let (_client, _inbox) = connected.unwrap();
    assert!(session.positions().is_empty());

    // What concerns the caller is not asked again elsewhere.
    let refused = refuse(&stopping, Code::Unauthenticated);
    let (connected, _refused) = tokio::join!(wardline_client::connect(options), refused);
    assert!(
        matches!(connected, Err(ConnectError::Refused(refusal)) if refusal.code == Code::Unauthenticated)
    );
}

#[tokio::test]
async fn who_gives_no_session_is_tried_after_the_others() {
    let (silent, other) = (Broker::start(), Broker::start());
    let names = Names::new(&[silent.address]);
    let mut options = named(&names, &[&silent, &other]);
    options.connect_timeout = Duration::from_secs(1);
    let (connected, session) = tokio::join!(wardline_client::connect(options), silent.welcome());
    let (client, _inbox) = connected.unwrap();
    names.become_known(&[silent.address, other.address]);
    session.cut();
    // It takes Hello and says nothing.
    let _held = silent.accept().await;
    let _session = other.welcome().await;
    until(
        &client,
        "the second session",
        |status| matches!(status, Status::Connected(session) if session.generation == 1),
    )
    .await;
}

#[tokio::test]
async fn a_name_that_leads_nowhere_says_why() {
    let broker = Broker::start();
    let names = Names::new(&[]);
    let fails = async |options| match wardline_client::connect(options).await {
        Err(ConnectError::Unreachable { address, detail }) => {
            assert_eq!(address, "broker.example:4433");
            detail
        }
        other => panic!("{:?}", other.map(|_| ())),
    };
    let detail = fails(named(&names, &[&broker])).await;
    assert!(detail.contains("no address") && detail.contains("check the name"), "{detail}");
    names.fail();
    let detail = fails(named(&names, &[&broker])).await;
    assert!(detail.contains("cannot be looked up: the resolver is down"), "{detail}");

    // Of several addresses each says what became of it.
    let (_held, nobody) = silent();
    let other = Broker::start();
    names.become_known(&[nobody, other.address]);
    let mut options = named(&names, &[&broker]);
    options.connect_timeout = Duration::from_secs(2);
    let accept = async { other.endpoint.accept().await.unwrap().await.err() };
    let (detail, _) = tokio::join!(fails(options), accept);
    assert!(
        detail.contains("no answer within") && detail.contains("is the broker running there?"),
        "{detail}"
    );
    assert!(detail.contains(&format!("{}: its certificate is not trusted", other.address)), "{detail}");
}

#[tokio::test]
async fn the_systems_resolver_knows_this_machine() {
    let found = soon("the look-up", SystemResolver.resolve("localhost", 4433)).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
}
