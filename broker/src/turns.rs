//! Turns: whose connection is served next.
//!
//! A connection has two tasks that may have much to do: quinn's driver, which takes in its packets
//! and sends what it has to send, and delivery. In the runtime's queue, first come first served,
//! those of somebody who is sent one urgent message stand behind those of a hundred who are sent
//! all they can take. So they wait here instead, in the order of the processor time that their
//! connections have used lately: who uses little waits for nobody, and nobody waits for ever,
//! because what was used is soon forgotten. What has something urgent to do can be put in front;
//! and while another thread has, the processor is given away now and then, in case that thread
//! waits for it.
//!
//! Invariants: a task waits at most once, so the queue is bounded by the number of connections; a
//! task that was woken waits, or has another turn.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::sync::{Notify, oneshot};
use tokio::task::coop::has_budget_remaining;
use tokio::task::yield_now;

/// For how long turns are given before all else that is ready runs, and the network is looked at.
const ROUND: Duration = Duration::from_micros(100);

/// Processor time counts half when so much time has passed. About as long can one who begins to use
/// much keep others who did before from their turns; a hundred who begin together, five times as
/// long.
const HALF_LIFE: Duration = Duration::from_millis(10);

/// A new connection counts as if it had used so much: its handshake goes before those who use much,
/// not before those who use little.
const NEWCOMER: Duration = Duration::from_micros(100);

/// Least time from giving the processor away to doing so again: whoever else wants it keeps it for
/// a slice of the scheduler's, and sessions must get on with what is urgent, too.
const GIVE_WAY_EVERY: Duration = Duration::from_micros(250);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The turns of an endpoint's connections; quinn's runtime, on tokio's.
pub(crate) struct Turns {
    queue: Mutex<Queue>,
    begun: Instant,
    /// Whether the processor is wanted for something urgent.
    gives_way: Box<dyn Fn() -> bool + Send + Sync>,
    entered: Notify,
    /// Held while a connection is accepted, so that its driver is told from others.
    accepting: Mutex<()>,
    accepted: Mutex<Accepted>,
    me: Weak<Self>,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<Rank, Arc<Task>>,
    /// Numbers given to tasks so far.
    numbers: u64,
}

/// What has become of the connection that is being accepted.
enum Accepted {
    Nobody,
    Awaited,
    Driver(Arc<Task>),
}

/// Where a task stands: the least is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Not in a hurry.
    is_patient: bool,
    /// What its connection had used.
    used: Used,
    number: u64,
}

/// The processor time that a connection used lately: the sum of what its turns took, each halved
/// for every [`HALF_LIFE`] since.
///
/// Kept as a logarithm, of what it would be if nothing had been halved since the turns began.
/// Halving all alike changes no comparison, so that an account changes with its connection's own
/// turns alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Used(i64);

/// One connection's.
type Account = Mutex<Used>;

/// A task that takes turns.
pub(crate) struct Task {
    number: u64,
    account: Arc<Account>,
    turns: Weak<Turns>,
    standing: Mutex<Standing>,
    /// Gone when it has ended.
    work: Mutex<Option<Work>>,
}

#[derive(Debug, Default)]
struct Standing {
    stage: Stage,
    is_hurried: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Waits(Rank),
    /// Has its turn; `again`: and was woken since it began.
    Runs {
        again: bool,
    },
}

impl Turns {
    /// How many tasks wait for their turn.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().waiting.len()
    }

    /// Nobody to serve yet. `gives_way`: whether another thread has something urgent to do; asked
    /// between rounds, once it is [`GIVE_WAY_EVERY`] since the processor was given away.
    pub(crate) fn new(gives_way: impl Fn() -> bool + Send + Sync + 'static) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            queue: Mutex::default(),
            begun: Instant::now(),
            gives_way: Box::new(gives_way),
            entered: Notify::new(),
            accepting: Mutex::default(),
            accepted: Mutex::new(Accepted::Nobody),
            me: Weak::clone(me),
        })
    }

    /// Accepts a connection, and tells its driver.
    ///
    /// # Errors
    /// [`quinn::ConnectionError`] if it fails at once.
    pub(crate) fn accept(
        &self,
        incoming: quinn::Incoming,
    ) -> Result<(quinn::Connecting, Arc<Task>), quinn::ConnectionError> {
        // quinn accepts one at a time too.
        let _accepting = self.accepting.lock();
        *self.accepted.lock() = Accepted::Awaited;
        let connecting = incoming.accept();
        let accepted = std::mem::replace(&mut *self.accepted.lock(), Accepted::Nobody);
        let connecting = connecting?;
        match accepted {
            Accepted::Driver(driver) => Ok((connecting, driver)),
            _ => unreachable!("quinn spawns a connection's driver as it accepts it"),
        }
    }

    /// Gives turns, for ever; several may do so side by side.
    ///
    /// # Cancellation
    /// Whoever waits has its turn by the next call.
    pub(crate) async fn run(&self) {
        let mut gave_way = self.begun;
        loop {
            let begun = Instant::now();
            let mut now = begun;
            while now - begun < ROUND && has_budget_remaining() {
                let Some(task) = self.next() else { break };
                now = task.run(now);
            }
            if now - gave_way >= GIVE_WAY_EVERY && (self.gives_way)() {
                // The scheduler lets a thread that runs finish its slice, some milliseconds, before
                // one that woke up.
                std::thread::yield_now();
                gave_way = now;
            }
            if self.queue.lock().waiting.is_empty() {
                self.entered.notified().await;
            } else {
                yield_now().await;
            }
        }
    }

    /// The account of a connection that begins now.
    fn newcomer(&self, now: Instant) -> Arc<Account> {
        Arc::new(Mutex::new(Used::NOTHING.and(NEWCOMER, now - self.begun)))
    }

    fn spawn(&self, work: Work, account: Arc<Account>) -> Arc<Task> {
        let mut queue = self.queue.lock();
        queue.numbers += 1;
        let task = Arc::new(Task {
            number: queue.numbers,
            account,
            turns: Weak::clone(&self.me),
            standing: Mutex::default(),
            work: Mutex::new(Some(work)),
        });
        drop(queue);
        self.enter(&task);
        task
    }

    /// Lets a task wait, unless it does, or has its turn.
    fn enter(&self, task: &Arc<Task>) {
        let mut queue = self.queue.lock();
        let mut standing = task.standing.lock();
        match standing.stage {
            Stage::Idle => queue.insert(task, &mut standing),
            Stage::Runs { .. } => return standing.stage = Stage::Runs { again: true },
            Stage::Waits(_) => return,
        }
        drop(standing);
        drop(queue);
        self.entered.notify_one();
    }

    fn next(&self) -> Option<Arc<Task>> {
        let mut queue = self.queue.lock();
        let (_, task) = queue.waiting.pop_first()?;
        task.standing.lock().stage = Stage::Runs { again: false };
        Some(task)
    }

    /// A task had a turn.
    fn leave(&self, task: &Arc<Task>, begun: Instant, ended: Instant) {
        let mut queue = self.queue.lock();
        let mut standing = task.standing.lock();
        let mut account = task.account.lock();
        *account = account.and(ended - begun, ended - self.begun);
        drop(account);
        match standing.stage {
            Stage::Runs { again: true } => queue.insert(task, &mut standing),
            _ => standing.stage = Stage::Idle,
        }
    }
}

impl Queue {
    fn insert(&mut self, task: &Arc<Task>, standing: &mut Standing) {
        let is_patient = !std::mem::take(&mut standing.is_hurried);
        let rank = Rank { is_patient, used: *task.account.lock(), number: task.number };
        standing.stage = Stage::Waits(rank);
        self.waiting.insert(rank, Arc::clone(task));
    }
}

impl Used {
    const NOTHING: Self = Self(i64::MIN);
    /// In a doubling.
    const STEPS: f64 = 65_536.0;

    /// This, and a turn that took so long and ended so long after the turns began.
    fn and(self, took: Duration, ended: Duration) -> Self {
        let half_lives = ended.as_secs_f64() / HALF_LIFE.as_secs_f64();
        let more = took.max(Duration::from_nanos(1)).as_secs_f64().log2() + half_lives;
        let before = self.0 as f64 / Self::STEPS;
        let (less, most) = (before.min(more), before.max(more));
        let both = most + (1.0 + (less - most).exp2()).log2();
        Self((both * Self::STEPS) as i64)
    }
}

impl Task {
    /// Lets other work of the same connection take turns too. The receiver hears of its end, or its
    /// panic.
    pub(crate) fn beside(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (ended, end) = oneshot::channel();
        let work = async move {
            work.await;
            // Nobody needs to wait for it.
            let _ = ended.send(());
        };
        let turns = self.turns.upgrade().expect("whoever gives a task its turn holds the turns");
        (turns.spawn(Box::pin(work), Arc::clone(&self.account)), end)
    }

    /// Puts it before all that are not in a hurry: now if it waits, else the next time that it
    /// does.
    pub(crate) fn hurry(self: &Arc<Self>) {
        let Some(turns) = self.turns.upgrade() else { return };
        let mut queue = turns.queue.lock();
        let mut standing = self.standing.lock();
        standing.is_hurried = true;
        if let Stage::Waits(rank) = standing.stage {
            queue.waiting.remove(&rank);
            queue.insert(self, &mut standing);
        }
    }

    /// Ends it where it is, once the turn that it may have is over.
    pub(crate) fn end(&self) {
        let work = self.work.lock().take();
        // What it holds may wake others.
        drop(work);
    }

    /// Has its turn, which begins at `begun`; when it ended.
    fn run(self: Arc<Self>, begun: Instant) -> Instant {
        let waker = Waker::from(Arc::clone(&self));
        let mut work = self.work.lock();
        let polled = work.as_mut().map(|work| {
            // As with a task of its own, a defect in one connection must not end the others.
            catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(&waker))))
        });
        if !matches!(polled, Some(Ok(Poll::Pending))) {
            *work = None;
        }
        drop(work);
        let ended = Instant::now();
        if let Some(turns) = self.turns.upgrade() {
            turns.leave(&self, begun, ended);
        }
        ended
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(turns) = self.turns.upgrade() {
            turns.enter(self);
        }
    }
}

impl Runtime for Turns {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, work: Work) {
        let mut accepted = self.accepted.lock();
        if matches!(*accepted, Accepted::Awaited) {
            *accepted = Accepted::Driver(Self::spawn(self, work, self.newcomer(self.now())));
        } else {
            // The endpoint's own, which reads the socket for all.
            TokioRuntime.spawn(work);
        }
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("waiting", &self.queue.lock().waiting.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
