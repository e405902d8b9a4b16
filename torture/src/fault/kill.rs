//! `kill -9` at random moments: under load, while the broker starts, and while it reclaims.
//!
//! Expired bytes are reclaimed at once when a broker starts and then every second, so that many of
//! the moments fall into a flush or a compaction.

use std::time::Duration;

use crate::programme::{Context, Outcome};
use crate::trial::{Disk, Fault, Trial};

/// Longest life of a broker.
const LIFE_MAX: Duration = Duration::from_millis(300);

/// Kills so often.
pub async fn run(context: &Context, kills: u64) -> anyhow::Result<Outcome> {
    let mut trial = Trial::begin(context, "kill", Disk::Folder, &[]).await?;
    let cycles = cycles(context, &mut trial, kills).await;
    Ok(trial.finish(cycles).await)
}

async fn cycles(context: &Context, trial: &mut Trial, kills: u64) -> anyhow::Result<()> {
    while trial.cycles() < kills && !context.is_over() {
        trial.live(LIFE_MAX).await;
        trial.maybe_end_somebody().await?;
        trial.strike(Fault::Kill).await?;
        trial.strike_starts(Fault::Kill).await?;
        trial.start_again().await?;
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}
