//! The scheduler: one seed decides who does what next, when a commit goes on, and when the power
//! goes.
//!
//! The real log with its thread, applier and machine, on a disk that forgets; clients and time are
//! simulated. The committer always stands in a commit or has nothing to do, so nothing happens by
//! itself. Checks as it goes: what was acknowledged or delivered stays where it was, nothing is
//! doubled, nobody's messages change places, receipts stay.

use std::collections::HashMap;
use std::fmt::Arguments;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use wardline_storage::command::{Command, Create};
use wardline_storage::engine::{Direction, Durability, Engine, Mutation, Table};
use wardline_storage::id::{ClientMessageId, ConversationId, Seq, Timestamp, UserId};
use wardline_storage::key;
use wardline_storage::local::LocalLog;
use wardline_storage::log::{Bounds, Clock, Log, Reply, Share};
use wardline_storage::model::{Body, Kind, Person, Policy, Priority, Text};
use wardline_storage::record::Record as _;
use wardline_storage::view::View;

use crate::client::{Answer, Client, Message};
use crate::gate::{Ear, Gate, GatedDisk, Rest};
use crate::lossy::{Cache, Disk, LossyEngine, power_on};

const STEPS: u32 = 150;
const ROOMS: u8 = 2;

/// What a schedule did: the same for the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) digest: u64,
    pub(crate) steps: u64,
    pub(crate) cuts: u64,
    pub(crate) acknowledged: u64,
}

/// See the module's documentation.
pub(crate) struct World {
    random: StdRng,
    now: u64,
    clock: Arc<Wall>,
    disk: Arc<GatedDisk>,
    life: Life,
    clients: Vec<Client>,
    rooms: Vec<ConversationId>,
    sent: HashMap<ClientMessageId, Message>,
    /// Where messages are known to stand: acknowledged or delivered there.
    places: HashMap<ClientMessageId, Seq>,
    read: HashMap<(ConversationId, UserId), Seq>,
    hasher: DefaultHasher,
    trace: Trace,
    /// Every step is printed.
    is_told: bool,
}

/// The clock on everybody's wall.
struct Wall(AtomicU64);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// The log from its start to its end.
struct Life {
    log: LocalLog,
    /// Commands that it took.
    submitted: u64,
    /// A commit waits to be let through.
    is_committing: bool,
}

impl Life {
    fn start(disk: &Arc<GatedDisk>, clock: &Arc<Wall>) -> Self {
        let bounds = Bounds {
            waiting_commands_max: 24,
            waiting_bytes_max: 1 << 20,
            group_commands_max: 6,
            group_bytes_max: 1 << 20,
            group_records_max: 1_000,
            share: Share::ALL,
            receipts_wait: Duration::ZERO,
            close_timeout: Duration::from_secs(60),
        };
        let engine: Arc<dyn Engine> = Arc::clone(disk) as _;
        let clock = Arc::clone(clock);
        let log = LocalLog::start(engine, clock, bounds, Ear::begin(disk)).expect("the log starts");
        Self { log, submitted: 0, is_committing: false }
    }
}

type Objection = String;

impl World {
    /// Carries out one schedule.
    pub(crate) fn run(seed: u64, disk: Disk, is_told: bool) -> Result<Trace, Objection> {
        let mut world = Self::new(seed, disk, is_told);
        world.set_up();
        for _ in 0..STEPS {
            world.step()?;
        }
        world.finish()?;
        world.trace.digest = world.hasher.finish();
        Ok(world.trace)
    }

    fn new(seed: u64, disk: Disk, is_told: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let below = LossyEngine::new(Cache::new(disk, seed));
        let disk = Arc::new(GatedDisk { hooks: Gate::default(), below });
        let people = (0..random.random_range(2..6)).map(|index: u8| Person {
            user: UserId::new([index + 101; 16]),
            name: Text::new(format!("person {index}")),
        });
        let (now, day) = (1_800_000_000_000, Duration::from_secs(24 * 3600));
        let policy = Policy { retention_max: 30 * day, dedupe_window: day, members_max: 100, devices_max: 4 };
        let put = Mutation::Put {
            table: Table::Meta,
            key: Bytes::from_static(key::POLICY),
            value: policy.encode(),
            expires: Timestamp::NEVER,
        };
        disk.below.commit(&[put], Durability::Synced).expect("there is power");
        let clock = Arc::new(Wall(AtomicU64::new(now)));
        Self {
            clients: people.map(Client::new).collect(),
            random,
            now,
            life: Life::start(&disk, &clock),
            clock,
            disk,
            rooms: (0..ROOMS).map(|index| ConversationId::new([index + 1; 16])).collect(),
            sent: HashMap::new(),
            places: HashMap::new(),
            read: HashMap::new(),
            hasher: DefaultHasher::new(),
            trace: Trace { digest: 0, steps: 0, cuts: 0, acknowledged: 0 },
            is_told,
        }
    }

    fn set_up(&mut self) {
        let (replies, mut completions) = mpsc::channel(1);
        for room in self.rooms.clone() {
            let create = Command::Create(Create {
                conversation: room,
                kind: Kind::Group,
                others: self.clients[1..].iter().map(|client| client.person.clone()).collect(),
                title: Text::new("ward"),
                retention: None,
            });
            let submission = self.clients[0].submission(create);
            let seat = replies.clone().try_reserve_owned().expect("its only seat is free");
            let taken = self.life.log.submit(submission, Reply { ticket: 0, seat });
            assert!(taken.is_ok(), "an empty log takes it");
            self.wake();
            self.let_through();
            let created = completions.try_recv().expect("it was committed");
            assert!(matches!(created.verdict, Ok(Ok(_))), "a conversation can be made");
        }
        self.disk.below.hooks.settle();
    }

    /// One thing that somebody does.
    fn step(&mut self) -> Result<(), Objection> {
        self.trace.steps += 1;
        self.now += self.random.random_range(0..20);
        self.clock.0.store(self.now, Ordering::Relaxed);
        let who = self.random.random_range(0..self.clients.len());
        match self.random.random_range(0..100) {
            0..20 => self.write(who),
            20..50 => self.send(who),
            50..65 => return self.let_through_and_judge(),
            65..77 => return self.take_answers(who),
            77..88 => return self.receive(who),
            88..94 => self.send_receipt(who),
            94..97 => {
                let commits = self.random.random_range(0..3);
                self.note(format_args!("the power goes in {commits} commits"));
                self.disk.below.hooks.cut_after(commits);
            }
            97 => drop(self.disk.reclaim(self.life.log.applied().time).map_err(|error| error.to_string())?),
            _ => return self.end_now(),
        }
        Ok(())
    }

    /// Somebody puts a message in line.
    fn write(&mut self, who: usize) {
        let id = ClientMessageId::new(self.random.random());
        let room = self.rooms[self.random.random_range(0..self.rooms.len())];
        let length = self.random.random_range(0..12);
        let payload: Vec<u8> = (0..length).map(|_| self.random.random()).collect();
        let message = Message {
            id,
            room,
            sender: self.clients[who].person.user,
            payload: Bytes::from(payload),
            priority: if self.random.random_ratio(1, 5) { Priority::Urgent } else { Priority::Routine },
            turn: self.sent.len() as u64,
        };
        self.note(format_args!("{who} writes {id:?}"));
        self.sent.insert(id, message.clone());
        self.clients[who].put_in_line(message);
    }

    /// Somebody sends what is next in line.
    fn send(&mut self, who: usize) {
        let Some((submission, reply)) = self.clients[who].next() else { return };
        match self.life.log.submit(submission, reply) {
            Ok(()) => {
                self.clients[who].was_taken();
                self.note(format_args!("{who} sends"));
                self.wake();
            }
            Err((refused, reply)) => {
                self.clients[who].was_refused(&reply);
                self.note(format_args!("{who} is refused: {refused}"));
            }
        }
    }

    fn send_receipt(&mut self, who: usize) {
        let room = self.rooms[self.random.random_range(0..self.rooms.len())];
        let Some((submission, reply)) = self.clients[who].receipt(room) else { return };
        match self.life.log.submit(submission, reply) {
            Ok(()) => {
                self.note(format_args!("{who} sends a receipt"));
                self.wake();
            }
            Err((_, reply)) => self.clients[who].was_refused(&reply),
        }
    }

    /// A committer that had nothing to do has something now, and goes as far as the gate, or until
    /// it has nothing to do.
    fn wake(&mut self) {
        self.life.submitted += 1;
        self.let_rest();
    }

    /// Lets the commit that waits go on, and the committer as far as the next; whether it was
    /// committed.
    fn let_through(&mut self) -> bool {
        self.disk.hooks.let_one_through();
        self.let_rest() != Rest::Failed
    }

    fn let_rest(&mut self) -> Rest {
        let rest = self.disk.hooks.rest(self.life.submitted);
        self.life.is_committing = rest == Rest::Committing;
        rest
    }

    fn let_through_and_judge(&mut self) -> Result<(), Objection> {
        if !self.life.is_committing {
            return Ok(());
        }
        let committed = self.let_through();
        self.note(format_args!("a group: {committed}"));
        if committed { Ok(()) } else { self.begin_again() }
    }

    /// The power goes in the middle of the next commit, if there is one; else between two.
    fn end_now(&mut self) -> Result<(), Objection> {
        self.note(format_args!("the end"));
        self.disk.below.hooks.cut_after(0);
        if self.life.is_committing && self.let_through() {
            return Err("committed without power".into());
        }
        self.begin_again()
    }

    /// After the power went: what every client heard and what not, then the next life.
    fn begin_again(&mut self) -> Result<(), Objection> {
        self.trace.cuts += 1;
        for who in 0..self.clients.len() {
            // An answer that was sent may still have arrived.
            if self.random.random_bool(0.5) {
                self.take_answers(who)?;
            }
            self.clients[who].start_over();
        }
        // With the log in its place, the old one has let go of the engine.
        self.life.log.close();
        power_on(&self.disk.below);
        self.life = Life::start(&self.disk, &self.clock);
        self.audit()
    }

    fn take_answers(&mut self, who: usize) -> Result<(), Objection> {
        while let Some(answer) = self.clients[who].answer() {
            match answer {
                Answer::Published(id, seq) => {
                    self.note(format_args!("{who} hears of {id:?} at {seq}"));
                    self.trace.acknowledged += 1;
                    self.stands(id, seq)?;
                }
                Answer::Read(room, seq) => {
                    let known = self.read.entry((room, self.clients[who].person.user)).or_default();
                    *known = (*known).max(seq);
                }
                Answer::Rejected | Answer::Lost => {}
            }
        }
        Ok(())
    }

    /// Somebody receives what lies after their cursor.
    fn receive(&mut self, who: usize) -> Result<(), Objection> {
        let room = self.rooms[self.random.random_range(0..self.rooms.len())];
        let cursor = self.clients[who].cursors.get(&room).copied().unwrap_or_default();
        let most = self.random.random_range(1..8);
        let entries = self.entries(who, room, cursor, most)?;
        for (index, (seq, message)) in entries.into_iter().enumerate() {
            if seq.0 != cursor.0 + 1 + index as u64 {
                return Err(format!("{seq} is delivered after {}", cursor.0 + index as u64));
            }
            self.note(format_args!("{who} receives {seq}"));
            self.stands(message, seq)?;
            self.clients[who].cursors.insert(room, seq);
        }
        Ok(())
    }

    /// A message was found at a place, and stays there.
    fn stands(&mut self, id: ClientMessageId, seq: Seq) -> Result<(), Objection> {
        match self.places.insert(id, seq) {
            Some(before) if before != seq => Err(format!("{id:?} stood at {before}, and now at {seq}")),
            _ => Ok(()),
        }
    }

    /// Everything, as it is in the store.
    fn audit(&mut self) -> Result<(), Objection> {
        for room in self.rooms.clone() {
            let entries = self.entries(0, room, Seq::ZERO, usize::MAX)?;
            let mut found = HashMap::new();
            let mut turns: HashMap<(UserId, bool), u64> = HashMap::new();
            for (index, (seq, id)) in entries.iter().enumerate() {
                if seq.0 != index as u64 + 1 {
                    return Err(format!("{seq} stands at place {}", index + 1));
                }
                if found.insert(*id, *seq).is_some() {
                    return Err(format!("{id:?} is there twice"));
                }
                let message = &self.sent[id];
                let lane = (message.sender, message.priority == Priority::Urgent);
                let turn = turns.entry(lane).or_default();
                if message.turn < *turn {
                    return Err(format!("{seq} overtook an earlier one of its sender"));
                }
                *turn = message.turn;
            }
            for (id, seq) in self.places.iter().filter(|(id, _)| self.sent[*id].room == room) {
                if found.get(id) != Some(seq) {
                    return Err(format!("{id:?} was acknowledged or delivered at {seq}, and is lost"));
                }
            }
            for who in 0..self.clients.len() {
                let user = self.clients[who].person.user;
                let view = View::new(&*self.disk, Timestamp(self.now));
                let access = view.access(user, room).map_err(|error| error.to_string())?;
                let rules = view.rules().map_err(|error| error.to_string())?;
                let summary = view.summary(access.ok_or("a membership is lost")?, &rules);
                let read = summary.map_err(|error| error.to_string())?.cursor.read;
                let known = self.read.get(&(room, user)).copied().unwrap_or_default();
                if read < known {
                    return Err(format!("{who} had read up to {known}, and then only up to {read}"));
                }
            }
            self.note(format_args!("{room:?} has {}", found.len()));
        }
        Ok(())
    }

    /// The messages after a place, as somebody reads them; what nobody sent is an objection.
    fn entries(
        &self,
        who: usize,
        room: ConversationId,
        after: Seq,
        most: usize,
    ) -> Result<Vec<(Seq, ClientMessageId)>, Objection> {
        let view = View::new(&*self.disk, Timestamp(self.now));
        let access = view.access(self.clients[who].person.user, room).map_err(|error| error.to_string())?;
        let access = access.ok_or("a membership is lost")?;
        let chunk = view.entries(&access, after, Direction::Forward, most, usize::MAX);
        let mut entries = Vec::new();
        for placed in chunk.map_err(|error| error.to_string())?.entries {
            let Body::Message(message) = &placed.entry.body else { continue };
            let sent = self.sent.get(&message.client_id).ok_or("nobody sent what is there")?;
            if (sent.room, sent.sender, &sent.payload) != (room, placed.entry.sender, &message.payload) {
                return Err(format!("{} is not as it was sent", placed.seq));
            }
            entries.push((placed.seq, message.client_id));
        }
        Ok(entries)
    }

    /// Lets everybody finish, and looks at everything.
    fn finish(&mut self) -> Result<(), Objection> {
        for round in 0.. {
            if self.clients.iter().all(Client::is_done) && !self.life.is_committing {
                break;
            }
            assert!(round < 10_000, "it comes to an end");
            for who in 0..self.clients.len() {
                self.send(who);
                self.take_answers(who)?;
            }
            self.let_through_and_judge()?;
        }
        let missing = self.sent.keys().find(|id| !self.places.contains_key(id));
        if let Some(id) = missing {
            return Err(format!("{id:?} was never acknowledged"));
        }
        self.life.log.close();
        self.audit()
    }

    #[allow(clippy::print_stdout)] // for whoever replays a schedule
    fn note(&mut self, what: Arguments<'_>) {
        let text = what.to_string();
        if self.is_told {
            println!("{} {} {text}", self.trace.steps, self.now);
        }
        self.hasher.write_u64(self.now);
        self.hasher.write(text.as_bytes());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // After an objection the committer may stand in a commit: without this, letting go of the
        // log would wait for it.
        if self.life.is_committing {
            self.disk.below.hooks.cut_after(0);
            self.disk.hooks.let_one_through();
        }
    }
}
