//! Runs the same durable work on Wardline and on other brokers, side by side, on one machine.
//!
//! Owns the order of things: every round gives every contestant its turn, on a fresh server in a
//! folder of its own, so that what the machine does meanwhile falls on all alike. `harness` does
//! the work, the same code for everybody; a module for each server knows how it is started and
//! spoken to. A contestant that is not installed, or fails, is reported and left out. Nothing here
//! knows the broker's inside.

mod acks;
mod arguments;
mod contestant;
mod figures;
mod harness;
mod identity;
mod jetstream;
mod ledger;
mod machine;
mod message;
mod mosquitto;
mod programs;
mod rabbitmq;
mod server;
mod timer;
mod usage;
mod wardline;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

pub use arguments::{Arguments, Work};
pub use contestant::Contestant;
pub use programs::Programs;

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
        crate::typed::try_folder(folder)?;
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
