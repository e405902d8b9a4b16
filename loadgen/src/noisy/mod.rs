//! `noisy`: everyday talk of many, without and with one user who does everything at once that
//! spoils the day of others, in turns.
//!
//! Others' publishing, urgent messages, deliveries and history are measured by the same generator
//! in both, at the same moments: after everybody is connected and a warm-up. The offender is a
//! process of its own and begins with the warm-up. It passes if others' p99 stays near what it is
//! alone, the broker's memory within what is stated, and the offender is answered, not cut without
//! a word. It fails, and says why, if others are spoiled so much that there is nothing to measure.

mod apart;
pub mod offender;
mod raw;
mod reader;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::apart::Apart;
use self::raw::Told;
use self::reader::Reader;
use self::table::{Cores, Figure, Row, Turn};
use crate::cli::target::Target;
use crate::dialler::{Dialler, Server};
use crate::progress::Progress;
use crate::run::Run;
use crate::run::moment::Moment;
use crate::workload::{Rate, Workload};

/// Longest time for a turn beyond what is measured: to connect, to make conversations, to let
/// everything arrive, and to leave.
const TURN_DEADLINE: Duration = Duration::from_secs(240);

/// What can be asked of it.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// How often, each time without and with the offender.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// How long each is measured.
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long before anything counts.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// Routine messages a second, of all others together.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// The broker's process, for its memory.
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    /// Most memory of the broker, in MiB: the sum that docs/operations.md states for its settings.
    #[arg(long, default_value_t = 1_024, value_name = "MIB")]
    memory_mib: u64,
    /// Draws everything that is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the result goes, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Row>,
    cores_without: Cores,
    cores_with: Cores,
    offender: Told,
    memory_bytes_max: Option<u64>,
    memory_bytes_allowed: u64,
    /// Why there was nothing to measure beside the offender.
    spoiled: Option<String>,
    passed: bool,
}

/// What was measured.
#[derive(Default)]
struct Measured {
    without: Vec<Turn>,
    with: Vec<Turn>,
    offender: Told,
    memory_bytes_max: Option<u64>,
    spoiled: Option<String>,
}

/// Runs it, and tells what came of it.
///
/// # Errors
/// If it could not be tried.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let server = arguments.target.server()?;
    if let Some(out) = &arguments.out {
        // Tried before the run, so that no result is lost by it.
        std::fs::write(out, "").with_context(|| format!("cannot write {}", out.display()))?;
    }
    let progress = Progress::new(false);
    let measured = LocalSet::new().run_until(turns(&arguments, &server, &progress)).await;
    progress.end();
    let report = judge(&arguments, measured?);
    tell(&report)?;
    if let Some(out) = &arguments.out {
        let json = serde_json::to_vec_pretty(&report).context("the report is not JSON")?;
        std::fs::write(out, json).with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn turns(arguments: &Arguments, server: &Server, progress: &Progress) -> anyhow::Result<Measured> {
    let mut found = Measured::default();
    for turn in 0..arguments.turns {
        let (alone, _) = measure(arguments, server, turn, progress, None).await?;
        found.without.push(alone);
        let mut offender = Apart::start(server, rand::random()).await?;
        let deadline = arguments.warmup + arguments.duration + TURN_DEADLINE;
        let measuring = measure(arguments, server, turn, progress, Some(&mut offender));
        let measured = timeout(deadline, measuring).await;
        found.offender += offender.end()?;
        match measured {
            Ok(Ok((beside, resident))) => {
                found.with.push(beside);
                found.memory_bytes_max = found.memory_bytes_max.max(resident);
            }
            // Alone they could: so this is the offender's doing, and what is asked here.
            Ok(Err(error)) => found.spoiled = Some(format!("{error:#}")),
            Err(_) => found.spoiled = Some(format!("others were not done within {deadline:?}")),
        }
        if found.spoiled.is_some() {
            break;
        }
    }
    Ok(found)
}

/// Measures others; gives their figures, and the most memory that the broker had.
async fn measure(
    arguments: &Arguments,
    server: &Server,
    turn: u32,
    progress: &Progress,
    offender: Option<&mut Apart>,
) -> anyhow::Result<(Turn, Option<u64>)> {
    let dialler = Arc::new(Dialler::new(server)?);
    let moment = watch::Sender::default();
    let run = Run {
        workload: Workload::find("noisy")?,
        rate: Rate::PerSecond(arguments.rate),
        warmup: arguments.warmup,
        duration: arguments.duration,
        repeats: 1,
        seed: arguments.seed + u64::from(turn),
        broker_pid: arguments.broker_pid,
        moment: moment.clone(),
    };
    let never = CancellationToken::new();
    let reader = Reader::new(&dialler).await?;
    let (found, history, offenders_cores) = tokio::join!(
        async {
            let found = run.run(&dialler, progress, &never).await;
            // However it ended: nobody waits for more.
            moment.send_replace(Moment::Over);
            found
        },
        reader.run(moment.subscribe()),
        beside(offender, moment.subscribe()),
    );
    let found = found?;
    ensure!(found.verdict.passed, "the broker did something wrong: {}", found.verdict.reasons.join("; "));
    let repeat = found.repeats.first().context("nothing was measured")?;
    let cores = |cpu_s: f64| cpu_s / repeat.measured_s.max(1e-9);
    let mut figures = Turn {
        cores: Cores {
            broker: repeat.broker.as_ref().map(|broker| cores(broker.cpu_s)),
            others: cores(repeat.generator.cpu_s),
            offender: offenders_cores?,
        },
        ..Turn::default()
    };
    for (name, _) in table::ROWS {
        if let Some(latency) = repeat.latencies.get(name) {
            let (count, p50_us, p99_us) = (latency.count, latency.p50_us, latency.p99_us);
            figures.figures.insert(name, Figure { count, p50_us, p99_us });
        }
    }
    figures.figures.insert("history", history?);
    Ok((figures, repeat.broker.as_ref().map(|broker| broker.resident_bytes_max)))
}

/// Lets the offender begin when the warm-up does; the cores that it used while it counted.
async fn beside(
    offender: Option<&mut Apart>,
    mut moment: watch::Receiver<Moment>,
) -> anyhow::Result<Option<f64>> {
    let Some(offender) = offender else { return Ok(None) };
    if *moment.wait_for(|moment| *moment >= Moment::WarmingUp).await? == Moment::Over {
        return Ok(None);
    }
    offender.begin()?;
    let process = offender.process();
    moment.wait_for(|moment| *moment >= Moment::Measuring).await?;
    let (before, begun) = (process.used(), Instant::now());
    moment.wait_for(|moment| *moment == Moment::Over).await?;
    let used = process.used().zip(before).map(|(after, before)| after.cpu_s() - before.cpu_s());
    Ok(used.map(|used_s| used_s / begun.elapsed().as_secs_f64().max(1e-9)))
}

fn judge(arguments: &Arguments, measured: Measured) -> Report {
    let Measured { without, with, offender, memory_bytes_max, spoiled } = measured;
    let rows = table::rows(&without, &with);
    let memory_bytes_allowed = arguments.memory_mib << 20;
    let is_answered = offender.done > 0 && offender.told_to_come_back > 0 && offender.cut_without_a_word == 0;
    let passed = spoiled.is_none()
        && rows.iter().all(Row::holds)
        && memory_bytes_max.is_none_or(|most| most <= memory_bytes_allowed)
        && is_answered;
    let (cores_without, cores_with) = (table::cores(&without), table::cores(&with));
    Report {
        rows,
        cores_without,
        cores_with,
        offender,
        memory_bytes_max,
        memory_bytes_allowed,
        spoiled,
        passed,
    }
}

fn tell(report: &Report) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "{}", table::show(&report.rows))?;
    writeln!(out, "cores without: {}; with: {}", report.cores_without, report.cores_with)?;
    let Told { done, told_to_come_back, refused_otherwise, ended_with_a_code, cut_without_a_word } =
        &report.offender;
    writeln!(
        out,
        "the offender: {done} done, {told_to_come_back} told to come back, {refused_otherwise} refused otherwise; \
         {ended_with_a_code} connections ended with a code, {cut_without_a_word} without a word"
    )?;
    if let Some(most) = report.memory_bytes_max {
        writeln!(
            out,
            "the broker's memory: at most {} MiB of {}",
            most >> 20,
            report.memory_bytes_allowed >> 20
        )?;
    }
    if let Some(why) = &report.spoiled {
        writeln!(out, "spoiled beside the offender: {why}")?;
    }
    writeln!(out, "passed: {}", report.passed)?;
    Ok(())
}
