//! Little memory, and a crowd that wants much: bulky publishes from many devices at once, and
//! devices that do not read.
//!
//! In turn: (1) the broker must take everything in, if not at once, and never hold more memory than
//! `docs/operations.md` says of its settings, by the kernel's own peak; (2) with far less its
//! allocations fail in the middle of it, and it must end, as if it was killed, or need no more; (3)
//! it is killed for what it holds, as by a machine that has none left. For (2) the bound is one on
//! writable private memory (`RLIMIT_DATA`), which needs no privilege; it counts what was asked for,
//! used or not, so it is set from what the broker asked for at its start.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::RngExt;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::time::{Instant, sleep};

use super::eio::STORAGE_FAILED;
use crate::crowd::Size;
use crate::people::Room;
use crate::programme::{Context, Outcome};
use crate::trial::{Disk, Fault, Trial};

const MIB: u64 = 1 << 20;
const CROWD: Size = Size { publishers: 24, idlers: 8, messages: 16, retention: Duration::from_secs(60) };
/// Small, so that a crowd is more than fits.
const SETTINGS: [&str; 7] = [
    "http.listen=127.0.0.1:0",
    "storage.memory=32MiB",
    "limits.tails=8MiB",
    "limits.waiting_bytes=2MiB",
    "limits.group_bytes=1MiB",
    // Refused clients come back 10 times as early.
    "limits.retry_after=10ms",
    "limits.catch_up_reads=2",
];
/// What `docs/operations.md` says of these settings: for the process itself, its engine, its tails,
/// what waits, and everybody who is connected: the crowd, and a dozen in the ward.
const SIZED_BYTES: u64 =
    (192 + 32 + 8 + 2 * 2) * MIB + (CROWD.publishers + CROWD.idlers + 12) as u64 * (MIB / 2);
/// Most that it may ask for when it gets far less: it asks for several times as much when it is
/// let.
const LEFT_BYTES_MAX: u64 = 96 * MIB;
/// By how much a broker may grow before it is killed for it.
const KILLED_AT_BYTES_MAX: u64 = 64 * MIB;
/// mimalloc takes a GiB at once otherwise, and a bound on what is asked for would say nothing.
const VARIABLE: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");
const POLL: Duration = Duration::from_millis(2);
/// How long it has no more.
const WITHOUT: Duration = Duration::from_secs(5);
/// Longer than a crowd's.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets a crowd come so often.
pub async fn run(context: &Context, crowds: u64) -> anyhow::Result<Outcome> {
    let began = std::time::Instant::now();
    let (mut site, volume) = crate::trial::site(context, "memory", Disk::Folder, &SETTINGS).await?;
    site.variables = vec![(VARIABLE.0.into(), VARIABLE.1.into())];
    let mut trial = Trial::on(context, site, volume, "memory", began, None).await?;
    let mut figures = Figures::default();
    let cycles = cycles(context, &mut trial, crowds, &mut figures).await;
    trial.figures = vec![
        ("within what it is said to need", figures.within),
        ("MiB at most", figures.peak_bytes / MIB),
        ("refused for load", figures.refused),
        ("ended for want of memory", figures.wanting),
        ("went on without", figures.went_on),
        ("killed for its memory", figures.killed),
    ];
    Ok(trial.finish(cycles).await)
}

#[derive(Default)]
struct Figures {
    within: u64,
    peak_bytes: u64,
    /// What the broker refused for load, of which the SDK's users hear nothing.
    refused: u64,
    wanting: u64,
    went_on: u64,
    killed: u64,
}

async fn cycles(
    context: &Context,
    trial: &mut Trial,
    crowds: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    while trial.cycles() < crowds && !context.is_over() {
        let room = match trial.cycles() % 3 {
            0 => within(trial, figures).await,
            1 => far_below(trial, figures).await,
            _ => killed(trial, figures).await,
        }?;
        trial.ward.audit_room(room).await?;
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}

/// With as much as it likes, which must not be more than it is said to need.
async fn within(trial: &mut Trial, figures: &mut Figures) -> anyhow::Result<Room> {
    let crowd = trial.ward.crowd(CROWD).await?;
    crowd.begin();
    let room = tokio::select! {
        room = crowd.disperse() => room?,
        status = trial.broker.ended(PATIENCE) => bail!("it ended with {}", status?),
    };
    let peak_bytes = Held::of(trial.broker.process()?)?.peak_bytes;
    ensure!(
        peak_bytes <= SIZED_BYTES,
        "it is said to need {} MiB at most, and took {}",
        SIZED_BYTES / MIB,
        peak_bytes / MIB
    );
    figures.refused += refused(&trial.broker.page("/metrics").await?);
    figures.within += 1;
    figures.peak_bytes = figures.peak_bytes.max(peak_bytes);
    Ok(room)
}

/// With so little that it cannot go on, unless it needs no more.
async fn far_below(trial: &mut Trial, figures: &mut Figures) -> anyhow::Result<Room> {
    let crowd = trial.ward.crowd(CROWD).await?;
    // A broker that has served keeps what it asked for.
    trial.strike(Fault::Kill).await?;
    trial.start_again().await?;
    let broker = trial.broker.process()?;
    let left_bytes = trial.random.random_range(0..LEFT_BYTES_MAX);
    let usual = bound(broker, Held::of(broker)?.asked_bytes + left_bytes)?;
    crowd.begin();
    let mut dispersed = tokio::spawn(crowd.disperse());
    let until = Instant::now() + WITHOUT;
    while trial.broker.is_alive() && !dispersed.is_finished() && Instant::now() < until {
        sleep(POLL).await;
    }
    // Fails if it has just ended.
    let _ = limit(broker, usual);
    let status = tokio::select! {
        room = &mut dispersed => {
            figures.went_on += 1;
            return room?.context("it has its memory again");
        }
        status = trial.broker.ended(PATIENCE) => status?,
    };
    ensure!(
        status.signal() == Some(Signal::ABORT.as_raw()) || status.code() == Some(STORAGE_FAILED),
        "it had no memory left, and ended with {status}, neither by SIGABRT nor with code {STORAGE_FAILED}"
    );
    figures.wanting += 1;
    start_after(trial).await?;
    dispersed.await?
}

/// With a machine that has none left when it holds so much.
async fn killed(trial: &mut Trial, figures: &mut Figures) -> anyhow::Result<Room> {
    let broker = trial.broker.process()?;
    let grown_bytes = trial.random.random_range(0..KILLED_AT_BYTES_MAX);
    let killed_at_bytes = Held::of(broker)?.resident_bytes + grown_bytes;
    let mut crowd = trial.ward.crowd(CROWD).await?;
    crowd.begin();
    while crowd.is_busy() && Held::of(broker)?.resident_bytes < killed_at_bytes {
        sleep(POLL).await;
    }
    trial.broker.kill().await?;
    figures.killed += 1;
    start_after(trial).await?;
    crowd.disperse().await
}

/// After its end: the next one answers the crowd.
async fn start_after(trial: &mut Trial) -> anyhow::Result<()> {
    trial.after_end(Fault::Kill)?;
    trial.start_again().await
}

/// What was refused for load, by a page of metrics.
fn refused(metrics: &str) -> u64 {
    const METRIC: &str = "wardline_refusals_total{code=\"retry\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(METRIC)?.parse().ok()).unwrap_or(0)
}

/// What a process holds.
struct Held {
    /// Writable and its own, used or not.
    asked_bytes: u64,
    /// In memory now.
    resident_bytes: u64,
    /// In memory at most so far.
    peak_bytes: u64,
}

impl Held {
    /// As `/proc` has it (proc_pid_status(5)).
    fn of(process: Pid) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
        let status = status.context("the broker's memory cannot be seen")?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"));
            let kib: Option<u64> = line.and_then(|figure| figure.trim().parse().ok());
            kib.map(|kib| kib << 10).with_context(|| format!("the broker has no {name} any more"))
        };
        Ok(Self {
            asked_bytes: bytes("VmData:")?,
            resident_bytes: bytes("VmRSS:")?,
            peak_bytes: bytes("VmHWM:")?,
        })
    }
}

/// Lets a process ask for so much; gives the limit before.
fn bound(process: Pid, bytes: u64) -> anyhow::Result<Rlimit> {
    let ours = rustix::process::getrlimit(Resource::Data);
    limit(process, Rlimit { current: Some(bytes), ..ours })
}

fn limit(process: Pid, limit: Rlimit) -> anyhow::Result<Rlimit> {
    rustix::process::prlimit(Some(process), Resource::Data, limit).context("the limit cannot be set")
}
