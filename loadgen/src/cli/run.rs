//! `wardline-loadgen run`: what can be asked of a run, and what is left behind by it.
//!
//! The result goes into a folder that was empty, so that nothing is ever overwritten; a summary for
//! people to stdout. The measuring itself is [`crate::run`]'s.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::target::Target;
use crate::dialler::Dialler;
use crate::environment::{Asked, capture};
use crate::measure::samples::Percentile;
use crate::progress::{Progress, say};
use crate::result::{Latency, Repeat, RunResult, SCHEMA, Verdict};
use crate::run::{Run, exported};
use crate::typed;
use crate::workload::{Rate, Workload};

/// Publishes of one client without an answer: the broker's own bound.
const PUBLISH_WINDOW: usize = 1024;
/// Exit code of a run that was stopped by hand: 128 and SIGINT.
const STOPPED: u8 = 130;
/// Exit code of a run whose figures say nothing.
const NOT_VALID: u8 = 3;

/// What can be asked of a run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// A shipped workload (see `list`), or a file.
    workload: String,
    #[command(flatten)]
    target: Target,
    /// Messages a second; `max`: the highest that is sustained; `80%`: that part of it; `window`: a
    /// fixed number in flight. [default: the workload's]
    #[arg(long, value_name = "N|max|N%|window")]
    rate: Option<Rate>,
    /// With `--rate window`: how many in flight. [default: the workload's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: Option<u32>,
    /// How long before anything counts. [default: the workload's]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    warmup: Option<Duration>,
    /// How long is measured. [default: the workload's]
    #[arg(long, value_name = "TIME", value_parser = typed::time)]
    duration: Option<Duration>,
    /// How often, each time with people and conversations of its own.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Where the result goes: a folder that is empty or not there. Without it, only the summary is
    /// printed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Draws everything that is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The broker's process, for its CPU time and memory.
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    /// The broker's data folder, to time syncs on its file system.
    #[arg(long, value_name = "DIR")]
    broker_data: Option<PathBuf>,
    /// Where to serve the generator's own figures to Prometheus while it runs: IP address and TCP
    /// port.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<std::net::SocketAddr>,
    /// The broker's configuration file, to keep with the result.
    #[arg(long, value_name = "FILE")]
    broker_config: Option<PathBuf>,
}

/// Runs a workload and writes its result.
///
/// # Errors
/// If it could not be tried.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let run = plan(&arguments)?;
    if let Some(address) = arguments.metrics {
        exported::serve(address)?;
    }
    if let Some(out) = &arguments.out {
        prepare(out)?;
    }
    let folder =
        arguments.broker_data.clone().or_else(|| arguments.out.clone()).unwrap_or_else(std::env::temp_dir);
    // Before the load: syncs are timed on an idle machine.
    let mut environment = capture(Asked {
        broker_pid: arguments.broker_pid,
        folder: &folder,
        broker_config: arguments.broker_config.as_deref(),
        broker_version: String::new(),
    })?;
    let dialler = Arc::new(Dialler::new(&arguments.target.server()?)?.with_publish_window(PUBLISH_WINDOW));
    let progress = Progress::new(false);
    let stop = CancellationToken::new();
    let started_at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let local = LocalSet::new();
    local.spawn_local(stop_by_hand(stop.clone()));
    let found = local.run_until(run.run(&dialler, &progress, &stop)).await;
    progress.end();
    let found = found?;
    environment.broker_version.clone_from(&found.broker_version);
    let result = RunResult {
        schema: SCHEMA,
        workload: run.workload.name.clone(),
        workload_toml: run.workload.text.clone(),
        command: typed::readable(std::env::args_os()),
        started_at_ms,
        seed: arguments.seed,
        warmup_s: Some(run.warmup.as_secs_f64()),
        duration_s: Some(run.duration.as_secs_f64()),
        repetitions: Some(run.repeats),
        environment,
        repeats: found.repeats,
        verdict: found.verdict,
    };
    let kept = arguments.out.as_deref().map_or(Ok(()), |out| keep(out, &result, &found.logs));
    summarise(&result)?;
    kept?;
    Ok(match &result.verdict {
        Verdict { passed: false, .. } => ExitCode::FAILURE,
        _ if found.is_stopped => ExitCode::from(STOPPED),
        Verdict { valid: false, .. } => ExitCode::from(NOT_VALID),
        _ => ExitCode::SUCCESS,
    })
}

/// Writes the result; to stdout, if the disk that took a file before the run does not take it now.
fn keep(out: &Path, result: &RunResult, logs: &[Vec<(&'static str, Vec<u8>)>]) -> anyhow::Result<()> {
    let written = write(out, result, logs);
    if written.is_err() {
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(result)?)?;
    }
    written.context("the result is on stdout")
}

fn plan(arguments: &Arguments) -> anyhow::Result<Run> {
    if arguments.workload == "trace" {
        bail!("the trace is a command of its own, because its people come and go: `wardline-loadgen trace`");
    }
    let mut workload = Workload::find(&arguments.workload)?;
    let rate = arguments.rate.unwrap_or(workload.rate);
    if let Some(in_flight) = arguments.in_flight {
        let Some(window) = workload.window.as_mut().filter(|_| rate == Rate::Window) else {
            bail!("--in-flight goes with `--rate window`, and a workload that has a [window]");
        };
        window.in_flight = in_flight;
    }
    let duration = arguments.duration.unwrap_or(workload.duration);
    ensure!(duration >= Duration::from_secs(1), "--duration must be at least 1s");
    Ok(Run {
        rate,
        warmup: arguments.warmup.unwrap_or(workload.warmup),
        duration,
        repeats: arguments.repeat,
        seed: arguments.seed,
        broker_pid: arguments.broker_pid,
        moment: watch::Sender::default(),
        workload,
    })
}

/// Makes the output folder; refuses one that has something in it, or that takes nothing.
fn prepare(out: &Path) -> anyhow::Result<()> {
    let is_used = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("cannot use {} for --out", out.display())),
    };
    ensure!(!is_used, "{} is not empty: results are never overwritten; name another --out", out.display());
    typed::try_folder(out)
}

async fn stop_by_hand(stop: CancellationToken) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let asked = tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
        terminated = terminate.recv() => terminated.is_some(),
    };
    if asked {
        say("stopping: what was measured is kept");
        stop.cancel();
    }
}

fn write(out: &Path, result: &RunResult, logs: &[Vec<(&'static str, Vec<u8>)>]) -> anyhow::Result<()> {
    let save = |name: String, content: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    for (number, logs) in logs.iter().enumerate() {
        for (name, log) in logs {
            save(format!("{}-{name}.hlog", number + 1), log)?;
        }
    }
    save("result.json".into(), &serde_json::to_vec_pretty(result).context("the result is not JSON")?)
}

/// Tells people what came out.
fn summarise(result: &RunResult) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for (number, repeat) in result.repeats.iter().enumerate() {
        writeln!(out, "{} {}: {}", result.workload, number + 1, repeat.loop_kind)?;
        tell(&mut out, repeat)?;
        tell_urgent(&mut out, repeat)?;
    }
    let verdict = &result.verdict;
    writeln!(out, "passed: {}, valid: {}", verdict.passed, verdict.valid)?;
    for reason in &verdict.reasons {
        writeln!(out, "  {reason}")?;
    }
    Ok(())
}

/// Urgent messages alone, and beside the load: whether they stay ahead of it.
fn tell_urgent(out: &mut impl std::io::Write, repeat: &Repeat) -> std::io::Result<()> {
    let (alone, loaded) = (repeat.alone.get("urgent_deliver"), repeat.latencies.get("urgent_deliver"));
    let (Some(alone), Some(loaded), Some(routine)) = (alone, loaded, repeat.latencies.get("deliver")) else {
        return Ok(());
    };
    let p99_us = |latency: &Latency| latency.stated_us(Percentile::P99);
    let (Some(alone_us), Some(loaded_us)) = (p99_us(alone), p99_us(loaded)) else { return Ok(()) };
    writeln!(
        out,
        "  urgent alone p99 {:.3} ms; under load p99 {:.3} ms, {:.2} times that; routine p50 {} ms",
        alone_us as f64 / 1e3,
        loaded_us as f64 / 1e3,
        loaded_us as f64 / alone_us.max(1) as f64,
        millis(routine, Percentile::P50)
    )
}

/// A percentile for people; a dash, if too little was measured for it.
fn millis(latency: &Latency, percentile: Percentile) -> String {
    latency.stated_us(percentile).map_or("-".into(), |us| format!("{:.3}", us as f64 / 1e3))
}

fn tell(out: &mut impl std::io::Write, repeat: &Repeat) -> std::io::Result<()> {
    let offered = repeat.offered_per_s.map_or("-".into(), |rate| format!("{rate:.0}"));
    writeln!(
        out,
        "  offered/s {offered}, acked/s {:.0}, delivered/s {:.0}; measured {:.1} s",
        repeat.rates.acked_per_s, repeat.rates.delivered_per_s, repeat.measured_s
    )?;
    for (name, latency) in &repeat.latencies {
        let at = |percentile| millis(latency, percentile);
        writeln!(
            out,
            "  {name:<28} p50 {:>9} p90 {:>9} p99 {:>9} p99.9 {:>9} max {:>9.3} ms of {}",
            at(Percentile::P50),
            at(Percentile::P90),
            at(Percentile::P99),
            at(Percentile::P999),
            latency.max_us as f64 / 1e3,
            latency.count
        )?;
    }
    let cores = |usage: &crate::result::Usage| usage.cpu_s / repeat.measured_s.max(1e-9);
    write!(
        out,
        "  generator {:.2} cores, late sends p99 {} µs",
        cores(&repeat.generator),
        repeat.late_send.p99_us
    )?;
    if let Some(broker) = &repeat.broker {
        write!(
            out,
            "; broker {:.2} cores, {} MiB, {:.1} MB/s written",
            cores(broker),
            broker.resident_bytes_max >> 20,
            broker.written_bytes as f64 / 1e6 / repeat.measured_s.max(1e-9)
        )?;
    }
    writeln!(out, "; others {:.2} cores, steal {:.1} %", repeat.others_cores, repeat.steal * 100.0)
}
