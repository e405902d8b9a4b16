//! Runs a workload: sets it up, offers its load, measures, checks, and says whether the figures may
//! be used.
//!
//! Open loop: what falls due does not depend on how the broker fares, and latency counts from the
//! intended time. Every repetition is a fresh population; its books are closed at its end and
//! anything lost, twice, out of order or made up fails the run. One thread: the clients' work is
//! many small steps, and the broker gets the other cores.

mod clock;
pub mod exported;
pub mod moment;
mod offer;
mod person;
mod phase;
mod reading;
pub mod search;
mod set_up;
mod shift;
mod stage;
pub(crate) mod usage;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::exported::Exported;
use self::moment::Moment;
use self::offer::Load;
use self::phase::{Ending, Phase, Played, Watch};
use self::set_up::Scene;
use self::usage::Process;
use crate::dialler::Dialler;
use crate::measure::recorder::Name;
use crate::measure::samples;
use crate::progress::Progress;
use crate::result::{Integrity, Rates, Repeat, Verdict};
use crate::seed::{Purpose, mix};
use crate::workload::{Rate, Workload};

/// Share of its one core from which on the generator is the bottleneck.
const GENERATOR_CPU_MAX: f64 = 0.95;
/// Share of the machine's cores that others may use: beyond, the figures are theirs as much as the
/// broker's.
const OTHERS_SHARE_MAX: f64 = 0.15;
/// Share of the machine's time that may be stolen: beyond, the figures are the host's.
const STEAL_MAX: f64 = 0.05;
/// Late sends beyond this (99th percentile) make the generator the bottleneck.
const LATE_SEND_P99_MAX: Duration = Duration::from_millis(5);

/// Sets the messages that are offered alone apart from the others.
const ALONE_STREAM: u64 = 1 << 31;
/// What is offered next, of a rate that was found and then not sustained.
const STEP_DOWN: f64 = 0.9;

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Run {
    /// What.
    pub workload: Workload,
    /// How much.
    pub rate: Rate,
    /// How long before anything counts.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// How often.
    pub repeats: u32,
    /// Draws everything that is drawn.
    pub seed: u64,
    /// The broker's process, if it can be looked at.
    pub broker_pid: Option<u32>,
    /// Told how far it is, for whatever else is done at certain moments of it.
    pub moment: watch::Sender<Moment>,
}

/// What a run found, before it is put together with where it ran.
#[derive(Debug)]
pub struct Found {
    /// Each repetition.
    pub repeats: Vec<Repeat>,
    /// By repetition: name and text of the interval logs.
    pub logs: Vec<Vec<(&'static str, Vec<u8>)>>,
    /// Whether the figures may be used.
    pub verdict: Verdict,
    /// As the broker told.
    pub broker_version: String,
    /// Stopped by hand.
    pub is_stopped: bool,
}

impl Run {
    /// Runs it, on the current task's thread; within a `LocalSet`.
    ///
    /// # Errors
    /// If it could not be tried: the broker is not there, or refuses somebody. The text is the
    /// broker's.
    pub async fn run(
        &self,
        dialler: &Arc<Dialler>,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> anyhow::Result<Found> {
        if self.rate.needs_search() && self.workload.reconnect.is_some() {
            bail!("the highest rate cannot be looked for while devices reconnect: name a rate");
        }
        let mut found = Found {
            repeats: Vec::new(),
            logs: Vec::new(),
            verdict: Verdict { passed: true, valid: true, reasons: Vec::new() },
            broker_version: String::new(),
            is_stopped: false,
        };
        for number in 0..self.repeats {
            progress.note(&format!("{} {} of {}", self.workload.name, number + 1, self.repeats));
            let ending = self.repeat(number, dialler, progress, stop, &mut found).await?;
            found.is_stopped = ending == Ending::Stopped || stop.is_cancelled();
            if found.is_stopped || ending == Ending::Silent {
                break;
            }
        }
        if found.repeats.is_empty() {
            found.verdict.valid = false;
            found.verdict.reasons.extend(Ending::Stopped.trouble());
        }
        Ok(found)
    }

    async fn repeat(
        &self,
        number: u32,
        dialler: &Arc<Dialler>,
        progress: &Progress,
        stop: &CancellationToken,
        found: &mut Found,
    ) -> anyhow::Result<Ending> {
        let began = SystemTime::now();
        let nanos = began.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let run = mix(nanos, Purpose::Population, u64::from(number)) >> 1;
        let seed = mix(self.seed, Purpose::Repeat, u64::from(number));
        let mut scene = tokio::select! {
            scene = Scene::new(&self.workload, dialler, seed, run, progress) => scene?,
            () = stop.cancelled() => return Ok(Ending::Stopped),
        };
        found.broker_version.clone_from(&scene.broker_version);
        if let Some(reconnect) = &self.workload.reconnect {
            shift::leave(&mut scene, reconnect, progress).await?;
        }
        let stage = scene.stage.clone();
        scene.tasks.spawn_local(reading::read(stage.clone()));
        let broker = self.broker_pid.map(Process::with_id);
        let (moment, exported) = (&self.moment, Exported::new());
        let watch = Watch { stage: &stage, broker, progress, stop, exported, moment };
        let mut repeat = Repeat::default();
        let stream = u64::from(number) << 32;
        let load = match self.alone(&watch, seed, stream, &mut repeat).await? {
            Ending::Complete => self.load(&watch, seed, number, &mut repeat).await?,
            ending => {
                ending.trouble().into_iter().for_each(|trouble| stage.trouble(trouble));
                None
            }
        };
        let Some(load) = load else {
            scene.clear().await;
            found.conclude(number, Repeat { is_partial: true, ..repeat }, Vec::new(), stage.troubles());
            return Ok(if stop.is_cancelled() { Ending::Stopped } else { Ending::Silent });
        };
        repeat.loop_kind = offer::describe(load);
        let phase = Phase::measured(load, self.warmup, self.duration, seed, stream);
        let mut played = watch.play(phase, |from_ns| self.begin(&mut scene, dialler, from_ns)).await?;
        let mut load = load;
        while self.rate == Rate::Max
            && let Some(lower) = self.lower(&watch, load, &played, &mut repeat)
        {
            load = lower;
            let stream = stream + repeat.search.len() as u64;
            let phase = Phase::measured(load, self.warmup, self.duration, seed, stream);
            played = watch.play(phase, |_| {}).await?;
        }
        if played.ending == Ending::Complete {
            shift::flush(&scene).await;
        }
        self.fill(&mut repeat, &scene, &played, load);
        let logs = stage.recorder.borrow().logs(&self.workload.name, began)?;
        let mut troubles = stage.troubles();
        troubles.extend(played.ending.trouble());
        scene.clear().await;
        found.conclude(number, repeat, logs, troubles);
        Ok(played.ending)
    }

    /// Measures what has a rate of its own without the rest, if the workload asks for it.
    async fn alone(
        &self,
        watch: &Watch<'_>,
        seed: u64,
        stream: u64,
        repeat: &mut Repeat,
    ) -> anyhow::Result<Ending> {
        let Some(duration) = self.workload.alone else { return Ok(Ending::Complete) };
        let phase = Phase::measured(Load::Open(0.0), self.warmup, duration, seed, stream | ALONE_STREAM);
        let played = watch.play(phase, |_| {}).await?;
        repeat.alone = watch.stage.recorder.borrow().latencies();
        Ok(played.ending)
    }

    /// What to offer; `None`: no rate was sustained.
    async fn load(
        &self,
        watch: &Watch<'_>,
        seed: u64,
        number: u32,
        repeat: &mut Repeat,
    ) -> anyhow::Result<Option<Load>> {
        let load = match (self.rate, self.workload.window) {
            (Rate::PerSecond(per_s), _) => Load::Open(per_s),
            (Rate::Window, Some(window)) => Load::Closed(window),
            (Rate::Window, None) => bail!("{} has no [window]: name a rate", self.workload.name),
            (Rate::Max | Rate::Part(_), _) => {
                let found = search::search(watch, seed, u64::from(number) + 1, watch.progress).await?;
                repeat.search = found.trials;
                if let Some(trouble) = found.ending.and_then(Ending::trouble) {
                    watch.stage.trouble(trouble);
                }
                let Some(sustained_per_s) = found.sustained_per_s else { return Ok(None) };
                match self.rate {
                    Rate::Part(part) => Load::Open(sustained_per_s * part),
                    _ => Load::Open(sustained_per_s),
                }
            }
        };
        if let Load::Open(per_s) = load {
            repeat.offered_per_s = Some(per_s);
        }
        Ok(Some(load))
    }

    /// What to offer instead of a rate that short trials sustained and the whole measured time did
    /// not.
    fn lower(&self, watch: &Watch<'_>, load: Load, played: &Played, repeat: &mut Repeat) -> Option<Load> {
        let Load::Open(rate_per_s) = load else { return None };
        let trial = search::judge(watch, rate_per_s, played);
        repeat.search.push(trial);
        if trial.is_sustained || !matches!(played.ending, Ending::Complete | Ending::Overrun) {
            return None;
        }
        let lower_per_s = rate_per_s * STEP_DOWN;
        watch
            .progress
            .note(&format!("{rate_per_s:.0}/s was not sustained throughout; {lower_per_s:.0}/s instead"));
        repeat.offered_per_s = Some(lower_per_s);
        (lower_per_s > 1.0).then_some(Load::Open(lower_per_s))
    }

    /// Starts what happens at certain times of the measured one.
    fn begin(&self, scene: &mut Scene, dialler: &Arc<Dialler>, from_ns: u64) {
        if let Some(slow) = self.workload.slow {
            let slow_from_ns = from_ns + slow.from.as_nanos() as u64;
            *scene.stage.slow_ns.borrow_mut() = slow_from_ns..slow_from_ns + slow.lasts.as_nanos() as u64;
        }
        if let Some(reconnect) = &self.workload.reconnect {
            shift::come_back(scene, reconnect, dialler, from_ns);
        }
    }

    fn fill(&self, repeat: &mut Repeat, scene: &Scene, played: &Played, load: Load) {
        // What is still on its way when a run is cut short, or its broker dies, is not lost yet.
        let is_over = matches!(played.ending, Ending::Complete | Ending::Undrained);
        let recorder = scene.stage.recorder.borrow();
        let measured_s = played.measured.as_secs_f64();
        repeat.measured_s = measured_s;
        repeat.is_partial = !matches!(played.ending, Ending::Complete | Ending::Undrained);
        repeat.counts = recorder.counts;
        repeat.counts.reconnects = scene.reconnects();
        repeat.counts.unanswered = scene.stage.ledger.borrow().unanswered();
        repeat.rates = Rates {
            acked_per_s: recorder.flow.acked as f64 / measured_s.max(1e-9),
            delivered_per_s: recorder.flow.delivered as f64 / measured_s.max(1e-9),
            delivered_bytes_per_s: recorder.flow.delivered_bytes as f64 / measured_s.max(1e-9),
        };
        repeat.integrity = scene.stage.ledger.borrow().finish(is_over);
        repeat.latencies = recorder.latencies();
        repeat.late_send = recorder.latency(Name::LateSend);
        repeat.series = recorder.seconds().to_vec();
        repeat.generator = played.generator;
        repeat.broker = played.broker;
        repeat.steal = played.steal;
        repeat.others_cores = played.others_s / measured_s.max(1e-9);
        repeat.bottleneck = bottleneck(repeat, load);
    }
}

/// Why the generator was the bottleneck, if it was.
fn bottleneck(repeat: &Repeat, load: Load) -> Option<String> {
    let cores = repeat.generator.cpu_s / repeat.measured_s.max(1e-9);
    if cores > GENERATOR_CPU_MAX {
        return Some(format!("the generator used {cores:.2} of the one core that it can use"));
    }
    let late = Duration::from_micros(repeat.late_send.p99_us);
    let is_late = matches!(load, Load::Open(_)) && late > LATE_SEND_P99_MAX;
    is_late.then(|| format!("1 % of messages were sent more than {late:?} late"))
}

impl Ending {
    /// What it says about the figures; `None`: nothing.
    fn trouble(self) -> Option<String> {
        match self {
            Self::Complete => None,
            Self::Undrained => Some("messages were still arriving a minute after the last was sent".into()),
            Self::Stopped => Some("stopped by hand".into()),
            Self::Silent => Some("the broker did nothing for 10 s although something was outstanding".into()),
            Self::Overrun => Some("the broker fell too far behind what was offered".into()),
        }
    }
}

impl Found {
    /// Adds a repetition and what it says about the run.
    fn conclude(
        &mut self,
        number: u32,
        repeat: Repeat,
        logs: Vec<(&'static str, Vec<u8>)>,
        troubles: Vec<String>,
    ) {
        let mut say = |what: String| self.verdict.reasons.push(format!("repeat {}: {what}", number + 1));
        let is_right = repeat.integrity == Integrity::default();
        if !is_right {
            say(format!("integrity: {}", tell(&repeat.integrity)));
        }
        let is_stopped = troubles.iter().any(|trouble| Some(trouble) == Ending::Stopped.trouble().as_ref());
        let has_broken = troubles.iter().any(|trouble| Some(trouble) == Ending::Silent.trouble().as_ref());
        let counts = repeat.counts;
        if counts.failed > 0 {
            say(format!("{} publishes were refused or given up", counts.failed));
        }
        if counts.unanswered > 0 && !is_stopped {
            say(format!("{} publishes were never answered", counts.unanswered));
        }
        if counts.reconnects > 0 {
            say(format!("{} sessions were lost and opened again", counts.reconnects));
        }
        if let Some(bottleneck) = &repeat.bottleneck {
            say(bottleneck.clone());
        }
        // Without the broker's own use, it would count among the others.
        let is_shared =
            repeat.broker.is_some() && repeat.others_cores > OTHERS_SHARE_MAX * usage::cores_online();
        if is_shared {
            say(format!("other processes used {:.2} cores of this machine", repeat.others_cores));
        }
        let is_robbed = repeat.steal > STEAL_MAX;
        if is_robbed {
            say(format!("the host took {:.0} % of this machine's time", repeat.steal * 100.0));
        }
        let too_few = samples::too_few(&repeat);
        for trouble in troubles.iter().chain(&too_few) {
            say(trouble.clone());
        }
        // Of nothing nobody can say that it went well; but who stopped it by hand knows that.
        let has_shown = counts.acked > 0 || is_stopped;
        self.verdict.passed &= is_right && !has_broken && counts.failed == 0 && has_shown;
        self.verdict.valid &= is_right
            && repeat.bottleneck.is_none()
            && !is_shared
            && !is_robbed
            && troubles.is_empty()
            && too_few.is_empty()
            && !repeat.is_partial
            && counts.reconnects == 0;
        self.repeats.push(repeat);
        self.logs.push(logs);
    }
}

/// What is wrong, in words.
fn tell(integrity: &Integrity) -> String {
    let Integrity { lost, duplicated, reordered, foreign, misnumbered } = integrity;
    format!(
        "{lost} lost, {duplicated} duplicated, {reordered} reordered, {foreign} foreign, {misnumbered} misnumbered"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Latency;

    /// What a run says of one repetition in which so much was acknowledged and delivered.
    fn verdict(acked: u64, delivered: u64, troubles: Vec<String>) -> Verdict {
        let mut repeat = Repeat::default();
        repeat.counts.acked = acked;
        repeat.latencies.insert("deliver".into(), Latency { count: delivered, ..Latency::default() });
        let verdict = Verdict { passed: true, valid: true, reasons: Vec::new() };
        let (repeats, logs) = (Vec::new(), Vec::new());
        let mut found = Found { repeats, logs, verdict, broker_version: String::new(), is_stopped: false };
        found.conclude(0, repeat, Vec::new(), troubles);
        found.verdict
    }

    #[test]
    fn nothing_is_no_success_and_little_is_not_valid() {
        let enough = verdict(100, 500, Vec::new());
        assert!(enough.passed && enough.valid && enough.reasons.is_empty(), "{enough:?}");
        let little = verdict(100, 499, Vec::new());
        assert!(little.passed && !little.valid, "{little:?}");
        assert!(little.reasons[0].starts_with("repeat 1: only 499 times of deliver"), "{little:?}");
        let nothing = verdict(0, 0, Vec::new());
        assert!(!nothing.passed && !nothing.valid, "{nothing:?}");
        assert!(nothing.reasons[0].contains("nothing was acknowledged"), "{nothing:?}");
        // Who stopped it knows why there is nothing.
        assert!(verdict(0, 0, Ending::Stopped.trouble().into_iter().collect()).passed);
    }
}
