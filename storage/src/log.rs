//! The log seam: what order commands have, and when they count as durable.
//!
//! The log *drives*: it takes submissions in, decides their order, hands ordered groups to the
//! applier, and after the group is durable sends each its reply and tells the [`Observer`].
//! [`local`](crate::local) does it on one machine; a replicated log does it on many, and nothing
//! else changes.

use thiserror::Error;
use tokio::sync::mpsc;

use crate::command::{Event, Submission, Verdict};
use crate::engine::EngineError;

/// What became of a submission: the ticket that it came with, and the verdict.
#[derive(Debug)]
pub struct Completion {
    /// As in [`Reply`].
    pub ticket: u64,
    /// What came of it; `Err` of the outer kind: it is not known to be durable.
    pub verdict: Result<Verdict, Lost>,
}

/// Where to send a completion. It holds its place in the receiver's channel from the start, so that
/// the log never waits for a slow session: the channel's capacity is the session's window.
#[derive(Debug)]
pub struct Reply {
    /// Whatever the receiver wants back.
    pub ticket: u64,
    /// The reserved place.
    pub place: mpsc::OwnedPermit<Completion>,
}

impl Reply {
    /// Sends the completion.
    pub fn send(self, verdict: Result<Verdict, Lost>) {
        self.place.send(Completion { ticket: self.ticket, verdict });
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

/// Told of what is durable, in order, on the committer's thread, after the replies are sent: must
/// not block.
pub trait Observer: Send + 'static {
    /// A group is durable; these are its events, in order.
    fn committed(&mut self, group: GroupStats, events: Vec<Event>);

    /// The engine failed. Nothing more will be committed: stop taking writes, say so, exit.
    fn failed(&mut self, error: &EngineError);
}

/// Figures of one committed group, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupStats {
    /// Commands in it.
    pub commands: usize,
    /// Mutations in its batch.
    pub mutations: usize,
    /// Time spent applying.
    pub apply: std::time::Duration,
    /// Time spent in the engine's commit, sync included.
    pub commit: std::time::Duration,
    /// From taking in the routine submission that waited longest until it was durable; zero: there
    /// was none.
    pub routine: std::time::Duration,
    /// The same of urgent ones.
    pub urgent: std::time::Duration,
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
