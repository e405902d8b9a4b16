//! The log seam: what order commands have, and when they count as durable.
//!
//! The log *drives*: it takes submissions in, decides their order and their time, hands ordered
//! groups to the applier, and after the group is durable sends each its reply and tells the
//! [`Observer`]. Time is read once, by whoever orders; what is applied reads none.
//! [`local`](crate::local) does it on one machine; a replicated log does it on many, and nothing
//! else changes: whoever starts a broker chooses a [`Starter`], as they choose an engine.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;

use crate::command::{Event, Submission, Verdict};
use crate::engine::{Engine, EngineError};
use crate::id::Timestamp;
use crate::model::Applied;

/// Tells the time to whoever orders. Need not be right, or even: the log never lets it go back.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// What became of a submission: the ticket that it came with, and the verdict.
#[derive(Debug)]
pub struct Completion {
    /// As in [`Reply`].
    pub ticket: u64,
    /// What came of it; `Err` of the outer kind: it is not known to be durable.
    pub verdict: Result<Verdict, Lost>,
    /// Who has applied so many submissions sees what came of it; zero, if it is lost. Of one that
    /// changed nothing, what its verdict rests on.
    pub position: u64,
}

/// Where to send a completion. It holds its seat in the receiver's channel from the start, so that
/// the log never waits for a slow session: the channel's capacity is the session's window.
#[derive(Debug)]
pub struct Reply {
    /// Whatever the receiver wants back.
    pub ticket: u64,
    /// The reserved seat.
    pub seat: mpsc::OwnedPermit<Completion>,
}

impl Reply {
    /// Sends the verdict, durable up to a position.
    pub fn send(self, verdict: Verdict, position: u64) {
        self.seat.send(Completion { ticket: self.ticket, verdict: Ok(verdict), position });
    }

    /// Sends that it is lost.
    pub fn lose(self) {
        self.seat.send(Completion { ticket: self.ticket, verdict: Err(Lost), position: 0 });
    }
}

/// The submission was taken in, but the log stopped before it was known to be durable: it may or
/// may not be. Submitting it again to the restarted broker is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the log stopped before this was known to be durable")]
pub struct Lost;

/// Why a submission was not taken in. It changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refused {
    /// As much waits as may wait; try again later.
    #[error("too much is waiting to be committed")]
    Full,
    /// As much of this principal's waits as may; try again later.
    #[error("too much of the caller's is waiting to be committed")]
    Share,
    /// The log is closing, or has failed.
    #[error("the log takes nothing in any more")]
    Stopped,
}

/// How much waits in a log, and how much may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Submissions waiting.
    pub commands: usize,
    /// Their weight in bytes.
    pub bytes: usize,
    /// Most submissions that may wait.
    pub commands_max: usize,
    /// Most bytes that may wait.
    pub bytes_max: usize,
}

/// Bounds of a log. An eighth of what may wait is kept for urgent submissions: routine ones are
/// refused when they have filled the rest. As much again, on top, is for control commands.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most submissions that may wait. At least 8, or urgent ones have no room of their own.
    pub waiting_commands_max: usize,
    /// Most bytes that may wait. Should be several times the heaviest submission.
    pub waiting_bytes_max: usize,
    /// Most commands in one group.
    pub group_commands_max: usize,
    /// Most bytes in one group; a heavier submission makes a group of its own.
    pub group_bytes_max: usize,
    /// Most records that a group touches beyond those that every command does
    /// ([`Command::records`](crate::command::Command::records)); one that touches more makes a
    /// group of its own.
    pub group_records_max: usize,
    /// What one principal may have of all this.
    pub share: Share,
    /// How long receipts wait for more of them, or for anything else, before they make a group by
    /// themselves.
    pub receipts_wait: Duration,
    /// Longest time [`Log::close`] waits for what is left.
    pub close_timeout: Duration,
}

/// What one principal, a user of a tenant over all their devices, may have of a log. One
/// submission, whatever it is, they may in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Most submissions waiting; of urgent ones a quarter of it.
    pub commands_max: usize,
    /// Most bytes of them.
    pub bytes_max: usize,
    /// Most commands in one group, before others have theirs: what they leave is for whoever waits.
    pub group_commands_max: usize,
    /// Most bytes in one group, likewise.
    pub group_bytes_max: usize,
    /// Most of a group's [`records`](crate::command::Command::records), whatever others leave.
    pub group_records_max: usize,
}

impl Share {
    /// All that a log has.
    pub const ALL: Self = Self {
        commands_max: usize::MAX,
        bytes_max: usize::MAX,
        group_commands_max: usize::MAX,
        group_bytes_max: usize::MAX,
        group_records_max: usize::MAX,
    };
}

/// A log could not be started. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The state could not be read.
    #[error("the store cannot be used: {0}")]
    Engine(#[from] EngineError),
    /// The operating system gives no thread.
    #[error("the committer cannot be started: {0}")]
    Thread(io::Error),
}

/// A kind of log, before it runs.
pub trait Starter: Send + Sync {
    /// Starts it on an engine whose format was checked.
    ///
    /// # Errors
    /// [`StartError`] if it cannot run.
    fn start(
        &self,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        observer: Box<dyn Observer>,
    ) -> Result<Arc<dyn Log>, StartError>;
}

/// Told of what is durable, in order, on the committer's thread, after the replies are sent: must
/// not block.
pub trait Observer: Send + 'static {
    /// A group is durable; these are its events, in order.
    fn committed(&mut self, group: GroupStats, events: Vec<Event>);

    /// The engine failed. Nothing more will be committed: stop taking writes, say so, exit.
    fn failed(&mut self, error: &EngineError);
}

impl Observer for Box<dyn Observer> {
    fn committed(&mut self, group: GroupStats, events: Vec<Event>) {
        (**self).committed(group, events);
    }

    fn failed(&mut self, error: &EngineError) {
        (**self).failed(error);
    }
}

/// Figures of one committed group, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupStats {
    /// How far the store has come with it.
    pub applied: Applied,
    /// Commands in it.
    pub commands: usize,
    /// Mutations in its batch.
    pub mutations: usize,
    /// Time spent applying.
    pub apply: Duration,
    /// Time spent in the engine's commit, sync included.
    pub commit: Duration,
    /// From taking in the routine submission that waited longest until it was durable; zero: there
    /// was none.
    pub routine: Duration,
    /// The same of urgent ones.
    pub urgent: Duration,
}

/// Decides order and durability.
pub trait Log: Send + Sync + 'static {
    /// Takes a submission in. Returns at once; the reply comes when it is durable, or was rejected
    /// by the machine. Submissions of one caller about one conversation and of one priority keep
    /// their order.
    ///
    /// # Errors
    /// [`Refused`], together with the reply unsent, if it was not taken in.
    fn submit(&self, submission: Submission, reply: Reply) -> Result<(), (Refused, Reply)>;

    /// How far the store has come: at least as far as any reply that was sent. Takes no lock.
    fn applied(&self) -> Applied;

    /// How much waits.
    fn depth(&self) -> Depth;

    /// Whether an urgent submission was taken in that is not yet answered, and told to the
    /// observer. Takes no lock: whoever shares a processor with the log may ask all the time, to
    /// give way to it.
    fn owes_urgent(&self) -> bool;

    /// Takes nothing in any more, finishes what it has, and returns when it is durable. Blocks;
    /// call it off the async threads.
    fn close(&self);
}
