//! The wall clock jumps under a running broker: an hour, forty days, ten years, forwards and back.
//!
//! None of it may make a message vanish early, or bring one back: while it runs, a broker goes by
//! the time that has passed. The clock is set right before another broker starts, since that one
//! believes it. libfaketime shifts the broker's wall clock and nobody else's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rand::RngExt;

use crate::programme::{Context, Impossible, Outcome};
use crate::trial::{Disk, Fault, Trial, site};

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;
const JUMPS_S: [i64; 4] = [HOUR_S, -HOUR_S, 40 * DAY_S, -3650 * DAY_S];
/// Long enough for expired bytes to be reclaimed, which they are every second.
const LIFE_MAX: Duration = Duration::from_millis(1_500);

/// Lets it jump so often.
pub async fn run(context: &Context, jumps: u64) -> anyhow::Result<Outcome> {
    let began = std::time::Instant::now();
    let (mut site, volume) = site(context, "clock", Disk::Folder, &[]).await?;
    let clock = Clock { file: context.journals.join("clock") };
    clock.set(0)?;
    site.variables = clock.variables()?;
    let mut trial = Trial::on(context, site, volume, "clock", began, None).await?;
    let cycles = cycles(context, &mut trial, jumps, &clock).await;
    clock.set(0)?;
    Ok(trial.finish(cycles).await)
}

async fn cycles(context: &Context, trial: &mut Trial, jumps: u64, clock: &Clock) -> anyhow::Result<()> {
    while trial.cycles() < jumps && !context.is_over() {
        trial.live(LIFE_MAX / 4).await;
        clock.set(JUMPS_S[trial.random.random_range(0..JUMPS_S.len())])?;
        trial.live(LIFE_MAX).await;
        trial.ward.audit().await?;
        if trial.random.random_bool(0.5) {
            clock.set(0)?;
            trial.live(LIFE_MAX / 2).await;
        }
        if trial.random.random_bool(0.5) {
            clock.set(0)?;
            trial.strike(Fault::Kill).await?;
            trial.start_again().await?;
        }
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}

/// The broker's wall clock.
struct Clock {
    /// By how much it is off; libfaketime reads it at every look at the clock.
    file: PathBuf,
}

impl Clock {
    fn set(&self, ahead_s: i64) -> anyhow::Result<()> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, format!("{ahead_s:+}\n")).context("the clock cannot be set")?;
        fs::rename(&beside, &self.file).context("the clock cannot be set")
    }

    fn variables(&self) -> anyhow::Result<Vec<(String, String)>> {
        let missing =
            || Impossible("libfaketime is missing; Debian, Ubuntu: apt-get install libfaketime".into());
        let library = library().ok_or_else(missing)?;
        let variable = |name: &str, value: String| (name.to_owned(), value);
        Ok(vec![
            variable("LD_PRELOAD", library.display().to_string()),
            variable("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            variable("FAKETIME_NO_CACHE", "1".into()),
            // The time that passes is not the wall clock's.
            variable("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            variable("DONT_FAKE_MONOTONIC", "1".into()),
        ])
    }
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut places = folders.map(|folder| folder.join(Path::new("faketime/libfaketime.so.1")));
    places.find(|place| place.is_file())
}
