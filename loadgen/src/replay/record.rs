//! What happened to each message of a replay, and when; latencies come out of it at the end.
//!
//! One slot for each message, written by whoever sees it happen and never locked: the numbers of a
//! person do not wait for those of another. Latency counts from the intended time (open loop: a
//! late sender is the broker's delay too); service time, from handing the message to the SDK, is
//! kept beside it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;
use wardline_client::{Ack, Sequence};

use super::pace::Schedule;

/// After the first ack that follows a restart, the broker is taken to be itself again when this has
/// passed.
const SETTLING: Duration = Duration::from_secs(5);

/// The record of a replay.
#[derive(Debug)]
pub struct Record {
    origin: Instant,
    slots: Box<[Slot]>,
    counts: Counts,
    outage: OutageMarks,
}

/// Times are microseconds from the origin; 0: not yet.
#[derive(Debug, Default)]
struct Slot {
    sent_us: AtomicU64,
    acked_us: AtomicU64,
    arrived_us: AtomicU64,
    sequence: AtomicU64,
    is_away: AtomicBool,
}

/// What the people counted while they lived.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages acknowledged.
    pub acked: AtomicUsize,
    /// Messages that their recipient took from the inbox.
    pub arrived: AtomicUsize,
    /// Messages that their sender's device got back from the broker, in its place among the others.
    pub echoed: AtomicUsize,
    /// Messages that their recipient has read.
    pub read: AtomicUsize,
    /// Messages that the SDK gave up.
    pub failed: AtomicUsize,
    /// Messages that came to an inbox twice.
    pub duplicated: AtomicUsize,
    /// Messages that came to an inbox out of order.
    pub reordered: AtomicUsize,
    /// Entries in an inbox that are nobody's message.
    pub foreign: AtomicUsize,
    /// Receipts pushed.
    pub receipts: AtomicUsize,
    /// Receipts pushed that went back, in place or time.
    pub receipts_regressed: AtomicUsize,
    /// Sessions that ended for good without being asked to.
    pub sessions_refused: AtomicUsize,
    /// Sessions that the SDK opened again by itself.
    pub reconnects: AtomicUsize,
}

#[derive(Debug, Default)]
struct OutageMarks {
    killed_us: AtomicU64,
    /// Unix time.
    restarted_at_ms: AtomicU64,
    first_ack_us: AtomicU64,
    last_reconnect_us: AtomicU64,
    unacked: AtomicUsize,
}

/// What a kill of the broker looked like to the clients, from the kill.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outage {
    /// When, from the replay's beginning.
    pub at_s: f64,
    /// Messages handed to the SDK and not acknowledged at that moment.
    pub in_flight: usize,
    /// Until the first ack of a message that the broker committed after it was started again.
    pub first_ack_ms: Option<f64>,
    /// Until the last client was back.
    pub last_reconnect_ms: Option<f64>,
}

/// Percentiles of a latency.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// Messages measured.
    pub count: u64,
    /// Half of them took at most so long.
    pub p50_ms: f64,
    /// 99 % took at most so long.
    pub p99_ms: f64,
    /// 99.9 % took at most so long.
    pub p999_ms: f64,
    /// The worst one.
    pub max_ms: f64,
}

/// A latency, with and without the time around the kill.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Of all messages.
    pub all: Percentiles,
    /// Of those intended before the kill or well after the restart. The same as `all` if nobody
    /// killed the broker.
    pub steady: Percentiles,
}

/// The latencies of a replay.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latencies {
    /// From the intended time to the ack.
    pub publish_ack: Latency,
    /// From the intended time to the recipient's inbox, if the recipient was online.
    pub publish_to_deliver: Latency,
    /// From handing it to the SDK to the ack.
    pub publish_ack_service: Latency,
    /// From handing it to the SDK to the recipient's inbox, if the recipient was online.
    pub publish_to_deliver_service: Latency,
}

impl Record {
    /// A record of so many messages; the replay begins at `origin`.
    pub fn new(origin: Instant, messages: usize) -> Self {
        let slots = (0..messages).map(|_| Slot::default()).collect();
        Self { origin, slots, counts: Counts::default(), outage: OutageMarks::default() }
    }

    /// What is counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The moment that lies so far into the replay.
    pub fn moment(&self, offset: Duration) -> Instant {
        self.origin + offset
    }

    /// Notes that a message's recipient was away when it was due.
    pub fn away(&self, message: usize) {
        self.slots[message].is_away.store(true, Relaxed);
    }

    /// Notes that a message was handed to the SDK.
    pub fn sent(&self, message: usize) {
        self.slots[message].sent_us.store(self.now_us(), Relaxed);
    }

    /// Notes that a message was acknowledged.
    pub fn acked(&self, message: usize, ack: Ack) {
        let now_us = self.now_us();
        self.slots[message].sequence.store(ack.sequence, Relaxed);
        self.slots[message].acked_us.store(now_us, Relaxed);
        self.counts.acked.fetch_add(1, Relaxed);
        let restarted_at_ms = self.outage.restarted_at_ms.load(Relaxed);
        // By the broker's clock: an ack of the killed broker may still wait in a socket, and a
        // message that it made durable keeps its time when it is published again.
        if restarted_at_ms != 0 && ack.time_ms >= restarted_at_ms {
            // Only the first one counts.
            let _ = self.outage.first_ack_us.compare_exchange(0, now_us, Relaxed, Relaxed);
        }
    }

    /// Notes that a message's recipient took it from the inbox.
    pub fn arrived(&self, message: usize) {
        self.slots[message].arrived_us.store(self.now_us(), Relaxed);
        self.counts.arrived.fetch_add(1, Relaxed);
    }

    /// Notes that a client was back after it had lost its session.
    pub fn reconnected(&self) {
        self.counts.reconnects.fetch_add(1, Relaxed);
        self.outage.last_reconnect_us.fetch_max(self.now_us(), Relaxed);
    }

    /// Notes that the broker is being killed.
    pub fn broker_killed(&self) {
        let is_open = |slot: &&Slot| slot.sent_us.load(Relaxed) != 0 && slot.acked_us.load(Relaxed) == 0;
        self.outage.unacked.store(self.slots.iter().filter(is_open).count(), Relaxed);
        self.outage.killed_us.store(self.now_us(), Relaxed);
    }

    /// Notes that the broker is being started again. What it commits from now on is the new one's.
    /// Its clock is taken to be ours: whoever kills a broker runs on the same machine.
    pub fn broker_restarted(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.outage.restarted_at_ms.store(now.as_millis() as u64, Relaxed);
    }

    /// Where a message was acknowledged to stand; `None`: it was not.
    pub fn sequence(&self, message: usize) -> Option<Sequence> {
        let sequence = self.slots[message].sequence.load(Relaxed);
        (sequence != 0).then_some(sequence)
    }

    /// Messages whose recipient was away.
    pub fn to_absent(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_away.load(Relaxed)).count()
    }

    /// What the kill looked like; `None`: there was none.
    pub fn outage(&self) -> Option<Outage> {
        let killed_us = nonzero(&self.outage.killed_us)?;
        let since = |mark: &AtomicU64| {
            let at_us = nonzero(mark).filter(|&at_us| at_us > killed_us)?;
            Some((at_us - killed_us) as f64 / 1e3)
        };
        Some(Outage {
            at_s: killed_us as f64 / 1e6,
            in_flight: self.outage.unacked.load(Relaxed),
            first_ack_ms: since(&self.outage.first_ack_us),
            last_reconnect_ms: since(&self.outage.last_reconnect_us),
        })
    }

    /// Sums up.
    pub fn latencies(&self, schedule: &Schedule) -> Latencies {
        let intended = |index: usize| Some(schedule.intended(index).as_micros() as u64);
        let sent = |index: usize| nonzero(&self.slots[index].sent_us);
        let acked = |index: usize| nonzero(&self.slots[index].acked_us);
        let arrived = |index: usize| {
            let slot = &self.slots[index];
            nonzero(&slot.arrived_us).filter(|_| !slot.is_away.load(Relaxed))
        };
        Latencies {
            publish_ack: self.latency(schedule, intended, acked),
            publish_to_deliver: self.latency(schedule, intended, arrived),
            publish_ack_service: self.latency(schedule, sent, acked),
            publish_to_deliver_service: self.latency(schedule, sent, arrived),
        }
    }

    fn latency(
        &self,
        schedule: &Schedule,
        from: impl Fn(usize) -> Option<u64>,
        to: impl Fn(usize) -> Option<u64>,
    ) -> Latency {
        let disturbed = self.disturbed();
        let (mut all, mut steady) = (histogram(), histogram());
        for index in 0..self.slots.len() {
            let (Some(from_us), Some(to_us)) = (from(index), to(index)) else { continue };
            let latency_us = to_us.saturating_sub(from_us);
            all.saturating_record(latency_us);
            if !disturbed.as_ref().is_some_and(|d| d.contains(&schedule.intended(index))) {
                steady.saturating_record(latency_us);
            }
        }
        Latency { all: percentiles(&all), steady: percentiles(&steady) }
    }

    /// When messages were intended that the kill may have delayed. What was in flight at the kill
    /// was intended moments before.
    fn disturbed(&self) -> Option<std::ops::Range<Duration>> {
        let killed = Duration::from_micros(nonzero(&self.outage.killed_us)?);
        let first_ack = nonzero(&self.outage.first_ack_us).map_or(Duration::MAX, Duration::from_micros);
        Some(killed.saturating_sub(Duration::from_secs(1))..first_ack.saturating_add(SETTLING))
    }

    fn now_us(&self) -> u64 {
        // 0 means never.
        (self.origin.elapsed().as_micros() as u64).max(1)
    }
}

fn nonzero(mark: &AtomicU64) -> Option<u64> {
    Some(mark.load(Relaxed)).filter(|&us| us != 0)
}

/// From a microsecond to ten minutes, to a part in a thousand.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid")
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Percentiles {
        count: histogram.len(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: histogram.max() as f64 / 1e3,
    }
}
