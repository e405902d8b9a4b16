//! The load generator's command line.
//!
//! Exit code 0: everything is right; 1: something is wrong with what the broker did, or nothing was
//! shown; 2: it could not be tried; 3: the figures say nothing. The result goes to a file or stdout
//! as JSON, everything for people to stderr.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use wardline_loadgen::cli;
use wardline_loadgen::comeback;
use wardline_loadgen::dialler::{Dialler, Server};
use wardline_loadgen::idle;
use wardline_loadgen::progress::{Progress, say, told};
use wardline_loadgen::replay::Replay;
use wardline_loadgen::replay::check::Check;
use wardline_loadgen::replay::pace::Schedule;
use wardline_loadgen::replay::people;
use wardline_loadgen::replay::report::Report;
use wardline_loadgen::replay::trace::Trace;
use wardline_loadgen::typed;

/// Wardline's load generator.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Offers a workload and measures.
    Run(Box<cli::run::Arguments>),
    /// Measures many people without and with one who spoils it, in turns; fails if they feel it.
    Noisy(Box<wardline_loadgen::noisy::Arguments>),
    /// The one who spoils it, for `noisy`, which is the parent process.
    #[command(hide = true)]
    Offender(Box<wardline_loadgen::noisy::offender::Arguments>),
    /// Compares two results, and fails if the second is worse.
    Compare(cli::compare::Arguments),
    /// Measures what an urgent message takes in the worst case, from application to application.
    UrgentWorst(Box<cli::urgent::Arguments>),
    /// Lists the workloads that come with the program.
    List,
    /// Replays a messaging trace, then checks what every person has.
    Trace(TraceArguments),
    /// Opens connections that do nothing, and measures the broker's memory for each.
    Idle(IdleArguments),
    /// Measures how long clients take until they are back after their broker was killed, which a
    /// parent process does: `cargo xtask comeback`.
    Comeback(comeback::Arguments),
    /// Makes one HTML file of any number of runs.
    Report(wardline_loadgen::report::Arguments),
    /// Runs the same work on Wardline and on other brokers, side by side.
    #[cfg(feature = "peers")]
    Peers(wardline_loadgen::peers::Arguments),
}

#[derive(Args)]
struct TraceArguments {
    #[command(flatten)]
    server: Server,
    /// Draws absences, read delays and contents.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the publishing takes: half a year is compressed into this.
    #[arg(long, default_value = "2", value_parser = typed::minutes)]
    minutes: Duration,
    /// Only messages among the first so many people of the trace.
    #[arg(long)]
    people: Option<u32>,
    /// Another trace, in the format of loadgen/data.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Where `replay.json` goes; without it, to stdout.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Tell progress as JSON lines on stdout, and hear on stdin what happens to the broker:
    /// `killed`, `restarted`.
    #[arg(long, requires = "out")]
    control: bool,
    /// How long after its planned end the replay is given up, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=86_400))]
    grace_s: u64,
}

#[derive(Args)]
struct IdleArguments {
    #[command(flatten)]
    server: Server,
    /// How many.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// The broker's process.
    #[arg(long)]
    pid: u32,
}

/// As the broker's: most of what a client does for a delivery is to allocate it and give it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Steps of clients between looks at timers and sockets. With the default of 61 busy clients send
/// late and take late, by a third of a millisecond at the 99th percentile, which would be charged
/// to the broker.
const STEPS_BETWEEN_LOOKS: u32 = 16;

fn main() -> ExitCode {
    let chosen = std::env::var("RUST_LOG").ok().and_then(|levels| levels.parse().ok());
    let levels = chosen.unwrap_or_else(|| {
        Targets::new().with_default(LevelFilter::ERROR).with_target("lapin", LevelFilter::OFF)
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(levels);
    tracing_subscriber::registry().with(lines).init();
    match run(Arguments::parse().workload) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {}", told(&error)));
            ExitCode::from(2)
        }
    }
}

fn run(workload: Workload) -> anyhow::Result<ExitCode> {
    // One thread: the clients' work is many small steps, which cost more when they move between
    // threads, and the broker under test gets the other cores.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(STEPS_BETWEEN_LOOKS)
        .build()?;
    runtime.block_on(async {
        match workload {
            Workload::Run(arguments) => cli::run::run(*arguments).await,
            Workload::Noisy(arguments) => wardline_loadgen::noisy::run(*arguments).await,
            Workload::Offender(arguments) => wardline_loadgen::noisy::offender::run(*arguments).await,
            Workload::Compare(arguments) => cli::compare::run(&arguments),
            Workload::UrgentWorst(arguments) => cli::urgent::run(*arguments).await,
            Workload::List => cli::list::list(),
            Workload::Trace(arguments) => trace(arguments).await.map(code),
            Workload::Idle(arguments) => idle(arguments).await.map(code),
            Workload::Comeback(arguments) => comeback::run(arguments).await.map(code),
            Workload::Report(arguments) => {
                wardline_loadgen::report::run(&arguments).map(|()| ExitCode::SUCCESS)
            }
            #[cfg(feature = "peers")]
            Workload::Peers(arguments) => wardline_loadgen::peers::run(&arguments).await.map(code),
        }
    })
}

fn code(is_right: bool) -> ExitCode {
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn trace(arguments: TraceArguments) -> anyhow::Result<bool> {
    if let Some(out) = &arguments.out {
        typed::try_folder(out)?;
    }
    let trace = match &arguments.trace {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Trace::parse(&text, arguments.people)?
        }
        None => Trace::uci(arguments.people)?,
    };
    let trace = Arc::new(trace);
    let schedule = Schedule::new(&trace, arguments.minutes);
    let plans = people::plans(&trace, &schedule, arguments.seed);
    let replay = Replay {
        trace: trace.clone(),
        schedule,
        plans,
        seed: arguments.seed,
        grace: Duration::from_secs(arguments.grace_s),
        has_parent: arguments.control,
    };
    let progress = Progress::new(arguments.control);
    let dialler = Arc::new(Dialler::new(&arguments.server)?);
    let began = Instant::now();
    let record = replay.run(&dialler, &progress).await?;
    let replayed = Instant::now();
    let check = Arc::new(Check::new(trace, arguments.seed, record.clone(), dialler));
    let found = check.run(&replay.plans, &progress).await?;
    progress.end();
    let replay_s = (replayed - began).as_secs_f64();
    let report = Report::new(&replay, &record, &found, replay_s, replayed.elapsed().as_secs_f64());
    write(arguments.out.as_deref(), &report)?;
    Ok(report.passed)
}

fn write(folder: Option<&Path>, report: &Report) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report).context("the report is not JSON")?;
    match folder {
        Some(folder) => {
            let path = folder.join("replay.json");
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, json))
                .with_context(|| format!("cannot write {}", path.display()))
        }
        None => writeln!(std::io::stdout().lock(), "{json}").context("cannot write to stdout"),
    }
}

async fn idle(arguments: IdleArguments) -> anyhow::Result<bool> {
    let progress = Progress::new(false);
    let dialler = Arc::new(Dialler::new(&arguments.server)?);
    let idle = idle::measure(dialler, arguments.connections as usize, arguments.pid, &progress).await?;
    progress.end();
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&idle)?)?;
    Ok(true)
}
