//! The local log: group commit on one machine.
//!
//! One thread, the committer, takes all that waits (up to a group's bounds), gives it its time,
//! applies it, commits one batch with one sync, then sends the replies, then tells the observer.
//! While it syncs, the next group gathers, so groups grow with the load. No reply is sent before
//! its commit returned. It keeps no history: the engine's state is all there is.
//!
//! It is fail-stop: after an error of the engine, or a panic, everything in flight or waiting is
//! answered [`Lost`](crate::log::Lost), nothing more is taken in, and no commit is tried again,
//! because after a failed sync nobody knows what is on the disk.

mod lane;
mod queue;
mod waiting;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::error;

use self::queue::Queue;
use self::waiting::Group;
use crate::applier::Applier;
use crate::command::Submission;
use crate::engine::{Engine, EngineError};
use crate::fail_point::{self, Point};
use crate::id::Timestamp;
use crate::log::{Bounds, Clock, Depth, Log, Observer, Refused, Reply, StartError, Starter};
use crate::model::Applied;

/// Group commit on one machine: takes all that wait, applies them, writes one batch, syncs once,
/// answers. Dropping it closes it.
pub struct LocalLog {
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    close_timeout: Duration,
    /// Taken by the one who joins it.
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl LocalLog {
    /// Starts the committer's thread on an engine whose format was checked.
    ///
    /// # Errors
    /// [`StartError`] if the operating system gives no thread, or the engine could not be read.
    pub fn start(
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        observer: impl Observer,
    ) -> Result<Self, StartError> {
        let applier = Applier::new(engine)?;
        let (queue, progress) = (Arc::new(Queue::new(bounds)), Arc::new(Progress::new(applier.applied())));
        let committer = Committer {
            applier,
            clock,
            queue: Arc::clone(&queue),
            progress: Arc::clone(&progress),
            observer,
            group: Group::default(),
            urgent: 0,
        };
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(move || committer.run());
        let thread = thread.map_err(StartError::Thread)?;
        Ok(Self { queue, progress, close_timeout: bounds.close_timeout, committer: Mutex::new(Some(thread)) })
    }
}

impl Log for LocalLog {
    fn submit(&self, submission: Submission, reply: Reply) -> Result<(), (Refused, Reply)> {
        self.queue.push(submission, reply)
    }

    fn applied(&self) -> Applied {
        self.progress.get()
    }

    fn depth(&self) -> Depth {
        self.queue.depth()
    }

    fn owes_urgent(&self) -> bool {
        self.queue.owes_urgent()
    }

    /// As [`Log::close`]; after `Bounds::close_timeout` what still waits is lost, and
    /// the group in hand is left to finish by itself.
    fn close(&self) {
        self.queue.close();
        let Some(committer) = self.committer.lock().as_ref().map(|thread| thread.thread().id()) else {
            return; // Closed before, or given up.
        };
        if committer == thread::current().id() {
            // An observer let go of the log: the committer finishes what waits, then leaves.
            return;
        }
        let finished = self.queue.wait_finished(Instant::now() + self.close_timeout);
        let thread = self.committer.lock().take();
        if !finished {
            let unfinished = self.queue.stop();
            error!(
                code = "committer-late",
                waiting = unfinished.len(),
                "the committer did not finish in time"
            );
            unfinished.into_iter().for_each(|reply| reply.lose());
        } else if thread.is_some_and(|thread| thread.join().is_err()) {
            error!(code = "committer-panicked", "the committer panicked");
        }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog").field("depth", &self.depth()).finish_non_exhaustive()
    }
}

/// The local log before it runs.
#[derive(Clone, Copy, Debug)]
pub struct Local;

impl Starter for Local {
    fn start(
        &self,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        observer: Box<dyn Observer>,
    ) -> Result<Arc<dyn Log>, StartError> {
        Ok(Arc::new(LocalLog::start(engine, clock, bounds, observer)?))
    }
}

/// How far the log has come, for those who ask while it goes on.
struct Progress {
    position: AtomicU64,
    time: AtomicU64,
}

impl Progress {
    fn new(applied: Applied) -> Self {
        Self { position: AtomicU64::new(applied.position), time: AtomicU64::new(applied.time.0) }
    }

    /// The time goes first: whoever sees the position sees the time that belongs to it, or a later
    /// one.
    fn set(&self, applied: Applied) {
        self.time.store(applied.time.0, Ordering::Release);
        self.position.store(applied.position, Ordering::Release);
    }

    fn get(&self) -> Applied {
        let position = self.position.load(Ordering::Acquire);
        Applied { position, time: Timestamp(self.time.load(Ordering::Acquire)) }
    }
}

/// What the committer's thread owns.
struct Committer<O> {
    applier: Applier,
    clock: Arc<dyn Clock>,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    observer: O,
    /// The group in hand. Its replies are sent, or lost, but never forgotten.
    group: Group,
    /// Urgent submissions that were in it when it was taken, until the observer was told, or they
    /// are lost.
    urgent: usize,
}

impl<O: Observer> Committer<O> {
    fn run(mut self) {
        // A panic must not leave callers waiting for replies that nobody will send.
        let failure = match catch_unwind(AssertUnwindSafe(|| self.commit_groups())) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(EngineError::Io {
                doing: "committing a group",
                detail: "the committer panicked; its message is in the log".to_owned(),
            }),
        };
        let waiting = self.queue.stop();
        self.group.drain(..).map(|waiting| waiting.reply).chain(waiting).for_each(|reply| reply.lose());
        self.queue.urgent_done(self.urgent);
        let Self { queue, mut observer, applier, .. } = self;
        if let Some(failure) = failure {
            let told = catch_unwind(AssertUnwindSafe(|| observer.failed(&failure)));
            if told.is_err() {
                error!(code = "observer-panicked", "the observer panicked when told that the engine failed");
            }
        }
        // The engine is let go of before `close` returns, so that the store can be opened again.
        drop((applier, observer));
        queue.finish();
    }

    fn commit_groups(&mut self) -> Result<(), EngineError> {
        while self.queue.next_group(&mut self.group) {
            // They come first.
            let urgent = self.group.iter().take_while(|waiting| waiting.submission.command.is_urgent());
            self.urgent = urgent.count();
            let now = self.clock.now();
            let group = self.group.iter().map(|waiting| &waiting.submission);
            let result = self.applier.apply_group(now, group)?;
            // Durable from here on.
            self.progress.set(result.stats.applied);
            assert_eq!(result.verdicts.len(), self.group.len(), "a verdict for each submission");
            let (durable, mut stats) = (Instant::now(), result.stats);
            for (waiting, verdict) in self.group.drain(..).zip(result.verdicts) {
                let is_urgent = waiting.submission.command.is_urgent();
                let longest = if is_urgent { &mut stats.urgent } else { &mut stats.routine };
                *longest = durable.saturating_duration_since(waiting.since).max(*longest);
                waiting.reply.send(verdict, stats.applied.position);
                fail_point::pass(Point::Acked);
            }
            self.observer.committed(stats, result.events);
            self.queue.urgent_done(std::mem::take(&mut self.urgent));
        }
        Ok(())
    }
}
