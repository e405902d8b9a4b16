//! The work itself, the same for everybody: one code path that knows servers only through [`Peer`].
//!
//! Owns the pacing, the counting and the integrity check. It never looks at a server's own figures:
//! a message counts when the client has its acknowledgement, or the reader has the message.
//! Everything runs on one thread, and every wait ends at the measurement's deadline.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, try_join_all};
use hdrhistogram::Histogram;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::contestant::Contestant;
use super::ledger::{Delivery, Ledger};
use super::message::{Message, Messages};
use super::server::Site;
use super::timer::Timer;
use super::usage::{self, Usage};
use crate::result::Integrity;

#[cfg(test)]
mod tests;

/// Longest time without progress, beside those of the task.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Longest time to connect everybody.
const OPEN_DEADLINE: Duration = Duration::from_secs(120);

/// A server that does the work.
pub(crate) trait Peer: Sized {
    type Publisher: Publisher + 'static;
    type Reader: Reader + 'static;

    /// Starts the server.
    async fn start(contestant: Contestant, site: Site, in_flight_max: usize) -> anyhow::Result<Self>;

    /// Makes one topic with these readers, each with a place of its own that the server keeps, and
    /// connects everybody. Without readers, each publisher's messages are kept for somebody who is
    /// not there.
    async fn open(
        &self,
        publishers: usize,
        readers: usize,
    ) -> anyhow::Result<(Vec<Self::Publisher>, Vec<Self::Reader>)>;

    /// What its processes have used so far.
    fn usage(&self) -> anyhow::Result<Usage>;
}

/// The server's acknowledgement of a publish.
pub(crate) type Ack = LocalBoxFuture<'static, anyhow::Result<()>>;

/// Publishes durably.
pub(crate) trait Publisher {
    /// Hands over a message.
    async fn publish(&mut self, payload: Bytes) -> anyhow::Result<Ack>;
}

/// Receives.
pub(crate) trait Reader {
    /// Takes the next message, and acknowledges it, at once or with those that follow.
    async fn next(&mut self) -> anyhow::Result<Bytes>;
}

/// How the work is done.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) pace: Pace,
    pub(crate) publishers: usize,
    pub(crate) readers: usize,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// Longest time from the last publish until everybody has everything; what is missing then is
    /// lost.
    pub(crate) drain: Duration,
    pub(crate) payload_bytes: usize,
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as fewer than so many are in flight, all publishers together. Without readers a
    /// message is in flight until it is acknowledged, with readers until the last of them has it.
    InFlight(usize),
    /// So many a second, whatever becomes of them.
    Rate(f64),
}

/// What was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// How long was measured.
    pub(crate) measured: Duration,
    /// Acknowledgements, or deliveries if there are readers, in that time.
    pub(crate) count: u64,
    /// From when a message was due to its ack, or to its delivery, in microseconds.
    pub(crate) latency_us: Histogram<u64>,
    /// From when a message was due until it was handed over, in microseconds.
    pub(crate) late_us: Histogram<u64>,
    pub(crate) used: Used,
    /// Warm-up included.
    pub(crate) integrity: Integrity,
}

/// What was used while it was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) generator_cores: f64,
    pub(crate) server_cores: f64,
    /// Everything else on the machine, and what others took from it.
    pub(crate) other_cores: f64,
    /// At the end.
    pub(crate) server_resident_bytes: u64,
}

/// Does the work on one server.
///
/// # Errors
/// If the server refuses, or does not answer in time.
pub(crate) async fn measure<P: Peer>(peer: &P, task: &Task) -> anyhow::Result<Seen> {
    let open = timeout(OPEN_DEADLINE, peer.open(task.publishers, task.readers));
    let (publishers, readers) = open.await.context("not everybody could connect in time")??;
    let run = Rc::new(Run::new(task));
    let mut tasks = JoinSet::new();
    for (number, reader) in readers.into_iter().enumerate() {
        tasks.spawn_local(read(reader, number, Rc::clone(&run)));
    }
    let work = async {
        let publishing = publishers.into_iter().map(|publisher| publish(publisher, &run));
        let used = tokio::select! {
            used = async { tokio::try_join!(watch(peer, &run), try_join_all(publishing)) } => used?.0,
            Some(ended) = tasks.join_next(), if task.readers > 0 => {
                ended.context("a reader has panicked")??;
                bail!("a reader has ended");
            }
        };
        run.drained().await;
        anyhow::Ok(used)
    };
    let limit = task.warmup + task.duration + task.drain + ANSWER_DEADLINE;
    let used = timeout(limit, work).await.context("the server stopped answering")??;
    drop(tasks);
    Ok(Seen {
        measured: task.duration,
        count: run.count.get(),
        latency_us: run.latency_us.take_histogram(),
        late_us: run.late_us.take_histogram(),
        used,
        integrity: run.ledger.borrow().integrity(),
    })
}

/// What a measurement's tasks share.
struct Run {
    task: Task,
    messages: Messages,
    began: Instant,
    ledger: RefCell<Ledger>,
    /// Permits for further messages, if there are readers.
    window: Semaphore,
    settled: Notify,
    count: Cell<u64>,
    latency_us: Recorder,
    late_us: Recorder,
}

impl Run {
    fn new(task: &Task) -> Self {
        let in_flight = match task.pace {
            Pace::InFlight(in_flight) => in_flight,
            Pace::Rate(_) => 0,
        };
        Self {
            task: task.clone(),
            messages: Messages::new(task.payload_bytes, 1),
            began: Instant::now(),
            ledger: RefCell::new(Ledger::new(task.readers)),
            window: Semaphore::new(in_flight),
            settled: Notify::new(),
            count: Cell::new(0),
            latency_us: Recorder::new(),
            late_us: Recorder::new(),
        }
    }

    fn warm(&self) -> Instant {
        self.began + self.task.warmup
    }

    fn end(&self) -> Instant {
        self.warm() + self.task.duration
    }

    fn message(&self, due: Instant) -> Bytes {
        let number = self.ledger.borrow_mut().publish();
        self.messages.encode(&Message { number, due: due - self.began })
    }

    /// Counts what happened now, if it is measured.
    fn happened(&self, due: Instant) {
        let now = Instant::now();
        if now >= self.warm() && now < self.end() {
            self.count.set(self.count.get() + 1);
            self.latency_us.record(now.saturating_duration_since(due));
        }
    }

    fn delivered(&self, reader: usize, payload: &[u8]) {
        let Some(message) = self.messages.decode(payload) else {
            self.ledger.borrow_mut().stray();
            return;
        };
        let delivery = self.ledger.borrow_mut().deliver(reader, message.number);
        if delivery == Delivery::Wrong {
            return;
        }
        self.happened(self.began + message.due);
        if delivery == Delivery::Last {
            if matches!(self.task.pace, Pace::InFlight(_)) {
                self.window.add_permits(1);
            }
            if self.ledger.borrow().is_settled() {
                self.settled.notify_one();
            }
        }
    }

    /// Waits until everybody has everything, or it takes too long.
    async fn drained(&self) {
        let settled = async {
            while self.task.readers > 0 && !self.ledger.borrow().is_settled() {
                self.settled.notified().await;
            }
        };
        // Whatever is missing then is counted as lost.
        let _ = timeout(self.task.drain, settled).await;
    }
}

/// Publishes until the end of the measured time, and waits for every ack.
async fn publish(publisher: impl Publisher, run: &Run) -> anyhow::Result<()> {
    match run.task.pace {
        Pace::InFlight(in_flight) if run.task.readers == 0 => {
            publish_acked(publisher, run, (in_flight / run.task.publishers).max(1)).await
        }
        Pace::InFlight(_) => publish_delivered(publisher, run).await,
        Pace::Rate(rate) => publish_paced(publisher, run, rate / run.task.publishers as f64).await,
    }
}

/// A window of unacknowledged messages.
async fn publish_acked(mut publisher: impl Publisher, run: &Run, in_flight: usize) -> anyhow::Result<()> {
    let mut waiting: VecDeque<(Ack, Instant)> = VecDeque::with_capacity(in_flight);
    loop {
        let now = Instant::now();
        let is_over = now >= run.end();
        if waiting.len() == in_flight || is_over {
            let Some((ack, due)) = waiting.pop_front() else { break };
            ack.await?;
            run.happened(due);
        }
        if !is_over {
            let now = Instant::now();
            let payload = run.message(now);
            waiting.push_back((publisher.publish(payload).await?, now));
        }
    }
    Ok(())
}

/// A window of messages that not every reader has.
async fn publish_delivered(mut publisher: impl Publisher, run: &Run) -> anyhow::Result<()> {
    let mut waiting = VecDeque::new();
    while Instant::now() < run.end() {
        let seat = timeout(ANSWER_DEADLINE, run.window.acquire()).await;
        seat.context("readers do not get what was published")?.context("nobody closes the window")?.forget();
        let payload = run.message(Instant::now());
        waiting.push_back(publisher.publish(payload).await?);
        settle(&mut waiting)?;
    }
    for ack in waiting {
        ack.await?;
    }
    Ok(())
}

/// Messages at fixed times, whatever becomes of those before.
async fn publish_paced(mut publisher: impl Publisher, run: &Run, rate: f64) -> anyhow::Result<()> {
    let mut timer = Timer::new()?;
    let mut waiting = VecDeque::new();
    for number in 0_u32.. {
        let due = run.began + Duration::from_secs_f64(f64::from(number) / rate);
        if due >= run.end() {
            break;
        }
        timer.until(due).await?;
        if due >= run.warm() {
            run.late_us.record(due.elapsed());
        }
        let payload = run.message(due);
        waiting.push_back(publisher.publish(payload).await?);
        settle(&mut waiting)?;
    }
    for ack in waiting {
        ack.await?;
    }
    Ok(())
}

/// Takes the acks that are there, without waiting.
fn settle(waiting: &mut VecDeque<Ack>) -> anyhow::Result<()> {
    while let Some(ack) = waiting.front_mut() {
        match ack.now_or_never() {
            Some(acked) => acked?,
            None => break,
        }
        waiting.pop_front();
    }
    Ok(())
}

async fn read(mut reader: impl Reader, number: usize, run: Rc<Run>) -> anyhow::Result<()> {
    loop {
        let payload = reader.next().await?;
        run.delivered(number, &payload);
    }
}

/// Takes down what is used over the measured time.
async fn watch(peer: &impl Peer, run: &Run) -> anyhow::Result<Used> {
    let now = || anyhow::Ok((Usage::of_self()?, peer.usage()?, usage::machine()?));
    sleep_until(run.warm().into()).await;
    let (began, before) = (Instant::now(), now()?);
    sleep_until(run.end().into()).await;
    let (elapsed, after) = (began.elapsed(), now()?);
    let cores = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64()
    };
    let generator_cores = cores(before.0.cpu, after.0.cpu);
    let server_cores = cores(before.1.cpu, after.1.cpu);
    Ok(Used {
        generator_cores,
        server_cores,
        other_cores: (cores(before.2, after.2) - generator_cores - server_cores).max(0.0),
        server_resident_bytes: after.1.resident_bytes,
    })
}

/// A histogram that many tasks of one thread write to.
struct Recorder {
    histogram: RefCell<Histogram<u64>>,
}

impl Recorder {
    fn new() -> Self {
        Self { histogram: RefCell::new(histogram()) }
    }

    fn record(&self, time: Duration) {
        self.histogram.borrow_mut().saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    fn take_histogram(&self) -> Histogram<u64> {
        self.histogram.replace(histogram())
    }
}

/// For times of up to two minutes in microseconds, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("the bounds are in order and the digits at most 5")
}
