//! A full pipe that nobody reads as stderr, under the whole load that was promised: a thousand
//! sessions and ten thousand messages go through, what could not be logged is counted and told of
//! later, and SIGTERM ends it in time.
//!
//! `WARDLINE_SESSIONS` says how many sessions there are.

use std::io::{PipeReader, PipeWriter, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use quinn::Endpoint;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wardline_broker::dev::{Bearer, Dev, TENANT};
use wardline_client::{Client, DeviceId, Inbox, Incoming, Options, Outgoing, Trust, connect};
use wardline_storage::id::Timestamp;

use crate::binary::{Serving, wardline};
use crate::streams::{dropped, fill, page, stuck};

const SESSIONS: usize = 1_000;
/// Messages that each of them publishes.
const MESSAGES: usize = 10;
/// Sessions that are opened at a time, and sockets that they share.
const AT_ONCE: usize = 32;
const PATIENCE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Most lines that wait for whoever reads them, and one in hand.
const WAITING_MAX: u64 = 513;
const TOLD: &str = "log-lines-dropped";

fn sessions() -> usize {
    let sessions = std::env::var("WARDLINE_SESSIONS").map_or(SESSIONS, |count| count.parse().unwrap());
    sessions.next_multiple_of(2)
}

/// A broker with everything as it is by default, but the pipe.
fn broker(folder: &Path, stderr: PipeWriter) -> Serving {
    let mut command = wardline(folder);
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--set", "http.listen=127.0.0.1:0"]);
    command.args(["--set", &format!("stop.deadline={}s", STOP_DEADLINE.as_secs())]);
    Serving::logging_to(folder, command, stderr.into())
}

/// Where everybody connects to, and with what.
struct Door {
    dev: Dev,
    address: SocketAddr,
    authority: Vec<u8>,
}

impl Door {
    fn of(folder: &Path, broker: &Serving) -> Self {
        let dev = Dev::of(&folder.join("data"));
        let authority = std::fs::read(dev.ca()).unwrap();
        Self { dev, address: broker.address, authority }
    }

    fn options(&self, number: usize, socket: Endpoint) -> Options {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let bearer = Bearer { user: name(number), tenant: TENANT.into(), roles: Vec::new() };
        let now = Timestamp(now.as_millis() as u64);
        let token = self.dev.token(&bearer, "wardline", now, Duration::from_secs(3600)).unwrap();
        let trust = Trust::Pem(self.authority.clone());
        let mut options = Options::new(self.address, "localhost", trust, token, DeviceId::random());
        options.endpoint = Some(socket);
        options
    }
}

fn name(number: usize) -> String {
    format!("user-{number}")
}

/// Somebody with their session.
struct Person {
    number: usize,
    client: Client,
    inbox: Inbox,
}

async fn come(options: Options, number: usize) -> Person {
    let (client, inbox) = timeout(PATIENCE, connect(options)).await.expect("a session in time").unwrap();
    Person { number, client, inbox }
}

async fn all_come(door: &Door, sessions: usize) -> Vec<Person> {
    let socket = || Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let sockets: Vec<_> = (0..AT_ONCE).map(|_| socket()).collect();
    let (mut coming, mut here) = (JoinSet::new(), Vec::new());
    for (number, socket) in (0..sessions).zip(sockets.iter().cycle()) {
        if coming.len() == AT_ONCE {
            here.extend(coming.join_next().await.map(Result::unwrap));
        }
        coming.spawn(come(door.options(number, socket.clone()), number));
    }
    here.extend(coming.join_all().await);
    here
}

/// Publishes to a neighbour, and takes what the two of them published.
async fn talk(mut person: Person) -> Person {
    let neighbour = name(person.number ^ 1);
    let talk = async {
        let room = person.client.direct(&neighbour).await.unwrap().id;
        let mut acks = Vec::new();
        for number in 0..MESSAGES {
            acks.push(person.client.enqueue(Outgoing::text(room, number.to_string())).await.unwrap());
        }
        for ack in acks {
            ack.wait().await.unwrap();
        }
        let mut taken = 0;
        while taken < 2 * MESSAGES {
            let incoming = person.inbox.next().await.expect("the client is open");
            taken += usize::from(matches!(incoming, Incoming::Entry(_)));
        }
    };
    timeout(PATIENCE, talk).await.expect("messages go through in time");
    person
}

/// Reads the log until it tells how many lines were dropped; gives how many it says.
async fn told(reader: &mut PipeReader) -> u64 {
    let flags = fcntl_getfl(&*reader).unwrap();
    fcntl_setfl(&*reader, flags | OFlags::NONBLOCK).unwrap();
    let (mut log, mut some) = (String::new(), [0; 64 * 1024]);
    let telling = async {
        loop {
            while let Ok(count @ 1..) = reader.read(&mut some) {
                log.push_str(&String::from_utf8_lossy(&some[..count]));
            }
            let mut whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole.find(|line| line.contains(TOLD)) {
                return number_after(line, "lines=");
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, telling).await.expect("the log tells of dropped lines once it is read")
}

fn number_after(line: &str, what: &str) -> u64 {
    let digits = line.split_once(what).unwrap().1;
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number in {line}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_do_not_mind_a_log_that_nobody_reads() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let (sessions, began) = (sessions(), Instant::now());
    let (mut reader, stderr) = stuck();
    let again = stderr.try_clone().unwrap();
    let broker = broker(folder, stderr);
    let http = broker.http.unwrap();
    let everybody = all_come(&Door::of(folder, &broker), sessions).await;
    let mut talking: JoinSet<_> = everybody.into_iter().map(talk).collect();
    let mut everybody = Vec::new();
    while let Some(person) = talking.join_next().await {
        everybody.push(person.unwrap());
    }
    assert_eq!(everybody.len(), sessions);
    assert!(page(http, "/livez").ends_with("alive\n"));
    // A line for each session, at least.
    let counted = dropped(http);
    assert!(counted + WAITING_MAX >= sessions as u64, "{counted} lines dropped");

    let told = told(&mut reader).await;
    assert!((counted..=dropped(http)).contains(&told), "{told} told, {counted} counted before");
    fill(&again);
    let asked = Instant::now();
    assert_eq!(tokio::task::spawn_blocking(move || broker.stop()).await.unwrap(), Some(0));
    assert!(asked.elapsed() < STOP_DEADLINE, "its end took {:?}", asked.elapsed());
    println!(
        "{sessions} sessions, {} messages, {told} lines dropped, ended after {:.2} s, {:.1} s in all",
        sessions * MESSAGES,
        asked.elapsed().as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
}
