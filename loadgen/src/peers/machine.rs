//! The machine and the programs on it: what must be stated beside the figures.
//!
//! Also restricts this program to its cores, so that it and the server do not take time from each
//! other. What cannot be found out about the machine says `unknown`; it never stops a comparison.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::arguments::Arguments;
use super::contestant::Product;
use super::harness::histogram;

/// Stands for no pinning.
pub(crate) const ALL_CORES: &str = "all";
/// How often the disk is synced to see how long it takes.
const SYNCS: usize = 300;
/// Longest time that a program takes to say its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// What must be stated beside the figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) command: Vec<String>,
    pub(crate) cpu_model: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) server_cores: String,
    pub(crate) generator_cores: String,
    pub(crate) folder: String,
    pub(crate) payload_bytes: u64,
    pub(crate) readers: u64,
    pub(crate) publishers: u64,
    pub(crate) in_flight: u64,
    pub(crate) fan_out_in_flight: u64,
    pub(crate) rate_per_s: f64,
    pub(crate) warmup_s: f64,
    pub(crate) duration_s: f64,
    pub(crate) fdatasync_us: SyncTimes,
}

/// How long an append of 4 KiB and its fdatasync take.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SyncTimes {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

/// Describes the machine and the work.
///
/// # Errors
/// If the folder cannot be used.
pub(crate) fn describe(arguments: &Arguments) -> anyhow::Result<Machine> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let base = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(&base).with_context(|| format!("cannot use {}", base.display()))?;
    Ok(Machine {
        command: crate::typed::readable(std::env::args_os()),
        cpu_model: model.map_or("unknown", |(_, model)| model).trim().into(),
        cores: read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count(),
        kernel: read("/proc/sys/kernel/osrelease").trim().into(),
        server_cores: arguments.server_cores.clone(),
        generator_cores: arguments.generator_cores.clone(),
        folder: base.display().to_string(),
        payload_bytes: arguments.payload_bytes,
        readers: arguments.readers,
        publishers: arguments.publishers,
        in_flight: arguments.in_flight,
        fan_out_in_flight: arguments.fan_out_in_flight,
        rate_per_s: arguments.rate,
        warmup_s: arguments.warmup.as_secs_f64(),
        duration_s: arguments.duration.as_secs_f64(),
        fdatasync_us: sync_times(folder.path())?,
    })
}

/// Restricts this program, and what it starts, to these cores.
///
/// # Errors
/// If that is no list of cores, or the machine does not have them.
pub(crate) fn pin(cores: &str) -> anyhow::Result<()> {
    if cores == ALL_CORES {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for part in cores.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let number = text.trim().parse::<usize>().ok().filter(|number| *number < CpuSet::MAX_CPU);
            number.with_context(|| format!("--generator-cores: {text:?} is not a core; write 1, 2-3 or all"))
        };
        for core in number(first)?..=number(last)? {
            set.set(core);
        }
    }
    sched_setaffinity(None, &set)
        .with_context(|| format!("this machine does not have the cores {cores}; see --generator-cores"))
}

/// Measures the disk under a folder.
///
/// # Errors
/// If it cannot be written to.
pub(crate) fn sync_times(folder: &Path) -> anyhow::Result<SyncTimes> {
    let path = folder.join("sync");
    let cannot = || format!("cannot write {}", path.display());
    let mut file = File::create(&path).with_context(cannot)?;
    let mut times_us = histogram();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[0x5a; 4096]).and_then(|()| file.sync_data()).with_context(cannot)?;
        times_us.saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    std::fs::remove_file(&path).with_context(cannot)?;
    Ok(SyncTimes { p50: times_us.value_at_quantile(0.5), p99: times_us.value_at_quantile(0.99) })
}

/// Asks a program for its version.
///
/// # Errors
/// If it does not tell.
pub(crate) async fn version(product: Product, program: &Path) -> anyhow::Result<String> {
    if product == Product::Rabbitmq {
        return rabbitmq_version(program);
    }
    let argument = if product == Product::Mosquitto { "-h" } else { "--version" };
    let output = Command::new(program).arg(argument).kill_on_drop(true).output();
    let output = timeout(VERSION_DEADLINE, output).await.context("it does not tell its version")?;
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().trim();
    ensure!(!line.is_empty(), "{} does not tell its version", program.display());
    Ok(line.to_owned())
}

/// From the name of its folder of libraries: asking it would start a second Erlang machine.
fn rabbitmq_version(program: &Path) -> anyhow::Result<String> {
    let installed = program.parent().and_then(Path::parent).context("the script lies nowhere")?;
    for entry in std::fs::read_dir(installed.join("lib")).into_iter().flatten().flatten() {
        if let Some(version) = entry.file_name().to_string_lossy().strip_prefix("rabbitmq_server-") {
            return Ok(format!("RabbitMQ {version}"));
        }
    }
    bail!("{} is not within an installation of RabbitMQ", program.display())
}
