//! When things happen in a replay: the trace's half year in two minutes.
//!
//! Open loop: a message has an intended time that does not depend on how the broker fares, and
//! latency counts from there. The trace is bursty beyond what compression by a constant leaves
//! playable (half of all messages fall into four weeks of spring, and summer is empty), so a
//! message's place is half its calendar time and half its rank: order is kept, lulls and bursts
//! remain, and the rate stays under twice the mean. Pure: no clock.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, LogNormal};

use super::trace::Trace;
use crate::seed::{Purpose, mix};

/// How much of a message's place is its calendar time; the rest is its rank.
const CALENDAR_SHARE: f64 = 0.5;
/// Median time from receiving to reading, before compression.
pub const READ_DELAY_MEDIAN: Duration = Duration::from_secs(120);
/// Sigma of the log-normal: two thirds of all messages are read between 16 seconds and 15 minutes.
pub const READ_DELAY_SIGMA: f64 = 2.0;
/// No message is read later than this, before compression: three days.
const READ_DELAY_MAX_S: f64 = 3.0 * 86_400.0;

/// The intended times of a replay.
#[derive(Clone, Debug)]
pub struct Schedule {
    intended: Vec<Duration>,
    duration: Duration,
    speed: f64,
}

impl Schedule {
    /// Lays the trace out over this time.
    pub fn new(trace: &Trace, duration: Duration) -> Self {
        let first = trace.messages.first().map_or(0, |message| message.sent_at_s);
        let last = trace.messages.last().map_or(0, |message| message.sent_at_s);
        let span = (last - first).max(1) as f64;
        let count = trace.messages.len().max(1) as f64;
        let place = |(rank, sent_at_s): (usize, u64)| {
            let calendar = (sent_at_s - first) as f64 / span;
            let place = CALENDAR_SHARE * calendar + (1.0 - CALENDAR_SHARE) * (rank as f64 / count);
            duration.mul_f64(place)
        };
        let times = trace.messages.iter().map(|message| message.sent_at_s);
        let intended = times.enumerate().map(place).collect();
        Self { intended, duration, speed: span / duration.as_secs_f64() }
    }

    /// When a message is to be published, from the replay's beginning. Ascends with the index.
    pub fn intended(&self, message: usize) -> Duration {
        self.intended[message]
    }

    /// How long the replay takes if the broker keeps up.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How many seconds of the trace pass in one of the replay.
    pub fn speed(&self) -> f64 {
        self.speed
    }
}

/// Draws how long a recipient waits before reading a message.
#[derive(Clone, Debug)]
pub struct ReadDelay {
    seed: u64,
    speed: f64,
    distribution: LogNormal<f64>,
}

impl ReadDelay {
    /// Draws for a replay with this seed and speed.
    pub fn new(seed: u64, speed: f64) -> Self {
        let distribution = LogNormal::new(READ_DELAY_MEDIAN.as_secs_f64().ln(), READ_DELAY_SIGMA)
            .expect("sigma is finite and positive");
        Self { seed, speed, distribution }
    }

    /// The delay of a message, compressed. The same whenever asked.
    pub fn of(&self, message: usize) -> Duration {
        let mut rng = SmallRng::seed_from_u64(mix(self.seed, Purpose::ReadDelay, message as u64));
        let delay_s = self.distribution.sample(&mut rng).min(READ_DELAY_MAX_S);
        Duration::from_secs_f64(delay_s / self.speed)
    }
}
