//! Finds the highest rate that the broker sustains.
//!
//! Doubles until a rate is not sustained, then halves the interval until it is narrow. Sustained
//! means: nearly everything that was offered was acknowledged and delivered within the trial, and
//! what waits did not grow over its second half. So the answer has a bounded backlog; a flood would
//! only measure buffers.

use std::time::Duration;

use super::offer::Load;
use super::phase::{Ending, Phase, Played, Watch};
use crate::progress::Progress;
use crate::result::Trial;

/// What must be acknowledged and delivered of what is offered.
const ACHIEVED_MIN: f64 = 0.97;
/// What may wait at a trial's end, in seconds of its rate.
const WAITING_S_MAX: f64 = 0.5;
/// How much what waits may grow over half a trial, as a share of what is offered in it.
const GROWTH_MAX: f64 = 0.03;
/// How narrow the interval gets.
const RATIO_MIN: f64 = 1.05;
/// Most trials.
const TRIALS_MAX: usize = 24;
/// A trial's warm-up and measured time.
const TRIAL_WARMUP: Duration = Duration::from_secs(1);
const TRIAL: Duration = Duration::from_secs(4);
/// A backlog of so many seconds ends a trial at once.
const TRIAL_BACKLOG_S_MAX: f64 = 2.0;
/// Where the search begins, messages a second.
const FIRST_PER_S: f64 = 100.0;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The highest rate that was sustained; `None`: not even the lowest that was tried, or it was
    /// stopped.
    pub(crate) sustained_per_s: Option<f64>,
    pub(crate) trials: Vec<Trial>,
    /// What ended it early.
    pub(crate) ending: Option<Ending>,
}

/// Searches.
///
/// # Errors
/// As [`Watch::play`].
pub(crate) async fn search(
    watch: &Watch<'_>,
    seed: u64,
    stream: u64,
    progress: &Progress,
) -> anyhow::Result<Found> {
    let mut interval = Interval { sustained: None, overloaded: None };
    let mut trials = Vec::new();
    while let Some(rate_per_s) = interval.next()
        && trials.len() < TRIALS_MAX
    {
        let stream = (stream << 8) + trials.len() as u64;
        let mut phase = Phase::measured(Load::Open(rate_per_s), TRIAL_WARMUP, TRIAL, seed, stream);
        phase.backlog_s_max = TRIAL_BACKLOG_S_MAX;
        let played = watch.play(phase, |_| {}).await?;
        let trial = judge(watch, rate_per_s, &played);
        let verdict = if trial.is_sustained { "sustained" } else { "not sustained" };
        progress.note(&format!("{rate_per_s:.0}/s: {verdict}, {:.0}/s achieved", trial.achieved_per_s));
        trials.push(trial);
        interval.learn(&trial);
        if matches!(played.ending, Ending::Stopped | Ending::Silent | Ending::Undrained) {
            return Ok(Found { sustained_per_s: None, trials, ending: Some(played.ending) });
        }
    }
    Ok(Found { sustained_per_s: interval.sustained, trials, ending: None })
}

/// Whether what was offered was sustained.
pub(crate) fn judge(watch: &Watch<'_>, offered_per_s: f64, played: &Played) -> Trial {
    let recorder = watch.stage.recorder.borrow();
    let flow = recorder.flow;
    let seconds = played.measured.as_secs_f64().max(1e-9);
    let due_per_s = flow.due as f64 / seconds;
    let achieved_per_s = flow.acked as f64 / seconds;
    let [half, end] = played.backlogs;
    // Deliveries that lag count as messages that lag.
    let per_message = (recorder.counts.delivered as f64 / flow.acked.max(1) as f64).max(1.0);
    let [half, end] = [(half, played.outstanding[0]), (end, played.outstanding[1])]
        .map(|(backlog, outstanding)| (backlog as f64).max(outstanding as f64 / (per_message + 1.0)));
    let is_sustained = played.ending == Ending::Complete
        && achieved_per_s >= ACHIEVED_MIN * due_per_s
        && end <= WAITING_S_MAX * due_per_s
        && end - half <= GROWTH_MAX * due_per_s * seconds / 2.0 + 10.0;
    Trial { offered_per_s, achieved_per_s, is_sustained }
}

/// Where the answer lies.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// The highest rate known to be sustained.
    pub sustained: Option<f64>,
    /// The lowest known not to be.
    pub overloaded: Option<f64>,
}

impl Interval {
    /// The rate to try next; `None`: the answer is known well enough.
    pub fn next(&self) -> Option<f64> {
        match (self.sustained, self.overloaded) {
            (None, None) => Some(FIRST_PER_S),
            (Some(sustained), None) => Some(sustained * 2.0),
            (None, Some(overloaded)) => (overloaded > 1.0).then_some(overloaded / 2.0),
            (Some(sustained), Some(overloaded)) => {
                (overloaded / sustained > RATIO_MIN).then(|| (sustained * overloaded).sqrt())
            }
        }
    }

    /// Takes a trial's result into account.
    pub fn learn(&mut self, trial: &Trial) {
        if trial.is_sustained {
            self.sustained = Some(trial.offered_per_s);
        } else {
            self.overloaded = Some(trial.offered_per_s);
        }
    }
}
