//! When messages are due: a schedule that does not know how the broker fares.
//!
//! Made ahead, one traffic at a time, lazily and in order. Constant spacing or a Poisson process
//! (exponential gaps, drawn by inversion). Pure: no clock. Times are nanoseconds from the run's
//! origin; the sum is kept as a fraction so that no rate drifts.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::seed::{Purpose, mix};
use crate::workload::ArrivalKind;

/// The due times of one traffic.
#[derive(Clone, Debug)]
pub struct Arrivals {
    kind: ArrivalKind,
    gap_ns: f64,
    next_ns: f64,
    rng: SmallRng,
}

impl Arrivals {
    /// Begins a schedule; `stream` sets traffics, repetitions and trials apart.
    pub fn new(kind: ArrivalKind, rate_per_s: f64, from_ns: u64, seed: u64, stream: u64) -> Self {
        let mut arrivals = Self {
            kind,
            gap_ns: 1e9 / rate_per_s,
            next_ns: from_ns as f64,
            rng: SmallRng::seed_from_u64(mix(seed, Purpose::Arrivals, stream)),
        };
        arrivals.advance();
        arrivals
    }

    /// When the next message is due.
    pub fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.next_ns += match self.kind {
            ArrivalKind::Constant => self.gap_ns,
            // 1 - u lies in (0, 1]: its logarithm is finite.
            ArrivalKind::Poisson => -(1.0 - self.rng.random::<f64>()).ln() * self.gap_ns,
        };
    }
}
