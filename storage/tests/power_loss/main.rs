//! A cut of the power at any moment loses nothing that was acknowledged, and doubles nothing that
//! is sent again.
//!
//! `kill -9` cannot show a missing sync, since the operating system keeps what was written. Here
//! the disk forgets. Threads interleave, so a seed gives the same plan, not the same schedule.
//! `WARDLINE_SEED` replays one plan.

mod lossy;
mod oracle;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use wardline_storage::command::{
    Acknowledge, Actor, Command, Create, Event, Outcome, Publish, Rights, Submission,
};
use wardline_storage::engine::{Direction, Engine, EngineError};
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq, TenantId, Timestamp, UserId};
use wardline_storage::local::LocalLog;
use wardline_storage::log::{Bounds, Clock, Completion, GroupStats, Log, Observer, Reply, Share};
use wardline_storage::model::{Body, Kind, Person, Policy, Priority, Text};
use wardline_storage::view::View;

use lossy::{Cache, Disk, LossyEngine, power_on};
use oracle::{Found, Objection, Oracle};

const SEEDS: u64 = 150;
const CUTS: u32 = 3;
const COMMANDS: usize = 80;
const CONVERSATIONS: u8 = 3;
const PEOPLE: u8 = 4;
const WINDOW: usize = 32;

#[test]
fn acknowledged_is_there_after_every_cut() {
    for seed in seeds() {
        if let Err(objection) = Trial::new(seed, Disk::Honest).run() {
            panic!("WARDLINE_SEED={seed}: {objection}");
        }
    }
}

/// What proves that the test above can see: the same without syncs must not pass.
#[test]
fn a_missing_sync_is_seen() {
    let seen = (0..SEEDS).filter(|seed| Trial::new(*seed, Disk::Ignoring).run().is_err()).count();
    assert!(seen > SEEDS as usize / 2, "only {seen} of {SEEDS} runs saw that syncs are ignored");
}

#[test]
fn the_oracle_objects() {
    let (conversation, user) = (conversation(0), person(0).user);
    let found = |seq: u64, id: u8, text: &'static str| Found {
        seq: Seq(seq),
        sender: user,
        id: ClientMessageId::new([id; 16]),
        payload: Bytes::from_static(text.as_bytes()),
    };
    let mut oracle = Oracle::default();
    for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
        oracle.submitted(ClientMessageId::new([id; 16]), conversation, user, Bytes::from(text));
    }
    oracle.acknowledged(ClientMessageId::new([1; 16]), Seq(1)).unwrap();
    oracle.acknowledged(ClientMessageId::new([2; 16]), Seq(2)).unwrap();
    let (one, two, three) = (found(1, 1, "one"), found(2, 2, "two"), found(3, 3, "three"));
    let check = |messages: &[Found]| oracle.check(conversation, messages);

    // The third was not acknowledged: it may be there or not.
    check(&[one.clone(), two.clone()]).unwrap();
    check(&[one.clone(), two.clone(), three.clone()]).unwrap();

    let object = |messages: &[Found], why: &str| {
        let objection = check(messages).unwrap_err();
        assert!(objection.contains(why), "{objection}");
    };
    object(std::slice::from_ref(&one), "lost");
    object(&[one.clone(), two.clone(), found(3, 2, "two")], "twice");
    object(&[two.clone(), one.clone()], "stands after");
    object(&[found(1, 3, "three"), found(2, 1, "one")], "another place");
    object(&[one.clone(), found(2, 2, "tow")], "not as it was sent");
    object(&[one.clone(), two.clone(), found(3, 9, "nine")], "nobody sent");

    let mut unacknowledged = Oracle::default();
    for id in [1, 2] {
        unacknowledged.submitted(ClientMessageId::new([id; 16]), conversation, user, Bytes::from("m"));
    }
    let swapped = [found(1, 2, "m"), found(2, 1, "m")];
    assert!(unacknowledged.check(conversation, &swapped).unwrap_err().contains("overtook"));

    oracle.has_read(conversation, user, Seq(2));
    oracle.check_read(conversation, user, Seq(2)).unwrap();
    assert!(oracle.check_read(conversation, user, Seq(1)).unwrap_err().contains("then only"));
    assert!(oracle.acknowledged(ClientMessageId::new([1; 16]), Seq(4)).unwrap_err().contains("then at"));
}

fn seeds() -> impl Iterator<Item = u64> {
    let chosen =
        std::env::var("WARDLINE_SEED").ok().map(|text| text.parse().expect("WARDLINE_SEED: a number"));
    chosen.map_or(0..SEEDS, |seed| seed..seed + 1)
}

fn conversation(index: u8) -> ConversationId {
    ConversationId::new([index + 1; 16])
}

fn person(index: u8) -> Person {
    Person { user: UserId::new([index + 101; 16]), name: Text::new(format!("person {index}")) }
}

/// Hears nothing: what matters here is what is stored.
struct Deaf;

impl Observer for Deaf {
    fn committed(&mut self, _group: GroupStats, _events: Vec<Event>) {}
    fn failed(&mut self, _error: &EngineError) {}
}

/// Stands still: what expires is none of this test's business.
struct Stopped;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// What a submission on its way will tell the oracle.
enum Asked {
    Setup,
    Message(ClientMessageId),
    Read(ConversationId, UserId),
}

/// One store through several cuts.
struct Trial {
    engine: Arc<LossyEngine>,
    oracle: Oracle,
    random: StdRng,
    asked: Vec<Asked>,
}

/// One life of the log, from start to cut.
struct Life {
    log: LocalLog,
    replies: mpsc::Sender<Completion>,
    completions: mpsc::Receiver<Completion>,
    in_flight: usize,
}

impl Trial {
    fn new(seed: u64, disk: Disk) -> Self {
        Self {
            engine: Arc::new(LossyEngine::new(Cache::new(disk, seed))),
            oracle: Oracle::default(),
            random: StdRng::seed_from_u64(seed),
            asked: Vec::new(),
        }
    }

    fn run(mut self) -> Result<(), Objection> {
        let mut life = self.start();
        let day = Duration::from_secs(24 * 3600);
        let policy = Policy { retention_max: 30 * day, dedupe_window: day, members_max: 100, devices_max: 4 };
        self.submit(&mut life, 0, Command::SetPolicy(policy), Asked::Setup)?;
        for index in 0..CONVERSATIONS {
            let create = Create {
                conversation: conversation(index),
                kind: Kind::Group,
                others: (1..PEOPLE).map(person).collect(),
                title: Text::new("ward"),
                retention: None,
            };
            self.submit(&mut life, 0, Command::Create(create), Asked::Setup)?;
        }
        self.drain(&mut life, 0)?;
        self.engine.hooks.settle();
        for _ in 0..CUTS {
            self.engine.hooks.cut_after(self.random.random_range(0..12));
            self.talk(&mut life)?;
            self.drain(&mut life, 0)?;
            drop(life);
            power_on(&self.engine);
            self.check()?;
            life = self.start();
            self.repeat(&mut life)?;
            self.check()?;
        }
        Ok(())
    }

    fn start(&self) -> Life {
        let bounds = Bounds {
            waiting_commands_max: 1024,
            waiting_bytes_max: 1 << 20,
            group_commands_max: 16,
            group_bytes_max: 1 << 20,
            group_records_max: 1_000,
            share: Share::ALL,
            receipts_wait: Duration::ZERO,
            close_timeout: Duration::from_secs(10),
        };
        let engine: Arc<dyn Engine> = Arc::clone(&self.engine) as _;
        let log = LocalLog::start(engine, Arc::new(Stopped), bounds, Deaf)
            .expect("the engine can be read and there are threads");
        let (replies, completions) = mpsc::channel(WINDOW);
        Life { log, replies, completions, in_flight: 0 }
    }

    /// Submits messages and receipts until the power goes or the plan is at its end.
    fn talk(&mut self, life: &mut Life) -> Result<(), Objection> {
        for _ in 0..COMMANDS {
            let (who, place) = (
                self.random.random_range(0..PEOPLE),
                conversation(self.random.random_range(0..CONVERSATIONS)),
            );
            let sender = person(who).user;
            let going = if self.random.random_ratio(1, 4) {
                let read = self.random.random_range(1..=4);
                let read = self.watermark(place, sender)?.0 + read;
                let acknowledge =
                    Acknowledge { conversation: place, read: Some(Seq(read)), ..Acknowledge::default() };
                self.submit(life, who, Command::Acknowledge(acknowledge), Asked::Read(place, sender))?
            } else {
                let id = ClientMessageId::new(self.random.random());
                let payload = Bytes::copy_from_slice(&self.random.random::<[u8; 24]>());
                self.oracle.submitted(id, place, sender, payload.clone());
                self.submit(life, who, publish(place, id, payload), Asked::Message(id))?
            };
            if !going {
                break;
            }
            let keep = self.random.random_range(0..WINDOW);
            self.drain(life, keep)?;
        }
        Ok(())
    }

    /// Submits everything again, acknowledged or not: nothing may be doubled or get another place.
    fn repeat(&mut self, life: &mut Life) -> Result<(), Objection> {
        let mut all: Vec<_> = self.oracle.all().map(|(id, sent)| (id, sent.clone())).collect();
        all.sort_by_key(|(_, sent)| sent.turn);
        for (id, sent) in all {
            let who = (0..PEOPLE).find(|who| person(*who).user == sent.sender).expect("one of the people");
            self.submit(life, who, publish(sent.conversation, id, sent.payload), Asked::Message(id))?;
        }
        self.drain(life, 0)
    }

    /// Hands a command in; `false`: the log takes nothing in any more.
    fn submit(
        &mut self,
        life: &mut Life,
        who: u8,
        command: Command,
        asked: Asked,
    ) -> Result<bool, Objection> {
        self.drain(life, WINDOW - 1)?;
        let person = person(who);
        let actor = Arc::new(Actor {
            tenant: TenantId::new([1; 16]),
            user: person.user,
            name: person.name,
            device: DeviceId::new(*person.user.as_bytes()),
            rights: Rights::default(),
        });
        let submission = Submission { actor, command };
        let seat = life.replies.clone().try_reserve_owned().expect("at most WINDOW are in flight");
        self.asked.push(asked);
        let ticket = self.asked.len() as u64 - 1;
        let taken = life.log.submit(submission, Reply { ticket, seat }).is_ok();
        life.in_flight += usize::from(taken);
        Ok(taken)
    }

    /// Waits for replies until at most `keep` are in flight, and tells the oracle of them.
    fn drain(&mut self, life: &mut Life, keep: usize) -> Result<(), Objection> {
        while life.in_flight > keep {
            let completion = life.completions.blocking_recv().expect("we hold a sender");
            life.in_flight -= 1;
            let Ok(verdict) = completion.verdict else { continue };
            match (&self.asked[completion.ticket as usize], verdict) {
                (Asked::Message(id), Ok(Outcome::Published { seq, .. })) => {
                    self.oracle.acknowledged(*id, seq)?;
                }
                (Asked::Read(place, user), Ok(Outcome::Acknowledged { read, .. })) => {
                    self.oracle.has_read(*place, *user, read);
                }
                // Beyond the head or behind: refused, so nothing changed.
                (Asked::Read(..), Err(_)) | (Asked::Setup, Ok(_)) => {}
                (_, verdict) => return Err(format!("unexpected verdict {verdict:?}")),
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Objection> {
        for place in (0..CONVERSATIONS).map(conversation) {
            let view = View::new(&*self.engine, NOW);
            let access = view.access(person(0).user, place).map_err(|error| error.to_string())?;
            let access = access.ok_or("a conversation is lost")?;
            let chunk = view.entries(&access, Seq::ZERO, Direction::Forward, 10_000, usize::MAX);
            let chunk = chunk.map_err(|error| error.to_string())?;
            let found: Vec<_> = chunk
                .entries
                .into_iter()
                .filter_map(|placed| match placed.entry.body {
                    Body::Message(message) => Some(Found {
                        seq: placed.seq,
                        sender: placed.entry.sender,
                        id: message.client_id,
                        payload: message.payload,
                    }),
                    _ => None,
                })
                .collect();
            self.oracle.check(place, &found)?;
            for who in 0..PEOPLE {
                let user = person(who).user;
                self.oracle.check_read(place, user, self.watermark(place, user)?)?;
            }
        }
        Ok(())
    }

    fn watermark(&self, place: ConversationId, user: UserId) -> Result<Seq, Objection> {
        let view = View::new(&*self.engine, NOW);
        let access = view.access(user, place).map_err(|error| error.to_string())?;
        let rules = view.rules().map_err(|error| error.to_string())?;
        let summary =
            view.summary(access.ok_or("a membership is lost")?, &rules).map_err(|error| error.to_string())?;
        Ok(summary.cursor.read)
    }
}

fn publish(conversation: ConversationId, client_id: ClientMessageId, payload: Bytes) -> Command {
    Command::Publish(Publish {
        conversation,
        client_id,
        content_type: Text::new("text/plain"),
        payload,
        priority: Priority::Routine,
        reply_to: None,
        expires_in: None,
    })
}
