//! Runs the same durable work on Wardline and on other brokers, side by side, on one machine.
//!
//! Owns the order of things: every round gives every contestant its turn, on a fresh server in a
//! folder of its own, so that what the machine does meanwhile falls on all alike. `harness` does
//! the work, the same code for everybody; a module for each server knows how it is started and
//! spoken to. A contestant that is not installed, or fails, is reported and left out. Nothing here
//! knows the broker's inside.

mod acks;
mod contestant;
mod figures;
mod harness;
mod identity;
mod jetstream;
mod ledger;
mod machine;
mod message;
mod mosquitto;
mod rabbitmq;
mod server;
mod timer;
mod usage;
mod wardline;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

pub use contestant::Contestant;

use crate::progress::say;
use contestant::{Facts, Product};
use figures::{Figures, Sample};
use harness::{Pace, Peer, Seen, Task};
use server::Site;

/// The file within the output folder.
const FILE: &str = "peers.json";
/// Longest time from the last publish until everybody has everything.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// Highest rate of messages a second.
const RATE_MAX: f64 = 1_000_000.0;
/// Longest measurement, and longest warm-up.
const DURATION_MAX: Duration = Duration::from_secs(3600);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Durable publishes a second, many in flight.
    Publish,
    /// The time of one durable publish, one in flight, beside the disk's own sync.
    PublishOne,
    /// Deliveries a second from one publisher to many readers, all acknowledged.
    FanOut,
    /// The time from publish to delivery at a fixed rate, counted from when the message was due.
    Latency,
}

/// What to compare, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Who takes part.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contestant::value_variants().to_vec())]
    peers: Vec<Contestant>,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::value_variants().to_vec())]
    work: Vec<Work>,
    /// How often each contestant has its turn; the figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long is measured each time.
    #[arg(long, default_value = "8s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long the work runs before it is measured.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// `publish`: messages without an acknowledgement, all publishers together.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=30_000))]
    in_flight: u64,
    /// `publish`: connections that publish.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    publishers: u64,
    /// `fan-out`: messages that not every reader has.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    fan_out_in_flight: u64,
    /// `fan-out`, `latency`: readers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    readers: u64,
    /// `latency`: messages a second.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Length of a message.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(message::HEADER_BYTES as u64..=60_000))]
    payload_bytes: u64,
    /// Cores of the servers, as `taskset -c` takes them; `all`: not pinned.
    #[arg(long, default_value = "0")]
    server_cores: String,
    /// Cores of this program, likewise.
    #[arg(long, default_value = "1")]
    generator_cores: String,
    /// Where servers keep their data while they run; must be a real disk. Without it, the temporary
    /// folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Where `peers.json` goes.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
}

/// Where the servers' programs are.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Programs {
    /// The broker. Without it, `wardline` beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) wardline: Option<PathBuf>,
    /// Without it, from the path.
    #[arg(long, value_name = "PATH")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Without it, from the path.
    #[arg(long, value_name = "PATH")]
    pub(crate) mosquitto: Option<PathBuf>,
    /// The script of that name among the server's own. Without it, where Debian has it.
    #[arg(long, value_name = "PATH")]
    pub(crate) rabbitmq_server: Option<PathBuf>,
}

/// Compares, and prints the table. Gives whether Wardline did everything right. Ctrl-C ends it
/// early with what there is.
///
/// # Errors
/// If nothing can be measured: a wrong argument, no folder, no contestant at all.
///
/// # Cancellation
/// Safe: the servers are killed.
pub async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    check(arguments)?;
    machine::pin(&arguments.generator_cores)?;
    let present = present(arguments).await;
    ensure!(!present.is_empty(), "nobody is left to measure");
    let facts = present.iter().map(|(facts, _)| facts.clone()).collect();
    let mut figures = Figures::new(machine::describe(arguments)?, facts);
    let tasks = LocalSet::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle signals")?;
    figures.is_partial = tokio::select! {
        () = tasks.run_until(compare(arguments, &present, &mut figures)) => false,
        _ = tokio::signal::ctrl_c() => true,
        _ = terminate.recv() => true,
    };
    // With them go the clients, and whatever they still wanted from servers that are gone.
    drop(tasks);
    figures.summarise();
    writeln!(std::io::stdout().lock(), "{}", figures.table()).context("cannot write to stdout")?;
    if let Some(folder) = &arguments.out {
        write(folder, &figures)?;
    }
    Ok(figures.is_wardline_right())
}

fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let rate = arguments.rate;
    ensure!(rate > 0.0 && rate <= RATE_MAX, "--rate must be more than 0 and at most {RATE_MAX}");
    ensure!(!arguments.duration.is_zero(), "--duration must be more than 0");
    let longest = arguments.duration.max(arguments.warmup);
    ensure!(longest <= DURATION_MAX, "--duration and --warmup must be at most an hour");
    if let Some(folder) = &arguments.out {
        let path = folder.join(FILE);
        ensure!(!path.exists(), "{} exists; name another folder with --out", path.display());
    }
    Ok(())
}

fn write(folder: &Path, figures: &Figures) -> anyhow::Result<()> {
    let path = folder.join(FILE);
    let json = serde_json::to_string_pretty(figures).context("the figures are not JSON")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, json))
        .with_context(|| format!("cannot write {}", path.display()))
}

async fn compare(arguments: &Arguments, present: &[(Facts, PathBuf)], figures: &mut Figures) {
    for &work in &arguments.work {
        for round in 1..=arguments.rounds {
            for (facts, program) in present {
                let turn = format!("{:<12} round {round}: {:<16}", work.name(), facts.contestant.name());
                match sample(arguments, work, round, facts.contestant, program).await {
                    Ok(sample) => {
                        say(&format!("{turn} {}", sample.line()));
                        figures.samples.push(sample);
                    }
                    Err(error) => {
                        say(&format!("{turn} failed: {error:#}"));
                        figures.failures.push((facts.contestant, work, round, format!("{error:#}")));
                    }
                }
            }
        }
    }
}

/// Those that are installed; says how to install the others.
async fn present(arguments: &Arguments) -> Vec<(Facts, PathBuf)> {
    let mut present: Vec<(Facts, PathBuf)> = Vec::new();
    for &contestant in &arguments.peers {
        if present.iter().any(|(facts, _)| facts.contestant == contestant) {
            continue;
        }
        let product = contestant.product();
        let found = match product.program(&arguments.programs) {
            Ok(program) => machine::version(product, &program).await.map(|version| (version, program)),
            Err(advice) => Err(anyhow::anyhow!(advice)),
        };
        match found {
            Ok((version, program)) => present.push((contestant.facts(version), program)),
            Err(error) => say(&format!("{}: left out: {error:#}", contestant.name())),
        }
    }
    present
}

/// One contestant's turn, on a server of its own.
async fn sample(
    arguments: &Arguments,
    work: Work,
    round: u32,
    contestant: Contestant,
    program: &Path,
) -> anyhow::Result<Sample> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("wardline-peers-");
    let base = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = folder.tempdir_in(&base).with_context(|| format!("cannot use {}", base.display()))?;
    let sync_us = if work == Work::PublishOne { Some(machine::sync_times(folder.path())?) } else { None };
    let cores = Some(arguments.server_cores.clone()).filter(|cores| cores != machine::ALL_CORES);
    let site = Site { program: program.to_owned(), cores, folder };
    let task = task(arguments, work);
    let seen = match contestant.product() {
        Product::Wardline => turn::<wardline::Wardline>(contestant, site, &task).await?,
        Product::Nats => turn::<jetstream::Jetstream>(contestant, site, &task).await?,
        Product::Mosquitto => turn::<mosquitto::Mosquitto>(contestant, site, &task).await?,
        Product::Rabbitmq => turn::<rabbitmq::Rabbitmq>(contestant, site, &task).await?,
    };
    Ok(Sample::new(contestant, work, round, &seen, sync_us))
}

async fn turn<P: Peer>(contestant: Contestant, site: Site, task: &Task) -> anyhow::Result<Seen> {
    let in_flight_max = match task.pace {
        Pace::InFlight(in_flight) => in_flight,
        // Two seconds' worth.
        Pace::Rate(rate) => (rate * 2.0).ceil().max(1_000.0) as usize,
    };
    let peer = P::start(contestant, site, in_flight_max).await?;
    harness::measure(&peer, task).await
}

fn task(arguments: &Arguments, work: Work) -> Task {
    let readers = arguments.readers as usize;
    let (pace, publishers, readers) = match work {
        Work::Publish => (Pace::InFlight(arguments.in_flight as usize), arguments.publishers as usize, 0),
        Work::PublishOne => (Pace::InFlight(1), 1, 0),
        Work::FanOut => (Pace::InFlight(arguments.fan_out_in_flight as usize), 1, readers),
        Work::Latency => (Pace::Rate(arguments.rate), 1, readers),
    };
    Task {
        pace,
        publishers,
        readers,
        warmup: arguments.warmup,
        duration: arguments.duration,
        drain: DRAIN_DEADLINE,
        payload_bytes: arguments.payload_bytes as usize,
    }
}

impl Work {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
