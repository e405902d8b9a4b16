//! Crashes at each step of the commit path: the broker aborts at a drawn passage of a drawn step.
//!
//! The broker is built with the feature `fail-points`, and is the real one otherwise. A kill at a
//! random moment seldom falls between two steps that are microseconds apart; this one falls nowhere
//! else. A cycle starts a broker that is to crash, lets everybody use it until it does, and reads
//! everything back from one that is not.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::RngExt;
use rustix::process::Signal;

use crate::programme::{Context, Impossible, Outcome};
use crate::trial::{Disk, Fault, Trial};

/// What the feature reads; see `storage/src/fail_point.rs`.
const VARIABLE: &str = "FAIL_POINT";
/// The steps, in the order in which a message takes them.
const STEPS: [&str; 8] =
    ["validated", "batched", "written", "synced", "acked", "rung", "delivered", "receipt"];
/// Passages are drawn with all magnitudes alike, up to 2 to the power of this.
const PASSAGE_BITS_MAX: u32 = 7;
/// Longest time until everybody together has made so many passages.
const CRASHES_WITHIN: Duration = Duration::from_secs(60);

/// Crashes so often.
pub async fn run(context: &Context, crashes: u64) -> anyhow::Result<Outcome> {
    let Some(program) = &context.fail_points_program else {
        return Err(Impossible("there is no broker with fail points: --fail-points-program".into()).into());
    };
    let mut trial = Trial::begin(context, "points", Disk::Folder, &[]).await?;
    trial.site.program = program.clone();
    trial.figures = STEPS.map(|step| (step, 0)).into();
    let cycles = cycles(context, &mut trial, crashes).await;
    Ok(trial.finish(cycles).await)
}

async fn cycles(context: &Context, trial: &mut Trial, crashes: u64) -> anyhow::Result<()> {
    while trial.cycles() < crashes && !context.is_over() {
        // In turn, so that a short run has each of them.
        let step = trial.cycles() as usize % STEPS.len();
        let bits = trial.random.random_range(0..=PASSAGE_BITS_MAX);
        let passage = trial.random.random_range(1..=1_u64 << bits);
        let drawn = format!("{}:{passage}", STEPS[step]);
        trial.strike(Fault::Kill).await?;
        trial.maybe_end_somebody().await?;
        trial.site.variables = vec![(VARIABLE.into(), drawn.clone())];
        let status = crash(trial).await.with_context(|| format!("a crash at {drawn}"))?;
        ensure!(
            status.signal() == Some(Signal::ABORT.as_raw()),
            "a broker that was to crash at {drawn} ended with {status}"
        );
        trial.site.variables.clear();
        trial.figures[step].1 += 1;
        trial.after_end(Fault::Kill)?;
        trial.start_again().await?;
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}

/// Starts a broker that crashes, perhaps while it starts, and waits until it has.
async fn crash(trial: &mut Trial) -> anyhow::Result<ExitStatus> {
    match trial.site.try_start().await? {
        Err(ended) => Ok(ended.status),
        Ok(broker) => {
            trial.broker = broker;
            trial.broker.ended(CRASHES_WITHIN).await
        }
    }
}
