//! The node that orders: a local log, whose groups are put down as bytes.
//!
//! The order within a group is that of its answers, its bounds and its time are what the observer
//! hears. It starts again and again, with other bounds, and with a clock that goes wrong. Threads
//! decide where groups end, so that a seed gives the same commands, not the same groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc;
use wardline_storage::command::{Event, Group, Submission};
use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::format;
use wardline_storage::id::Timestamp;
use wardline_storage::local::LocalLog;
use wardline_storage::log::{Bounds, Clock, Completion, GroupStats, Log, Observer, Reply, Share};
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::Applied;
use wardline_storage::record::Record as _;
use wardline_storage::state_hash::{self, StateHash};

use crate::story::Story;

/// A year ahead of whoever applies it again.
const BEGINNING: u64 = 1_900_000_000_000;
/// Most that is submitted at once.
const BURST: u64 = 700;
/// Bursts between two starts.
const LIFE: u64 = 12;
const WORKS: &str = "memory does not fail";

/// What was ordered.
pub(crate) struct Ordered {
    /// In order, as bytes.
    pub(crate) groups: Vec<Bytes>,
    /// After so many groups, the leader's state.
    pub(crate) hashes: Vec<(usize, StateHash)>,
    drawn: Vec<(&'static str, u64)>,
    changed_nothing: u64,
}

impl Ordered {
    /// Says what happened.
    #[allow(clippy::print_stdout)] // for whoever looks what was compared
    pub(crate) fn tell(&self) {
        let bytes: usize = self.groups.iter().map(Bytes::len).sum();
        println!("{} groups of {bytes} bytes, {} states to compare", self.groups.len(), self.hashes.len());
        println!("{} groups changed nothing; commands: {:?}", self.changed_nothing, self.drawn);
    }
}

/// See the module's documentation.
pub(crate) struct Leader {
    story: Story,
    engine: Arc<MemoryEngine>,
    clock: Arc<SetClock>,
    applied: Applied,
    ordered: Ordered,
}

struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// The groups that the observer heard of.
#[derive(Clone, Default)]
struct Heard(Arc<(Mutex<Vec<GroupStats>>, Condvar)>);

impl Observer for Heard {
    fn committed(&mut self, group: GroupStats, _events: Vec<Event>) {
        self.0.0.lock().push(group);
        self.0.1.notify_all();
    }

    fn failed(&mut self, error: &EngineError) {
        panic!("{error}");
    }
}

impl Heard {
    /// The groups in which so many commands were.
    fn groups_of(&self, commands: usize) -> Vec<GroupStats> {
        let (groups, told) = &*self.0;
        let mut groups = groups.lock();
        told.wait_while(&mut groups, |groups| {
            groups.iter().map(|group| group.commands).sum::<usize>() < commands
        });
        std::mem::take(&mut *groups)
    }
}

impl Leader {
    /// Orders so many commands.
    pub(crate) fn lead(seed: u64, commands: u64) -> Ordered {
        let ordered =
            Ordered { groups: Vec::new(), hashes: Vec::new(), drawn: Vec::new(), changed_nothing: 0 };
        let clock = Arc::new(SetClock(AtomicU64::new(BEGINNING)));
        let engine = Arc::new(MemoryEngine::default());
        format::check(&*engine).expect(WORKS);
        let applied = Applied::default();
        let mut leader = Self { story: Story::new(seed), engine, clock, applied, ordered };
        let mut left = commands;
        while left > 0 {
            left = leader.live(left);
        }
        let mut drawn: Vec<_> = leader.story.drawn.into_iter().collect();
        drawn.sort_unstable();
        assert!(drawn.len() == 22, "something was never drawn: {drawn:?}");
        Ordered { drawn, ..leader.ordered }
    }

    /// From one start to the next; gives how many commands are left.
    fn live(&mut self, mut left: u64) -> u64 {
        let bounds = Bounds {
            waiting_commands_max: 10_000,
            waiting_bytes_max: 64 << 20,
            group_commands_max: 30 + self.story.below(600) as usize,
            group_bytes_max: 20_000 + self.story.below(300_000) as usize,
            group_records_max: 1_000,
            share: Share::ALL,
            receipts_wait: Duration::from_micros(self.story.below(300)),
            close_timeout: Duration::from_secs(60),
        };
        let heard = Heard::default();
        let engine: Arc<dyn Engine> = self.engine.clone();
        let log = LocalLog::start(engine, self.clock.clone(), bounds, heard.clone()).expect("starts");
        if self.ordered.groups.is_empty() {
            for command in self.story.beginning() {
                let submission = Submission { command, ..self.story.submission() };
                self.order(&log, &heard, vec![submission]);
            }
        }
        for _ in 0..LIFE {
            let size = left.min(if self.story.below(4) == 0 { 1 } else { 1 + self.story.below(BURST) });
            let burst = (0..size).map(|_| self.story.submission()).collect();
            self.order(&log, &heard, burst);
            left -= size;
            self.pass_time();
            if self.story.below(10) == 0 {
                self.engine.reclaim(log.applied().time).expect(WORKS);
            }
        }
        log.close();
        let hash = state_hash::of(&*self.engine).expect(WORKS);
        assert_eq!(hash.applied, self.applied);
        self.ordered.hashes.push((self.ordered.groups.len(), hash));
        left
    }

    /// On by seconds, and now and then back by minutes.
    fn pass_time(&mut self) {
        let now = self.clock.now().0;
        let then = match self.story.below(20) {
            0 => now - self.story.below(300_000),
            _ => now + self.story.below(60_000),
        };
        self.clock.0.store(then, Ordering::Relaxed);
    }

    /// Submits a burst, and puts down the groups that became of it.
    fn order(&mut self, log: &LocalLog, heard: &Heard, burst: Vec<Submission>) {
        let (seats, mut completions) = mpsc::channel::<Completion>(burst.len().max(1));
        for (ticket, submission) in (0..).zip(&burst) {
            let seat = seats.clone().try_reserve_owned().expect("there is a seat for each");
            let taken = log.submit(submission.clone(), Reply { ticket, seat });
            assert!(taken.is_ok(), "the log takes a burst");
        }
        let mut in_order = Vec::with_capacity(burst.len());
        for _ in &burst {
            let completion = completions.blocking_recv().expect("every submission is answered");
            let submission = &burst[completion.ticket as usize];
            if let Ok(outcome) = completion.verdict.expect("memory does not fail") {
                self.story.hear(submission, outcome);
            }
            in_order.push(submission.clone());
        }
        for group in heard.groups_of(burst.len()) {
            let submissions: Vec<_> = in_order.drain(..group.commands).collect();
            self.put_down(group.applied, submissions);
        }
    }

    fn put_down(&mut self, after: Applied, submissions: Vec<Submission>) {
        if after == self.applied {
            self.ordered.changed_nothing += 1;
            return;
        }
        let position = self.applied.position;
        assert_eq!(after.position, position + submissions.len() as u64, "positions have no holes");
        assert!(after.time >= self.applied.time, "time does not go back");
        self.ordered.groups.push(Group { position, time: after.time, submissions }.encode());
        self.applied = after;
    }
}
