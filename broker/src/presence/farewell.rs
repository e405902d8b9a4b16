//! How a broker that ends parts from its clients: why, and when they are to come back.
//!
//! Each is given a delay of its own: at least what a refused client waits, and over so long a time
//! as the broker that follows needs to take that many in, so that they do not all come at once.
//! Said once, before the first session is ended.

use std::sync::OnceLock;
use std::time::Duration;

use crate::refusal::{Code, Refusal};

/// How many clients a starting broker is expected to take in: measured with handshake, token and
/// backlog on two cores.
const RECONNECTS_PER_SECOND: f64 = 2_000.0;
/// Delay in multiples of the least one: the broker that follows has to open the store first.
pub(crate) const LEAST: f64 = 10.0;

/// Why and how sessions are ended by the broker's end. Unset until then.
#[derive(Debug, Default)]
pub(crate) struct Farewell(OnceLock<Parting>);

#[derive(Clone, Copy, Debug)]
struct Parting {
    failed: bool,
    spread: Duration,
}

impl Farewell {
    /// Decides it, for so many clients. The first time counts.
    pub(crate) fn decide(&self, failed: bool, clients: usize) {
        let spread = Duration::from_secs_f64(clients as f64 / RECONNECTS_PER_SECOND);
        // A second stop changes nothing.
        let _ = self.0.set(Parting { failed, spread });
    }

    /// Which code connections are closed with.
    pub(crate) fn code(&self) -> Code {
        if self.0.get().is_some_and(|parting| parting.failed) {
            Code::Unavailable
        } else {
            Code::ShuttingDown
        }
    }

    /// What one client is told. `least` is what it waits in any case.
    pub(crate) fn to_client(&self, least: Duration) -> Refusal {
        let text = match self.code() {
            Code::Unavailable => "the broker's store failed: what was not acknowledged, send again",
            _ => "the broker is stopping",
        };
        let spread = self.0.get().map_or(Duration::ZERO, |parting| parting.spread);
        Refusal::new(self.code(), text).after(least + spread.mul_f64(rand::random_range(0.0..1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_over_the_time_that_taking_them_in_needs() {
        let (least, farewell) = (Duration::from_secs(1), Farewell::default());
        assert_eq!(farewell.to_client(least).retry_after, least);
        farewell.decide(false, 50_000);
        let delays: Vec<_> = (0..1_000).map(|_| farewell.to_client(least).retry_after).collect();
        assert!(delays.iter().all(|delay| (1.0..=26.0).contains(&delay.as_secs_f64())), "{delays:?}");
        for from in [1.0, 6.0, 11.0, 16.0, 21.0] {
            let within =
                delays.iter().filter(|delay| (from..from + 5.0).contains(&delay.as_secs_f64())).count();
            assert!((100..300).contains(&within), "{within} of 1,000 from {from} s on");
        }
    }

    #[test]
    fn a_failed_store_is_no_ordinary_stop() {
        let farewell = Farewell::default();
        assert_eq!(farewell.to_client(Duration::ZERO).code, Code::ShuttingDown);
        farewell.decide(true, 3);
        farewell.decide(false, 3);
        assert_eq!(farewell.to_client(Duration::ZERO).code, Code::Unavailable);
    }
}
