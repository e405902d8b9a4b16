//! SIGTERM at any moment: everybody comes back by themselves, nothing is lost, and the broker ends
//! in time with 0.
//!
//! The same people and the same oracle as for `kill -9`. `WARDLINE_SEED` and `WARDLINE_ROUNDS` are
//! honoured.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tempfile::TempDir;
use wardline_torture::people::until;
use wardline_torture::trial::{Disk, Fault, Trial};

use crate::{context, good, variable};

const ROUNDS: u64 = 3;
/// Messages that everybody together publishes before the broker is stopped again.
const MESSAGES: u64 = 50;
/// Longest time from then to the stop.
const LIFE_MAX: Duration = Duration::from_millis(100);
/// Longest time from SIGTERM to the end of the process.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_a_stop() {
    let seed = variable("WARDLINE_SEED").unwrap_or_else(rand::random);
    let rounds = variable("WARDLINE_ROUNDS").unwrap_or(ROUNDS);
    println!("WARDLINE_SEED={seed} WARDLINE_ROUNDS={rounds}");
    let folder = TempDir::new().unwrap();
    let mut trial = Trial::begin(&context(folder.path(), seed), "drain", Disk::Folder, &[]).await.unwrap();
    let mut longest = Duration::ZERO;
    let stops = stops(&mut trial, rounds, &mut longest).await;
    let outcome = trial.finish(stops).await;
    let figures = good(&outcome, folder.path(), seed);
    println!("{figures}, none lost; the longest stop took {:.2} s", longest.as_secs_f64());
}

/// Stops the broker at random moments, starts another one each time, and reads everything back.
async fn stops(trial: &mut Trial, rounds: u64, longest: &mut Duration) -> anyhow::Result<()> {
    while trial.cycles() < rounds {
        let acked = || trial.journal.oracle(|oracle| oracle.tally().acked);
        let enough = acked() + MESSAGES;
        until("everybody to talk again", || acked() > enough).await?;
        trial.live(LIFE_MAX).await;
        let began = Instant::now();
        trial.broker.stop().await?;
        let took = began.elapsed();
        ensure!(took <= ENDS_WITHIN, "its end took {took:?}");
        *longest = took.max(*longest);
        trial.after_end(Fault::Kill)?;
        trial.start_again().await?;
        ensure!(trial.check().await?, "a promise was broken");
    }
    Ok(())
}
