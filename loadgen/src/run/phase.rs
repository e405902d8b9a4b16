//! One stretch of load: warm-up, measured time, drain.
//!
//! Watches while the load runs: closes each second, tells how it stands, and ends early when it
//! must: stopped by hand, a broker that is silent, a backlog that is past all bounds. Whatever ends
//! it, what was measured until then is kept.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::exported::Exported;
use super::moment::Moment;
use super::offer::{self, Load, Offer};
use super::stage::Stage;
use super::usage::{Machine, Process, Used};
use crate::measure::recorder::{Name, Recorder};
use crate::progress::Progress;
use crate::result::{Second, Usage};

/// From laying out the schedule to its first message.
const HEAD_START: Duration = Duration::from_millis(50);
/// How often it is looked at.
const TICK: Duration = Duration::from_millis(100);
/// A broker that does nothing for so long while something is outstanding is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Longest drain, however much still happens.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// The same once it was stopped by hand: somebody is waiting.
const STOPPED_DRAIN_MAX: Duration = Duration::from_secs(5);
/// A backlog of so many seconds of the offered rate is past all bounds.
const BACKLOG_S_MAX: f64 = 10.0;
/// The same where no rate is offered, or a low one.
const BACKLOG_MAX: u64 = 50_000;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) load: Load,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
    /// Sets repetitions and trials apart.
    pub(crate) stream: u64,
    /// Ends as soon as the backlog is beyond this many seconds of the rate.
    pub(crate) backlog_s_max: f64,
}

impl Phase {
    pub(crate) fn measured(load: Load, warmup: Duration, duration: Duration, seed: u64, stream: u64) -> Self {
        Self { load, warmup, duration, seed, stream, backlog_s_max: BACKLOG_S_MAX }
    }

    fn backlog_max(&self) -> u64 {
        match self.load {
            Load::Open(rate_per_s) if self.backlog_s_max < BACKLOG_S_MAX => {
                (rate_per_s * self.backlog_s_max) as u64 + 100
            }
            Load::Open(rate_per_s) => ((rate_per_s * self.backlog_s_max) as u64).max(BACKLOG_MAX),
            Load::Closed(window) => u64::from(window.in_flight) + BACKLOG_MAX,
        }
    }
}

/// Why a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its time was over, and everything arrived.
    Complete,
    /// Its time was over; not everything arrived while something still happened.
    Undrained,
    /// Somebody stopped it.
    Stopped,
    /// The broker did nothing any more.
    Silent,
    /// The backlog was past all bounds.
    Overrun,
}

/// How a phase went.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) ending: Ending,
    pub(crate) measured: Duration,
    pub(crate) generator: Usage,
    pub(crate) broker: Option<Usage>,
    pub(crate) steal: f64,
    /// CPU time of everybody else on this machine.
    pub(crate) others_s: f64,
    /// Messages due and not acknowledged, halfway through and at the end of the measured time.
    pub(crate) backlogs: [u64; 2],
    /// Deliveries still to come, halfway through and at the end of the measured time.
    pub(crate) outstanding: [u64; 2],
}

/// Watches a phase.
pub(crate) struct Watch<'a> {
    pub(crate) stage: &'a Rc<Stage>,
    pub(crate) broker: Option<Process>,
    pub(crate) progress: &'a Progress,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) exported: Exported,
    pub(crate) moment: &'a watch::Sender<Moment>,
}

/// What was used when a second, or the measured time, began.
#[derive(Clone, Copy, Debug)]
struct Readings {
    at_ns: u64,
    generator: Used,
    broker: Option<Used>,
    machine: Machine,
}

impl Watch<'_> {
    /// Runs a phase. `at_start` is called when it is laid out, with the beginning of its measured
    /// time.
    ///
    /// # Errors
    /// If the generator itself cannot work: no timer, no `/proc`, no histogram.
    pub(crate) async fn play(&self, phase: Phase, at_start: impl FnOnce(u64)) -> anyhow::Result<Played> {
        let clock = self.stage.clock;
        let begin_ns = clock.now_ns() + HEAD_START.as_nanos() as u64;
        let from_ns = begin_ns + phase.warmup.as_nanos() as u64;
        let until_ns = from_ns + phase.duration.as_nanos() as u64;
        *self.stage.recorder.borrow_mut() =
            Recorder::new(from_ns..until_ns, matches!(phase.load, Load::Closed(_)));
        at_start(from_ns);
        self.moment.send_replace(Moment::WarmingUp);
        let offering = self.offer(phase, begin_ns, until_ns);
        let warmed = self.warm_up(phase, from_ns).await;
        let first = self.readings()?;
        let (measured, backlogs, outstanding) = match warmed {
            Some(ending) => (Err(ending), [self.stage.backlog(); 2], [self.outstanding(); 2]),
            None => {
                self.moment.send_replace(Moment::Measuring);
                self.measure(phase, from_ns, until_ns).await?
            }
        };
        self.moment.send_replace(Moment::Over);
        let last = self.readings()?;
        for task in &offering {
            task.abort();
        }
        self.stage.window.until.set(None);
        let ending = match measured {
            Ok(()) => self.drain().await,
            Err(Ending::Silent) => Ending::Silent,
            Err(ending) => {
                self.stage.recorder.borrow_mut().cut(last.at_ns);
                // What is under way may still arrive; what was to be sent is given up.
                self.drop_due();
                match self.drain().await {
                    Ending::Silent => Ending::Silent,
                    _ => ending,
                }
            }
        };
        for task in offering {
            if let Ok(offered) = task.await {
                offered?;
            }
        }
        let at = Duration::from_nanos(last.at_ns.saturating_sub(from_ns));
        self.stage.recorder.borrow_mut().merge(at, Duration::from_secs(1))?;
        Ok(self.played(ending, first, last, backlogs, outstanding))
    }

    /// Starts what makes messages fall due.
    fn offer(&self, phase: Phase, begin_ns: u64, until_ns: u64) -> Vec<JoinHandle<anyhow::Result<()>>> {
        let (stage, Phase { load, seed, stream, .. }) = (self.stage, phase);
        let open = Offer::new(stage, load, begin_ns, until_ns, seed, stream).open(stage.clone());
        let mut tasks = vec![tokio::task::spawn_local(open)];
        if let Load::Closed(window) = load {
            let stage = stage.clone();
            tasks.push(tokio::task::spawn_local(async move {
                offer::closed(stage, window, seed, stream).await;
                Ok(())
            }));
        }
        tasks
    }

    /// Waits until the measured time begins; tells what ended it before.
    async fn warm_up(&self, phase: Phase, from_ns: u64) -> Option<Ending> {
        let mut silence = Silence::new(self.stage);
        loop {
            let now_ns = self.stage.clock.now_ns();
            if now_ns >= from_ns {
                return None;
            }
            let rest = Duration::from_nanos(from_ns - now_ns);
            if let Some(ending) = self.tick(rest.min(TICK), phase, &mut silence).await {
                return Some(ending);
            }
            self.tell("warming up", rest, 0.0);
        }
    }

    #[allow(clippy::type_complexity, reason = "halves of one answer, taken apart at once")]
    async fn measure(
        &self,
        phase: Phase,
        from_ns: u64,
        until_ns: u64,
    ) -> anyhow::Result<(Result<(), Ending>, [u64; 2], [u64; 2])> {
        let stage = self.stage;
        let mut silence = Silence::new(stage);
        let mut last = self.readings()?;
        let half_ns = from_ns.midpoint(until_ns);
        let (mut backlogs, mut outstanding) = ([stage.backlog(); 2], [self.outstanding(); 2]);
        loop {
            let now_ns = stage.clock.now_ns();
            if now_ns < half_ns {
                (backlogs[0], outstanding[0]) = (stage.backlog(), self.outstanding());
            }
            let is_over = now_ns >= until_ns;
            if is_over || now_ns >= last.at_ns + 1_000_000_000 {
                last = self.close_second(from_ns, last)?;
            }
            if is_over {
                (backlogs[1], outstanding[1]) = (stage.backlog(), self.outstanding());
                return Ok((Ok(()), backlogs, outstanding));
            }
            let next_ns = until_ns.min(last.at_ns + 1_000_000_000);
            let rest = Duration::from_nanos(next_ns.saturating_sub(now_ns));
            if let Some(ending) = self.tick(rest.min(TICK), phase, &mut silence).await {
                self.close_second(from_ns, last)?;
                (backlogs[1], outstanding[1]) = (stage.backlog(), self.outstanding());
                return Ok((Err(ending), backlogs, outstanding));
            }
            let lasted = Duration::from_nanos(stage.clock.now_ns() - last.at_ns);
            self.tell(
                "measuring",
                Duration::from_nanos(until_ns.saturating_sub(now_ns)),
                lasted.as_secs_f64(),
            );
        }
    }

    /// Waits a moment; tells why to end.
    async fn tick(&self, rest: Duration, phase: Phase, silence: &mut Silence) -> Option<Ending> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Some(Ending::Stopped),
            () = sleep(rest) => {}
        }
        if silence.is_too_long(self.stage) {
            return Some(Ending::Silent);
        }
        (self.stage.backlog() > phase.backlog_max()).then_some(Ending::Overrun)
    }

    /// Waits until everything has arrived.
    async fn drain(&self) -> Ending {
        let begun = Instant::now();
        let mut silence = Silence::new(self.stage);
        while self.stage.backlog() > 0 || self.outstanding() > 0 {
            let longest = if self.stop.is_cancelled() { STOPPED_DRAIN_MAX } else { DRAIN_MAX };
            let rest = longest.saturating_sub(begun.elapsed());
            if rest.is_zero() {
                return Ending::Undrained;
            }
            sleep(TICK).await;
            if silence.is_too_long(self.stage) {
                return Ending::Silent;
            }
            self.tell("draining", rest, 0.0);
        }
        Ending::Complete
    }

    fn close_second(&self, from_ns: u64, last: Readings) -> anyhow::Result<Readings> {
        let now = self.readings()?;
        let lasted = Duration::from_nanos((now.at_ns - last.at_ns).max(1));
        let cores = |now: Used, last: Used| (now.cpu_s() - last.cpu_s()) / lasted.as_secs_f64();
        let second = Second {
            at_s: Duration::from_nanos(last.at_ns.saturating_sub(from_ns)).as_secs_f64(),
            backlog: self.stage.backlog(),
            generator_cores: cores(now.generator, last.generator),
            broker_cores: now.broker.zip(last.broker).map(|(now, last)| cores(now, last)),
            broker_resident_bytes: now.broker.map(|broker| broker.resident_bytes),
            generator_resident_bytes: now.generator.resident_bytes,
            ..Second::default()
        };
        self.exported.tell_second(&self.stage.recorder.borrow(), &second);
        self.stage.recorder.borrow_mut().close_second(lasted, second)?;
        Ok(now)
    }

    fn readings(&self) -> anyhow::Result<Readings> {
        Ok(Readings {
            at_ns: self.stage.clock.now_ns(),
            generator: Process::own().used().context("cannot read /proc: the generator runs on Linux")?,
            broker: self.broker.and_then(Process::used),
            machine: Machine::now(),
        })
    }

    fn played(
        &self,
        ending: Ending,
        first: Readings,
        last: Readings,
        backlogs: [u64; 2],
        outstanding: [u64; 2],
    ) -> Played {
        let recorder = self.stage.recorder.borrow();
        let seconds = recorder.seconds();
        let broker_max = seconds.iter().filter_map(|second| second.broker_resident_bytes).max().unwrap_or(0);
        let generator_max = seconds.iter().map(|second| second.generator_resident_bytes).max().unwrap_or(0);
        let generator = last.generator.since(&first.generator, generator_max);
        let broker = last.broker.zip(first.broker).map(|(last, first)| last.since(&first, broker_max));
        let ours_s = generator.cpu_s + broker.map_or(0.0, |broker| broker.cpu_s);
        Played {
            ending,
            measured: Duration::from_nanos(last.at_ns.saturating_sub(first.at_ns)),
            generator,
            broker,
            others_s: (last.machine.busy_s_since(first.machine) - ours_s).max(0.0),
            steal: last.machine.steal_since(first.machine),
            backlogs,
            outstanding,
        }
    }

    fn drop_due(&self) {
        let totals = &self.stage.totals;
        for desk in self.stage.desks.iter().flatten() {
            let dropped = std::mem::take(&mut *desk.due.borrow_mut()).len() as u64;
            totals.due.set(totals.due.get() - dropped);
        }
    }

    fn outstanding(&self) -> u64 {
        self.stage.ledger.borrow().outstanding()
    }

    fn tell(&self, phase: &'static str, rest: Duration, lasted_s: f64) {
        self.exported.tell(self.stage);
        let recorder = self.stage.recorder.borrow();
        let failed = self.stage.totals.failed.get();
        let backlog = self.stage.backlog();
        let (acked, delivered) = recorder.this_second();
        let rates = if lasted_s > 0.3 {
            format!(
                "{:.0} acked/s, {:.0} delivered/s, p99 {:.1} ms, ",
                acked as f64 / lasted_s,
                delivered as f64 / lasted_s,
                p99_us(&recorder, Name::DeliverService).max(p99_us(&recorder, Name::PublishAckService))
                    as f64
                    / 1e3,
            )
        } else {
            String::new()
        };
        self.progress
            .live(&format!("{phase}: {rates}backlog {backlog}, errors {failed}, {}s to go", rest.as_secs()));
    }
}

fn p99_us(recorder: &Recorder, name: Name) -> u64 {
    recorder.quantile_us(name, 0.99).unwrap_or(0)
}

/// Notices that nothing happens although something should.
struct Silence {
    happened: u64,
    since: Instant,
}

impl Silence {
    fn new(stage: &Stage) -> Self {
        Self { happened: stage.happened(), since: Instant::now() }
    }

    fn is_too_long(&mut self, stage: &Stage) -> bool {
        let happened = stage.happened();
        let is_idle = stage.backlog() == 0 && stage.ledger.borrow().outstanding() == 0;
        if is_idle || happened != self.happened {
            *self = Self { happened, since: Instant::now() };
        }
        self.since.elapsed() > SILENCE_MAX
    }
}
