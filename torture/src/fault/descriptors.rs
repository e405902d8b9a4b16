//! No file descriptor is left: the broker can open no file and no socket, until it may again.
//!
//! The limit of a running broker is lowered to what it has open, with a few to spare, while it
//! writes its log, flushes and compacts; that of a starting one at any moment. It may go on, if it
//! needed none, or it must stop as for a failing disk: with its exit code and a word on what was
//! missing, having acknowledged nothing that is not there afterwards. One that went on must still
//! serve when the limit is as before, also whoever asked for a page meanwhile.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::RngExt;
use rustix::process::{Pid, Resource, Rlimit};
use tokio::time::{Instant, sleep};

use super::eio::STORAGE_FAILED;
use crate::programme::{Context, Outcome};
use crate::trial::{Disk, Fault, Trial};

const LIFE_MAX: Duration = Duration::from_millis(300);
/// Long enough for a flush or two, which come every second.
const WITHOUT: Duration = Duration::from_millis(2500);
/// Longest time after that until it is seen whether it stops or goes on.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// So many acknowledgements cannot all have been under way: it goes on.
const GOES_ON_ACKS: u64 = 200;
/// The log's code of a store that failed.
const FAILED: &str = "store-failed";
/// Most that are left.
const SPARE_MAX: usize = 2;
/// What a broker must say that stops for want of descriptors: the system's own words.
const WORDS: &str = "Too many open files";

/// Takes the descriptors away so often.
pub async fn run(context: &Context, shortages: u64) -> anyhow::Result<Outcome> {
    let mut trial = Trial::begin(context, "descriptors", Disk::Folder, &["http.listen=127.0.0.1:0"]).await?;
    trial.figures = vec![("stopped by itself", 0), ("went on", 0), ("starts without", 0)];
    let cycles = cycles(context, &mut trial, shortages).await;
    Ok(trial.finish(cycles).await)
}

async fn cycles(context: &Context, trial: &mut Trial, shortages: u64) -> anyhow::Result<()> {
    while trial.cycles() < shortages && !context.is_over() {
        trial.live(LIFE_MAX).await;
        if while_it_serves(trial).await? {
            trial.figures[0].1 += 1;
            trial.after_end(Fault::Kill)?;
            if trial.random.random_bool(0.5) {
                trial.figures[2].1 += 1;
                while_it_starts(trial).await?;
            }
            trial.start_again().await?;
        } else {
            trial.figures[1].1 += 1;
        }
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}

/// Whether it stopped.
async fn while_it_serves(trial: &mut Trial) -> anyhow::Result<bool> {
    let (before, broker) = (trial.site.log_len(), trial.broker.process()?);
    let spare = trial.random.random_range(0..=SPARE_MAX);
    let usual = leave(broker, spare)?;
    let page = tokio::spawn(trial.broker.page("/livez"));
    if trial.broker.ended(WITHOUT).await.is_err() {
        // Fails if it has just ended.
        let _ = limit(broker, usual);
        if goes_on(trial, before).await? {
            ensure!(page.await??.ends_with("alive\n"), "it has descriptors again, and shows no page");
            return Ok(false);
        }
    }
    let status = trial.broker.ended(SEEN_WITHIN).await?;
    ensure!(
        status.code() == Some(STORAGE_FAILED),
        "it had no descriptor left, and ended with {status}, not with code {STORAGE_FAILED}"
    );
    let log = trial.site.log_since(before);
    ensure!(log.contains(WORDS), "it had no descriptor left, and its log does not say so: {}", log.trim());
    Ok(true)
}

/// Whether it acknowledges messages again, rather than stopping.
async fn goes_on(trial: &mut Trial, log_from: u64) -> anyhow::Result<bool> {
    let acked = |trial: &Trial| trial.journal.oracle(|oracle| oracle.tally().acked);
    let (began, deadline) = (acked(trial), Instant::now() + SEEN_WITHIN);
    while trial.broker.is_alive() && !trial.site.log_since(log_from).contains(FAILED) {
        if acked(trial) >= began + GOES_ON_ACKS {
            return Ok(true);
        }
        ensure!(Instant::now() < deadline, "it has descriptors again, and neither stops nor goes on");
        sleep(POLL).await;
    }
    Ok(false)
}

/// It may refuse or get through; whatever it did to the store, the next one finds everything.
async fn while_it_starts(trial: &mut Trial) -> anyhow::Result<()> {
    let starting = trial.site.spawn()?;
    trial.live(trial.start_took).await;
    if let Ok(broker) = starting.process() {
        let spare = trial.random.random_range(0..=SPARE_MAX);
        // Fails if it has just ended.
        let _ = leave(broker, spare);
    }
    sleep(trial.start_took).await;
    starting.kill().await?;
    trial.after_end(Fault::Kill)
}

/// Leaves a process so many descriptors that it may still open; gives the limit before.
fn leave(process: Pid, spare: usize) -> anyhow::Result<Rlimit> {
    let listed = std::fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero()));
    let listed = listed.context("the broker's descriptors cannot be seen")?;
    let taken: HashSet<u64> =
        listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The lowest free number is given out next; the limit is above the highest one that may be.
    let lowest_refused = (0..).filter(|number| !taken.contains(number)).nth(spare);
    let ours = rustix::process::getrlimit(Resource::Nofile);
    limit(process, Rlimit { current: lowest_refused, ..ours })
}

/// Sets a process's limit; gives the one before.
fn limit(process: Pid, limit: Rlimit) -> anyhow::Result<Rlimit> {
    rustix::process::prlimit(Some(process), Resource::Nofile, limit).context("the limit cannot be set")
}
