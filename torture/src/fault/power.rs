//! Loss of power: what the disk was not told to keep is gone.
//!
//! The data lies on an ext4 of its own. The broker is stopped in its tracks, so that it says
//! nothing after the moment; the file system is shut down, so that nothing more reaches the device;
//! then the broker is killed, and the file system mounted anew, which replays its journal. `kill
//! -9` alone cannot show a missing sync: the kernel writes out what a killed process left behind.

use std::time::Duration;

use crate::programme::{Context, Outcome};
use crate::trial::{Disk, Fault, Trial};

/// Room for what a long trial on a fast machine publishes; the image takes only what is written.
const VOLUME_BYTES: u64 = 2 << 30;
/// Longest life of a broker.
const LIFE_MAX: Duration = Duration::from_millis(300);

/// Takes the power so often.
pub async fn run(context: &Context, losses: u64) -> anyhow::Result<Outcome> {
    let mut trial = Trial::begin(context, "power", Disk::Volume(VOLUME_BYTES), &[]).await?;
    let cycles = cycles(context, &mut trial, losses).await;
    Ok(trial.finish(cycles).await)
}

async fn cycles(context: &Context, trial: &mut Trial, losses: u64) -> anyhow::Result<()> {
    while trial.cycles() < losses && !context.is_over() {
        trial.live(LIFE_MAX).await;
        trial.maybe_end_somebody().await?;
        trial.strike(Fault::Power).await?;
        trial.strike_starts(Fault::Power).await?;
        trial.start_again().await?;
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}
