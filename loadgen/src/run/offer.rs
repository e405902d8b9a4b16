//! Makes messages fall due: on schedule (open loop), or whenever another has landed (closed loop).
//!
//! The open loop never looks at how the broker fares: what is due is put on a publisher's desk
//! whether or not the one before was acknowledged. Nothing is sent here.

use std::rc::Rc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::clock::Timer;
use super::stage::Stage;
use crate::plan::arrivals::Arrivals;
use crate::seed::{Purpose, mix};
use crate::workload::{Landing, Window};

/// Shortest sleep: at high rates a few messages fall due together, this late at most.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// How much is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// So many messages a second, shared among the traffics that scale; 0: those are silent.
    Open(f64),
    /// So many in flight.
    Closed(Window),
}

/// What falls due, traffic by traffic.
pub(crate) struct Offer {
    /// Which traffic, its payloads, and when.
    scheduled: Vec<(usize, usize, Arrivals)>,
    rng: SmallRng,
    until_ns: u64,
}

impl Offer {
    /// Lays out what falls due between two times; `stream` sets repetitions and trials apart.
    pub(crate) fn new(
        stage: &Stage,
        load: Load,
        from_ns: u64,
        until_ns: u64,
        seed: u64,
        stream: u64,
    ) -> Self {
        let mut scheduled = Vec::new();
        for (number, traffic) in stage.workload.traffics.iter().enumerate() {
            let rate_per_s = match (load, traffic.share, traffic.per_s) {
                (_, None, Some(per_s)) => per_s,
                (Load::Open(rate_per_s), Some(share), _) if rate_per_s > 0.0 => rate_per_s * share,
                _ => continue,
            };
            let stream = (stream << 8) + number as u64;
            let arrivals = Arrivals::new(traffic.arrivals, rate_per_s, from_ns, seed, stream);
            scheduled.push((number, traffic.payload_bytes as usize, arrivals));
        }
        let rng = SmallRng::seed_from_u64(mix(seed, Purpose::Target, stream));
        Self { scheduled, rng, until_ns }
    }

    /// Lets everything fall due that is scheduled, until the end.
    ///
    /// # Errors
    /// If there is no timer.
    pub(crate) async fn open(mut self, stage: Rc<Stage>) -> anyhow::Result<()> {
        let timer = Timer::new()?;
        loop {
            let next = self.scheduled.iter_mut().min_by_key(|(.., arrivals)| arrivals.next_ns());
            let Some((traffic, payload_bytes, arrivals)) = next else { return Ok(()) };
            let next_ns = arrivals.next_ns();
            if next_ns >= self.until_ns {
                return Ok(());
            }
            let now_ns = stage.clock.now_ns();
            if next_ns > now_ns {
                timer.sleep(Duration::from_nanos(next_ns - now_ns).max(SLEEP_MIN)).await?;
                continue;
            }
            arrivals.advance();
            let target = stage.plan.draw(*traffic, &mut self.rng);
            stage.fall_due(target, *payload_bytes, next_ns);
        }
    }
}

/// Keeps so many messages in flight, until it is dropped.
pub(crate) async fn closed(stage: Rc<Stage>, window: Window, seed: u64, stream: u64) {
    let mut rng = SmallRng::seed_from_u64(mix(seed, Purpose::Target, !stream));
    let scaled: Vec<_> = (stage.workload.traffics.iter().enumerate())
        .filter(|(_, traffic)| traffic.share.is_some())
        .map(|(number, traffic)| (number, traffic.payload_bytes as usize))
        .collect();
    stage.window.until.set(Some(window.until));
    let mut turn = 0;
    loop {
        while stage.window.in_flight.get() < window.in_flight {
            let (traffic, payload_bytes) = scaled[turn % scaled.len()];
            turn += 1;
            stage.window.in_flight.set(stage.window.in_flight.get() + 1);
            let target = stage.plan.draw(traffic, &mut rng);
            stage.fall_due(target, payload_bytes, stage.clock.now_ns());
        }
        stage.window.bell.notified().await;
    }
}

/// Whether a closed loop's time counts from the intended time: it has none.
pub(crate) fn describe(load: Load) -> String {
    match load {
        Load::Open(_) => "open loop: latencies count from the intended time".into(),
        Load::Closed(window) => format!(
            "closed loop, {} in flight until {}: latencies are service times, and say nothing about a given rate",
            window.in_flight,
            match window.until {
                Landing::Acked => "acknowledged",
                Landing::Delivered => "delivered to all",
            }
        ),
    }
}
