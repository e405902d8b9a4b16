//! The disk fills up, slowly or at once, and is emptied again.
//!
//! Slowly: the broker must refuse messages while there is still its reserve, go on answering reads,
//! and take messages again when there is room. At once: it may also find that out by a failed
//! write, and then it must stop and say so with its exit code, but in most cases it must come
//! through, which it does not if reclaims run into the full disk. Neither may cost anything that
//! was acknowledged.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::eio::STORAGE_FAILED;
use crate::filler::Filler;
use crate::programme::{Context, Outcome};
use crate::trial::{Disk, Fault, Trial};

const VOLUME_BYTES: u64 = 448 << 20;
const BALLAST: &str = "storage.ballast=64MiB";
const RESERVE_BYTES: u64 = 176 << 20;
/// Left free when the disk fills up slowly: enough for a reclaim that has begun, and so much less
/// than the reserve that it is not reached by what a reclaim frees, a file or two of 35 MiB.
const LEFT_BYTES: u64 = 80 << 20;
const LIFE_MAX: Duration = Duration::from_millis(300);
/// The broker looks every second; then a client that was refused comes back after a while.
const NOTICES_WITHIN: Duration = Duration::from_secs(30);
/// What its log says then.
const NOTICED: &str = "nearly full";
const POLL: Duration = Duration::from_millis(20);
/// A reclaim begins meanwhile; there is one every second.
const A_RECLAIM: Duration = Duration::from_millis(1100);
/// At most one in so many disks that fill up at once may stop it, and how many it takes to say so.
const STOPPED_ONE_IN: u64 = 2;
const AT_ONCE_MIN: u64 = 10;
/// How long nothing is acknowledged, to believe that nothing is.
const SILENCE: Duration = Duration::from_millis(500);

/// Fills the disk so often.
pub async fn run(context: &Context, fillings: u64) -> anyhow::Result<Outcome> {
    let reserve = format!("storage.reserve={RESERVE_BYTES}B");
    // Refused clients come back 50 times as late.
    let settings = [reserve.as_str(), BALLAST, "limits.retry_after=10ms"];
    let mut trial = Trial::begin(context, "disk-full", Disk::Volume(VOLUME_BYTES), &settings).await?;
    let mut figures = Figures::default();
    let cycles = cycles(context, &mut trial, fillings, &mut figures).await;
    trial.figures.extend([
        ("filled up at once", figures.at_once),
        ("of these, stopped by a failed write, with the exit code for it", figures.stopped),
    ]);
    Ok(trial.finish(cycles).await)
}

#[derive(Default)]
struct Figures {
    at_once: u64,
    stopped: u64,
}

async fn cycles(
    context: &Context,
    trial: &mut Trial,
    fillings: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    while trial.cycles() < fillings && !context.is_over() {
        trial.live(LIFE_MAX).await;
        if trial.random.random_ratio(2, 3) {
            slowly(trial).await?;
        } else {
            at_once(trial, figures).await?;
        }
        if !trial.check().await? {
            return Ok(());
        }
    }
    ensure!(
        figures.stopped * STOPPED_ONE_IN <= figures.at_once.max(AT_ONCE_MIN),
        "of {} disks that filled up at once {} stopped the broker",
        figures.at_once,
        figures.stopped
    );
    Ok(())
}

/// Until it refuses, and until it takes messages again.
async fn slowly(trial: &mut Trial) -> anyhow::Result<()> {
    let before = trial.site.log_len();
    let filled = filler(trial, LEFT_BYTES)?;
    let broker = &mut trial.broker;
    until(|| !broker.is_alive() || trial.site.log_since(before).contains(NOTICED), "the broker to notice")
        .await?;
    ensure!(trial.broker.is_alive(), "the disk was nearly full, and the broker ended");
    // What was taken in before is still committed.
    let deadline = Instant::now() + NOTICES_WITHIN;
    let mut last = acked(trial);
    loop {
        sleep(SILENCE).await;
        let now = acked(trial);
        if now == last {
            break;
        }
        ensure!(Instant::now() < deadline, "the disk is nearly full, and messages are still acknowledged");
        last = now;
    }
    ensure!(trial.broker.is_alive(), "it refused writes, and then it ended");
    trial.ward.audit().await.context("reading while the disk is nearly full")?;
    let last = acked(trial);
    drop(filled);
    until(|| acked(trial) > last, "messages to be acknowledged again").await
}

/// Until it takes messages again, by itself or started anew.
async fn at_once(trial: &mut Trial, figures: &mut Figures) -> anyhow::Result<()> {
    figures.at_once += 1;
    let before = trial.site.log_len();
    let filled = filler(trial, 0)?;
    let deadline = Instant::now() + NOTICES_WITHIN;
    while trial.broker.is_alive() && !trial.site.log_since(before).contains(NOTICED) {
        ensure!(Instant::now() < deadline, "the disk is full, and the broker neither refuses nor stops");
        sleep(POLL).await;
    }
    // It may have noticed in time for most, and not for what was taken in before.
    sleep(A_RECLAIM).await;
    let last = acked(trial);
    drop(filled);
    let deadline = Instant::now() + NOTICES_WITHIN;
    while trial.broker.is_alive() {
        if acked(trial) > last {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "there is room again, and nothing is acknowledged");
        sleep(POLL).await;
    }
    figures.stopped += 1;
    let status = trial.broker.ended(NOTICES_WITHIN).await?;
    ensure!(
        status.code() == Some(STORAGE_FAILED),
        "its disk was full, and the broker ended with {status}, not with code {STORAGE_FAILED}"
    );
    trial.after_end(Fault::Kill)?;
    trial.start_again().await
}

fn acked(trial: &Trial) -> u64 {
    trial.journal.oracle(|oracle| oracle.tally().acked)
}

async fn until(mut holds: impl FnMut() -> bool, what: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + NOTICES_WITHIN;
    while !holds() {
        ensure!(Instant::now() < deadline, "waited too long for {what}");
        sleep(POLL).await;
    }
    Ok(())
}

fn filler(trial: &Trial, left_bytes: u64) -> anyhow::Result<Filler> {
    Filler::take(trial.volume.as_ref().context("there is a volume")?.folder(), left_bytes)
}
