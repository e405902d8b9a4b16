//! One file of a stopped store is damaged: a bit flipped, cut short, or gone.
//!
//! A store is filled under kills, so that it has files of every kind, and left with everything
//! acknowledged. Each cycle damages a copy of it and starts a broker there. It must refuse to start
//! and name the file, or refuse to answer what it cannot read, or give right answers. Anything else
//! is a silent loss.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::timeout;

use super::eio::STORAGE_FAILED;
use crate::audit::{self, Unreadable};
use crate::broker::Site;
use crate::journal::Journal;
use crate::people::{PATIENCE, Room};
use crate::programme::{Context, Outcome};
use crate::trial::{Disk, Fault, Trial, dial_for, empty};

/// Kills under which the store is filled.
const FILLING_CYCLES: u64 = 12;
const LIFE_MAX: Duration = Duration::from_millis(300);
/// How long a broker whose store failed may take to stop, after it told its clients.
const STOPPING_MAX: Duration = Duration::from_secs(10);

/// How long what a broker said before it stopped may take to be heard.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What was done to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flipped { bit: u64 },
    Cut { bytes: u64 },
    Gone,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flipped { bit } => write!(f, "bit {} of byte {} flipped", bit % 8, bit / 8),
            Self::Cut { bytes } => write!(f, "cut to {bytes} bytes"),
            Self::Gone => f.write_str("deleted"),
        }
    }
}

/// How the broker took it.
#[derive(Default)]
struct Figures {
    refused_to_start: u64,
    refused_to_answer: u64,
    right_answers: u64,
}

/// Damages so many files.
pub async fn run(context: &Context, damages: u64) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let (mut site, journal, rooms, mut random) = fill(context).await?;
    let pristine = site.data.clone();
    site.data = context.folder.join("corrupt-copy");
    let (mut figures, mut cycles) = (Figures::default(), 0);
    while cycles < damages && !context.is_over() {
        empty(&site.data)?;
        copy(&pristine, &site.data)?;
        let (file, damage) = spoil(&site.data, &mut random)?;
        let known = journal.verdict().1.len();
        let done = cycle(&mut site, &journal, &rooms, (&file, &damage), &mut figures).await;
        cycles += 1;
        if let Err(error) = done {
            journal.trouble(format!("{file}, {damage}: {error:#}"));
        }
        let objections = journal.verdict().1;
        if let Some(first) = objections.get(known) {
            journal.trouble(format!("{file}, {damage}: {first}"));
        }
        if !journal.is_clean() {
            break;
        }
    }
    let (tally, objections, troubles) = journal.verdict();
    let figures = vec![
        ("refused to start, naming the file", figures.refused_to_start),
        ("refused to answer", figures.refused_to_answer),
        ("gave right answers", figures.right_answers),
    ];
    let outcome = Outcome {
        name: "corrupt".into(),
        cycles,
        took: began.elapsed(),
        tally,
        objections,
        troubles,
        figures,
    };
    if outcome.is_good() {
        empty(&site.data)?;
        empty(&pristine)?;
    }
    Ok(outcome)
}

/// Fills a store and leaves it, with everything acknowledged, as a kill leaves it.
async fn fill(context: &Context) -> anyhow::Result<(Site, Arc<Journal>, Vec<Room>, StdRng)> {
    let mut trial = Trial::begin(context, "corrupt", Disk::Folder, &[]).await?;
    while trial.cycles() < FILLING_CYCLES {
        trial.live(LIFE_MAX).await;
        trial.strike(Fault::Kill).await?;
        trial.start_again().await?;
        trial.check().await?;
    }
    trial.leave().await
}

async fn cycle(
    site: &mut Site,
    journal: &Arc<Journal>,
    rooms: &[Room],
    (file, damage): (&str, &Damage),
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let log_from = site.log_len();
    let mut broker = match site.try_start().await? {
        Ok(broker) => broker,
        Err(ended) => {
            let log = ended.log.trim();
            // Of a file that is gone nobody may know the name.
            let is_named = log.contains(file) || matches!(damage, Damage::Gone) && log.contains("is gone");
            anyhow::ensure!(
                is_named,
                "the broker refused to start ({}) without naming the file: {log}",
                ended.status
            );
            figures.refused_to_start += 1;
            return Ok(());
        }
    };
    let dial = dial_for(site, &broker).await?;
    let read = async {
        let auditors = audit::auditors(&dial, journal).await?;
        anyhow::Ok(audit::audit(&auditors, rooms).await)
    };
    tokio::pin!(read);
    let read = tokio::select! {
        biased;
        read = timeout(PATIENCE, &mut read) => read,
        // One that has stopped answers nobody any more; what it said before may still be on its
        // way.
        _ = broker.ended(PATIENCE + STOPPING_MAX) => timeout(LAST_WORDS, read).await,
    };
    match read {
        Ok(Ok(Ok(()))) => figures.right_answers += 1,
        // It tells its clients that it cannot read: that is no silence.
        Ok(Ok(Err(Unreadable::Refused(_)))) => figures.refused_to_answer += 1,
        // Nor is it if its store failed, and it said so and stops.
        failed => match (broker.ended(STOPPING_MAX).await, failed) {
            (Ok(status), _) => {
                let log = site.log_since(log_from);
                let reason = log.split_once("store-failed").map_or("", |(_, reason)| reason);
                anyhow::ensure!(
                    status.code() == Some(STORAGE_FAILED) && reason.contains(file),
                    "the broker stopped ({status}) without naming the file: {log}"
                );
                figures.refused_to_answer += 1;
            }
            (Err(_), Ok(Ok(Err(silent)))) => return Err(silent).context("the broker lives"),
            (Err(_), Ok(Err(error))) => return Err(error),
            (Err(_), _) => anyhow::bail!("the broker lives, and does not answer in time"),
        },
    }
    broker.kill().await
}

/// Damages one file: each kind of file as often as another. Nothing is known of them; where nothing
/// is in one (a lock), nothing can be damaged, and a socket is no file.
fn spoil(folder: &Path, random: &mut StdRng) -> anyhow::Result<(String, Damage)> {
    let mut kinds: std::collections::BTreeMap<String, Vec<PathBuf>> = std::collections::BTreeMap::new();
    for file in fs::read_dir(folder).context("the store's folder cannot be read")? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_file() || fs::metadata(&path)?.len() == 0 {
            continue;
        }
        // Of a kind are those whose names differ by numbers alone.
        let kind = name.chars().filter(|c| !c.is_ascii_digit()).collect();
        kinds.entry(kind).or_default().push(path);
    }
    let kinds: Vec<Vec<PathBuf>> = kinds.into_values().collect();
    let mut files = kinds[random.random_range(0..kinds.len())].clone();
    files.sort();
    let path = &files[random.random_range(0..files.len())];
    let damage = damage(path, random).with_context(|| format!("cannot damage {}", path.display()))?;
    Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), damage))
}

fn damage(path: &Path, random: &mut StdRng) -> anyhow::Result<Damage> {
    let mut content = fs::read(path)?;
    let bytes = content.len() as u64;
    // Half of the flips and cuts near the end: that is where what was acknowledged last lies.
    let near = if random.random_bool(0.5) { bytes.saturating_sub(600) } else { 0 };
    let damage = match random.random_range(0..5) {
        0 => Damage::Gone,
        1 | 2 if bytes > 0 => Damage::Cut { bytes: random.random_range(near..bytes) },
        _ if bytes > 0 => Damage::Flipped { bit: random.random_range(near * 8..bytes * 8) },
        _ => Damage::Gone,
    };
    match damage {
        Damage::Flipped { bit } => {
            content[(bit / 8) as usize] ^= 1 << (bit % 8);
            fs::write(path, content)?;
        }
        Damage::Cut { bytes } => fs::File::options().write(true).open(path)?.set_len(bytes)?,
        Damage::Gone => fs::remove_file(path)?,
    }
    Ok(damage)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    for file in fs::read_dir(from)? {
        let path = file?.path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().context("a file has a name")?))?;
        }
    }
    Ok(())
}
