//! `kill -9` at any moment, SIGTERM, a full disk, a destroyed one: nothing acknowledged is lost,
//! nothing doubled, nothing reordered, no receipt goes back.
//!
//! The real binary with RocksDB, ended again and again at random moments under people who publish
//! and read without pause. After each restart everything is read back over QUIC and judged by the
//! oracle. `WARDLINE_SEED` and `WARDLINE_CYCLES` are honoured; the seed is printed.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod drain;
mod drill;
mod failure;
mod oracle;
mod people;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wardline_client::{ConversationId, MessageId, NewConversation, Recipient};

use oracle::{Found, Oracle};
use people::{PATIENCE, Person, options};
use server::Server;

const CYCLES: u64 = 20;
const NAMES: [&str; 4] = ["ann", "bob", "cy", "dee"];
const ROOMS: usize = 3;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: a whole number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let seed = variable("WARDLINE_SEED").unwrap_or_else(rand::random);
    let cycles = variable("WARDLINE_CYCLES").unwrap_or(CYCLES);
    println!("WARDLINE_SEED={seed} WARDLINE_CYCLES={cycles}");
    let began = Instant::now();
    let mut trial = Trial::start(seed).await;
    for cycle in 0..cycles {
        trial.crash(cycle).await;
    }
    let messages = trial.finish().await;
    println!("{messages} messages, {cycles} kills, {:.1} s", began.elapsed().as_secs_f64());
}

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A broker under people who never stop, and who judges them.
struct Trial {
    seed: u64,
    random: StdRng,
    folder: TempDir,
    server: Option<Server>,
    people: Vec<Person>,
    rooms: Vec<ConversationId>,
    oracle: Arc<Mutex<Oracle>>,
    quiet: CancellationToken,
    lives: Vec<tokio::task::JoinSet<()>>,
}

impl Trial {
    async fn start(seed: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let mut trial = Self {
            seed,
            random: StdRng::seed_from_u64(seed),
            folder,
            server: None,
            people: Vec::new(),
            rooms: Vec::new(),
            oracle: Arc::default(),
            quiet: CancellationToken::new(),
            lives: Vec::new(),
        };
        trial.serve();
        let mut inboxes = Vec::new();
        for name in NAMES {
            let (person, inbox) = Person::connect(trial.options(name), name).await;
            trial.people.push(person);
            inboxes.push(inbox);
        }
        for _ in 0..ROOMS {
            let members = NAMES[1..].iter().map(ToString::to_string).collect();
            let new = NewConversation { title: "Ward".into(), members, retention: None };
            trial.rooms.push(trial.people[0].client.create_group(new).await.unwrap().id);
        }
        for (person, inbox) in trial.people.iter().zip(inboxes) {
            let own_seed = trial.random.random();
            trial.lives.push(person.live(inbox, &trial.rooms, &trial.oracle, own_seed, &trial.quiet));
        }
        trial
    }

    fn options(&self, name: &str) -> wardline_client::Options {
        let address = self.server.as_ref().expect("a broker runs").address;
        options(&self.data(), address, name)
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the broker, at the address that it had before.
    fn serve(&mut self) {
        let listen = self.server.take().map(|server| {
            let address = server.address;
            server.kill();
            address
        });
        let listen = listen.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let log = self.folder.path().join("log");
        self.server = Some(tokio::task::block_in_place(|| Server::start(&self.data(), listen, log)));
    }

    /// Kills the broker at a random moment, starts it again, and reads everything back.
    async fn crash(&mut self, cycle: u64) {
        let moment = Duration::from_micros(self.random.random_range(0..400_000));
        tokio::time::sleep(moment).await;
        self.serve();
        // Somebody else each time, and everybody at the end.
        let reader = NAMES[cycle as usize % NAMES.len()];
        self.read_back(reader).await;
        self.judge(&format!("cycle {cycle}"));
    }

    /// Reads all histories and watermarks as somebody, over a connection of its own, while
    /// everybody goes on.
    async fn read_back(&self, name: &str) {
        let (reader, _inbox) = Person::connect(self.options(name), name).await;
        for room in &self.rooms {
            let expected = self.oracle.lock().expect(*room);
            let found = reader.history(*room).await;
            self.oracle.lock().check_history(&expected, &found);
        }
        let before: Vec<_> =
            self.rooms.iter().map(|room| (*room, self.oracle.lock().expect_read(*room, name))).collect();
        let listed = reader.client.conversations(0, None).await.unwrap().items;
        for (room, expected) in before {
            let found = listed.iter().find(|one| one.id == room).expect("the room is in the list").read_up_to;
            self.oracle.lock().check_read(room, name, expected, found);
        }
        reader.client.close(PATIENCE).await;
    }

    fn judge(&self, when: &str) {
        let oracle = self.oracle.lock();
        let objections = oracle.objections();
        assert!(
            objections.is_empty(),
            "{when}, WARDLINE_SEED={}: {} objections, the first: {:?}\n{}",
            self.seed,
            objections.len(),
            &objections[..objections.len().min(5)],
            std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default(),
        );
    }

    /// Lets everybody finish, reads everything back as everybody, stops the broker; gives the
    /// number of messages.
    async fn finish(mut self) -> usize {
        self.quiet.cancel();
        self.until("all to be acknowledged", |trial| trial.oracle.lock().unknown() == 0).await;
        let mut heads = Vec::new();
        for room in &self.rooms {
            heads.push((*room, self.people[0].history(*room).await.len() as u64));
        }
        self.until("all to be delivered", |trial| {
            let oracle = trial.oracle.lock();
            heads
                .iter()
                .all(|(room, head)| NAMES.iter().all(|name| oracle.delivered_up_to(*room, name) >= *head))
        })
        .await;
        for name in NAMES {
            self.read_back(name).await;
        }
        self.check_record(&heads).await;
        self.judge("at the end");
        let messages = self.oracle.lock().acknowledged();
        assert_eq!(messages as u64, heads.iter().map(|(_, head)| head).sum::<u64>());
        for person in &self.people {
            person.client.close(PATIENCE).await;
        }
        for mut life in std::mem::take(&mut self.lives) {
            while let Some(ended) = life.join_next().await {
                ended.expect("nobody panicked");
            }
        }
        assert!(self.server.take().expect("a broker runs").terminate().success(), "a graceful end");
        messages
    }

    /// Whoever read up to somewhere has a receipt for every message up to there.
    async fn check_record(&self, heads: &[(ConversationId, u64)]) {
        let asker = &self.people[0];
        for (room, head) in heads.iter().filter(|(_, head)| *head > 0) {
            for sequence in [1, head.div_ceil(2), *head] {
                let record = asker.client.receipts(*room, sequence, 0, None).await.unwrap().items;
                for Recipient { user, delivered_at_ms, read_at_ms } in record {
                    if self.oracle.lock().expect_read(*room, &user) >= sequence {
                        assert!(
                            read_at_ms.is_some() && delivered_at_ms <= read_at_ms,
                            "{sequence} of {head}"
                        );
                    }
                }
            }
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            self.judge(what);
            assert!(Instant::now() < deadline, "WARDLINE_SEED={}: waited too long for {what}", self.seed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[test]
fn the_oracle_objects() {
    let room = ConversationId([1; 16]);
    let id = |number: u8| MessageId([number; 16]);
    let found = |sequence, number, text: &'static str| Found {
        sequence,
        sender: "ann".into(),
        id: id(number),
        payload: Bytes::from_static(text.as_bytes()),
    };
    // One and two are acknowledged, three is unknown, four was refused.
    let oracle = || {
        let mut oracle = Oracle::default();
        for (number, text) in [(1, "one"), (2, "two"), (3, "three"), (4, "four")] {
            oracle.invoked(id(number), room, "ann", Bytes::from_static(text.as_bytes()));
        }
        oracle.acked(id(1), 1);
        oracle.acked(id(2), 2);
        oracle.refused(id(4));
        oracle
    };
    let reads = |histories: &[Vec<Found>]| {
        let mut oracle = oracle();
        for history in histories {
            let expected = oracle.expect(room);
            oracle.check_history(&expected, history);
        }
        oracle.objections().join("; ")
    };
    let (one, two, three) = (found(1, 1, "one"), found(2, 2, "two"), found(3, 3, "three"));
    let good = vec![one.clone(), two.clone()];
    let more = vec![one.clone(), two.clone(), three.clone()];
    assert_eq!(reads(&[good.clone(), more.clone(), more.clone()]), "");
    for (why, histories) in [
        ("is lost", vec![vec![one.clone()]]),
        ("is lost", vec![more.clone(), good]),
        ("twice", vec![vec![one.clone(), two.clone(), found(3, 2, "two")]]),
        ("at place", vec![vec![two.clone(), one.clone()]]),
        ("overtook", vec![vec![found(1, 2, "two"), found(2, 1, "one")]]),
        ("at place", vec![vec![one.clone(), two.clone(), found(4, 3, "three")]]),
        ("not as it was sent", vec![vec![one.clone(), found(2, 2, "tow")]]),
        ("nobody sent", vec![vec![one.clone(), two.clone(), found(3, 9, "nine")]]),
        ("was refused", vec![vec![one.clone(), two.clone(), found(3, 4, "four")]]),
    ] {
        assert!(reads(&histories).contains(why), "{why}: {}", reads(&histories));
    }

    let deliveries = |messages: &[&Found]| {
        let mut oracle = oracle();
        messages.iter().for_each(|message| oracle.delivered(room, "bob", message));
        oracle.objections().join("; ")
    };
    assert_eq!(deliveries(&[&one, &two, &three]), "");
    for twisted in [&[&one, &one][..], &[&two], &[&one, &three], &[&one, &two, &one]] {
        assert!(deliveries(twisted).contains("was delivered after"));
    }

    let mut receipts = oracle();
    receipts.acked_read(room, "bob", 2);
    receipts.check_read(room, "bob", 2, 3);
    assert!(receipts.objections().is_empty());
    let expected = receipts.expect_read(room, "bob");
    receipts.check_read(room, "bob", expected, 2);
    assert!(receipts.objections().join("").contains("then only to 2"));
    let mut moved = oracle();
    moved.acked(id(1), 7);
    assert!(moved.objections().join("").contains("acknowledged at 7"));
}
