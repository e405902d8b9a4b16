//! The disk fails: every write and sync of a running broker fails with EIO.
//!
//! The data lies on an ext4 of its own, which is shut down under the broker. The broker must stop
//! by itself and say so with its exit code, since nobody knows what a failed sync left behind; what
//! it acknowledged, before or after that moment, must be there when the file system is mounted
//! anew.

use std::time::Duration;

use anyhow::ensure;

use crate::programme::{Context, Outcome};
use crate::trial::{Disk, Fault, Trial};

/// Room for what a long trial on a fast machine publishes; the image takes only what is written.
const VOLUME_BYTES: u64 = 2 << 30;
const LIFE_MAX: Duration = Duration::from_millis(300);
/// Longest time in which a broker notices; everybody publishes meanwhile.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// `EX_IOERR`: the store failed while serving.
pub(super) const STORAGE_FAILED: i32 = 74;

/// Lets the disk fail so often.
pub async fn run(context: &Context, failures: u64) -> anyhow::Result<Outcome> {
    let mut trial = Trial::begin(context, "eio", Disk::Volume(VOLUME_BYTES), &[]).await?;
    let cycles = cycles(context, &mut trial, failures).await;
    Ok(trial.finish(cycles).await)
}

async fn cycles(context: &Context, trial: &mut Trial, failures: u64) -> anyhow::Result<()> {
    while trial.cycles() < failures && !context.is_over() {
        trial.live(LIFE_MAX).await;
        trial.fail_disk().await?;
        let status = trial.broker.ended(STOPS_WITHIN).await?;
        ensure!(
            status.code() == Some(STORAGE_FAILED),
            "its disk failed, and the broker ended with {status}, not with code {STORAGE_FAILED}"
        );
        trial.after_end(Fault::Power)?;
        trial.start_again().await?;
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}
