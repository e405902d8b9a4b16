//! What all tasks of one repetition share: the plan made real, the books, and the publishers'
//! desks.
//!
//! Everything runs on one thread, so this is plain cells and no locks; no borrow is held across an
//! await. Invariant: whatever falls due is counted here once, and ends as acknowledged, failed, or
//! unanswered.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::ops::Range;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, LogNormal};
use tokio::sync::Notify;
use wardline_client::{Client, ConversationId, DeviceId, PendingAck};

use super::clock::Clock;
use crate::measure::ledger::Ledger;
use crate::measure::recorder::{Name, Recorder};
use crate::measure::stamp::Stamp;
use crate::plan::{Person, Plan, Room, Target};
use crate::seed::{Purpose, mix};
use crate::workload::{Landing, Reads, Workload};

/// Most troubles that are told apart.
const TROUBLES_MAX: usize = 5;
/// Recent messages of a publisher whose receipts are timed.
const RECENT_MAX: usize = 1024;

/// What all tasks share.
pub(crate) struct Stage {
    pub(crate) workload: Workload,
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    /// By person: their user id.
    pub(crate) users: Vec<String>,
    /// By person.
    pub(crate) devices: Vec<DeviceId>,
    /// By person: their conversations, and their place in each.
    pub(crate) seats: Vec<Vec<(Room, u32)>>,
    /// By room.
    pub(crate) conversations: Vec<ConversationId>,
    pub(crate) rooms: HashMap<ConversationId, Room>,
    /// By person; `None`: away.
    pub(crate) clients: RefCell<Vec<Option<Client>>>,
    /// By person; `None`: never publishes.
    pub(crate) desks: Vec<Option<Desk>>,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) reading: RefCell<Reading>,
    pub(crate) window: Window,
    pub(crate) totals: Totals,
    /// By person: whether they stop reading.
    pub(crate) is_slow: Vec<bool>,
    /// When those do not read.
    pub(crate) slow_ns: RefCell<Range<u64>>,
    /// By room and publisher: recent messages, by place, and when they were due.
    recent: RefCell<HashMap<(Room, u32), VecDeque<Recent>>>,
    troubles: RefCell<Vec<String>>,
}

/// Counted since the repetition began, warm-up included.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) due: Cell<u64>,
    pub(crate) acked: Cell<u64>,
    pub(crate) failed: Cell<u64>,
    pub(crate) received: Cell<u64>,
    /// Entries that tell of a conversation's making.
    pub(crate) noticed: Cell<u64>,
}

/// What a publisher has to do.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) due: RefCell<VecDeque<Due>>,
    pub(crate) due_bell: Notify,
    /// The publisher waits for a seat in the SDK's window.
    pub(crate) is_waiting: Cell<bool>,
    pub(crate) flights: RefCell<VecDeque<Flight>>,
    pub(crate) flight_bell: Notify,
}

/// A message that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) target: Target,
    pub(crate) payload_bytes: usize,
    pub(crate) intended_ns: u64,
    /// Nothing was in its way when it fell due: if it is sent late, the generator is late.
    pub(crate) is_free: bool,
}

/// A message without an answer.
pub(crate) struct Flight {
    pub(crate) pending: PendingAck,
    pub(crate) stamp: Stamp,
}

/// What a closed loop has in flight.
#[derive(Default)]
pub(crate) struct Window {
    pub(crate) until: Cell<Option<Landing>>,
    pub(crate) in_flight: Cell<u32>,
    pub(crate) bell: Notify,
    /// By room and stream.
    aloft: RefCell<HashMap<(u32, u32), Aloft>>,
}

/// Messages of one stream that have not landed.
struct Aloft {
    /// The counter of the first.
    first: u64,
    /// How many members each from there still lacks.
    lacking: VecDeque<u32>,
}

/// A message whose receipts are timed.
struct Recent {
    sequence: u64,
    intended_ns: u64,
    is_urgent: bool,
}

/// Everybody, connected.
pub(crate) struct People {
    pub(crate) users: Vec<String>,
    pub(crate) devices: Vec<DeviceId>,
    pub(crate) clients: Vec<Client>,
}

/// Who reads what, when.
pub(crate) struct Reading {
    /// When, who, and which of their seats.
    due: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// By person and seat: up to where they will have read by then; 0: nothing is unread.
    up_to: Vec<Vec<u64>>,
    delay: Option<LogNormal<f64>>,
    rng: SmallRng,
}

impl Stage {
    /// Everybody is there, and nothing has happened yet.
    pub(crate) fn new(
        workload: &Workload,
        plan: Plan,
        seed: u64,
        run: u64,
        people: People,
        conversations: Vec<ConversationId>,
    ) -> Self {
        let seats = plan.seats();
        let mut is_slow = vec![false; people.users.len()];
        for person in &plan.slow {
            is_slow[person.0 as usize] = true;
        }
        let rooms = conversations.iter().enumerate().map(|(room, id)| (*id, Room(room as u32)));
        Self {
            workload: workload.clone(),
            clock: Clock::start(),
            rooms: rooms.collect(),
            desks: plan.publishes().into_iter().map(|publishes| publishes.then(Desk::default)).collect(),
            ledger: RefCell::new(Ledger::new(&plan, run)),
            recorder: RefCell::new(Recorder::new(0..0, false)),
            reading: RefCell::new(Reading::new(workload.reads, &seats, seed)),
            window: Window::default(),
            totals: Totals::default(),
            slow_ns: RefCell::new(0..0),
            recent: RefCell::default(),
            troubles: RefCell::default(),
            clients: RefCell::new(people.clients.into_iter().map(Some).collect()),
            users: people.users,
            devices: people.devices,
            plan,
            seats,
            conversations,
            is_slow,
        }
    }

    /// A message falls due.
    pub(crate) fn fall_due(&self, target: Target, payload_bytes: usize, intended_ns: u64) {
        bump(&self.totals.due);
        self.recorder.borrow_mut().flows(intended_ns, |flow| flow.due += 1);
        let person = self.plan.publisher(target);
        let desk = self.desk(person);
        let mut due = desk.due.borrow_mut();
        let is_free = due.is_empty() && !desk.is_waiting.get();
        due.push_back(Due { target, payload_bytes, intended_ns, is_free });
        desk.due_bell.notify_one();
    }

    /// The desk of somebody who publishes.
    pub(crate) fn desk(&self, person: Person) -> &Desk {
        self.desks[person.0 as usize].as_ref().expect("whoever publishes has a desk")
    }

    /// The broker acknowledged a message.
    pub(crate) fn acked(&self, stamp: &Stamp, sequence: u64) {
        let now_ns = self.clock.now_ns();
        bump(&self.totals.acked);
        self.ledger.borrow_mut().acked(stamp, sequence);
        let mut recorder = self.recorder.borrow_mut();
        recorder.flows(now_ns, |flow| flow.acked += 1);
        if recorder.counts_at(stamp.intended_ns) {
            recorder.counts.acked += 1;
            let is_urgent = stamp.is_urgent();
            recorder.record(Name::PublishAck.urgent(is_urgent), stamp.intended_ns, now_ns);
            recorder.record(Name::PublishAckService.urgent(is_urgent), stamp.sent_ns, now_ns);
            let mut recent = self.recent.borrow_mut();
            let recent = recent.entry((Room(stamp.room), stamp.publisher())).or_default();
            if recent.len() == RECENT_MAX {
                recent.pop_front();
            }
            recent.push_back(Recent { sequence, intended_ns: stamp.intended_ns, is_urgent });
        }
        drop(recorder);
        if self.window.until.get() == Some(Landing::Acked) {
            self.window.land();
        }
    }

    /// The SDK gave a message up.
    pub(crate) fn failed(&self, stamp: &Stamp, why: String) {
        bump(&self.totals.failed);
        self.ledger.borrow_mut().failed(stamp);
        let mut recorder = self.recorder.borrow_mut();
        if recorder.counts_at(stamp.intended_ns) {
            recorder.counts.failed += 1;
        }
        self.trouble(why);
        self.window.land();
    }

    /// A publisher learns that somebody has its message: when it was due, if that is known, and
    /// whether it was urgent.
    pub(crate) fn recent(&self, room: Room, publisher: u32, sequence: u64) -> Option<(u64, bool)> {
        let recent = self.recent.borrow();
        let recent = recent.get(&(room, publisher))?;
        let place = recent.binary_search_by_key(&sequence, |recent| recent.sequence).ok()?;
        recent.get(place).map(|recent| (recent.intended_ns, recent.is_urgent))
    }

    /// Notes something that should not have happened, for people.
    pub(crate) fn trouble(&self, what: String) {
        let mut troubles = self.troubles.borrow_mut();
        if troubles.len() < TROUBLES_MAX && !troubles.contains(&what) {
            troubles.push(what);
        }
    }

    /// What should not have happened.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.troubles.borrow().clone()
    }

    /// Messages that fell due and have no answer.
    pub(crate) fn backlog(&self) -> u64 {
        self.totals.due.get() - self.totals.acked.get() - self.totals.failed.get()
    }

    /// Grows with everything that happens.
    pub(crate) fn happened(&self) -> u64 {
        self.totals.acked.get()
            + self.totals.failed.get()
            + self.totals.received.get()
            + self.totals.noticed.get()
    }

    pub(crate) fn client(&self, person: Person) -> Option<Client> {
        self.clients.borrow()[person.0 as usize].clone()
    }
}

impl Window {
    /// A message is on its way to so many members.
    pub(crate) fn launch(&self, stamp: &Stamp, members: u32) {
        if self.until.get() == Some(Landing::Delivered) {
            let mut aloft = self.aloft.borrow_mut();
            let stream = aloft
                .entry((stamp.room, stamp.stream))
                .or_insert_with(|| Aloft { first: stamp.counter, lacking: VecDeque::new() });
            debug_assert_eq!(stream.first + stream.lacking.len() as u64, stamp.counter, "counters follow");
            stream.lacking.push_back(members);
        }
    }

    /// One of its members has a message.
    pub(crate) fn arrive(&self, stamp: &Stamp) {
        if self.until.get() != Some(Landing::Delivered) {
            return;
        }
        let mut aloft = self.aloft.borrow_mut();
        let Some(stream) = aloft.get_mut(&(stamp.room, stamp.stream)) else { return };
        let Some(place) = stamp.counter.checked_sub(stream.first) else { return };
        let Some(members) = stream.lacking.get_mut(place as usize) else { return };
        *members = members.saturating_sub(1);
        let mut landed = 0;
        while stream.lacking.front() == Some(&0) {
            stream.lacking.pop_front();
            stream.first += 1;
            landed += 1;
        }
        drop(aloft);
        for _ in 0..landed {
            self.land();
        }
    }

    fn land(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.bell.notify_one();
    }
}

impl Reading {
    pub(crate) fn new(reads: Reads, seats: &[Vec<(Room, u32)>], seed: u64) -> Self {
        let delay = match reads {
            Reads::Later { median, sigma } => LogNormal::new(median.as_secs_f64().ln(), sigma).ok(),
            Reads::Never | Reads::AtOnce => None,
        };
        Self {
            due: BinaryHeap::new(),
            up_to: seats.iter().map(|seats| vec![0; seats.len()]).collect(),
            delay,
            rng: SmallRng::seed_from_u64(mix(seed, Purpose::ReadDelay, 0)),
        }
    }

    /// Somebody has something to read; they will some time after the first of what is unread came.
    pub(crate) fn unread(&mut self, person: Person, seat: usize, sequence: u64, now_ns: u64) {
        let Some(delay) = self.delay else { return };
        let up_to = &mut self.up_to[person.0 as usize][seat];
        if *up_to == 0 {
            let delay_ns = delay.sample(&mut self.rng) * 1e9;
            self.due.push(Reverse((now_ns.saturating_add(delay_ns as u64), person.0, seat as u32)));
        }
        *up_to = (*up_to).max(sequence);
    }

    /// The next thing that is read by now: by whom, which of their seats, up to where.
    pub(crate) fn next(&mut self, now_ns: u64) -> Option<(Person, usize, u64)> {
        let Reverse((due_ns, person, seat)) = self.due.peek().copied()?;
        if due_ns > now_ns {
            return None;
        }
        self.due.pop();
        let up_to = std::mem::take(&mut self.up_to[person as usize][seat as usize]);
        Some((Person(person), seat as usize, up_to))
    }
}

pub(crate) fn bump(count: &Cell<u64>) {
    count.set(count.get() + 1);
}
