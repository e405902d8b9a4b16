//! `cargo xtask idle`: what an idle authenticated connection costs the broker in memory.
//!
//! Starts a broker as the demo does, lets the load generator open the connections and watch the
//! broker's resident memory, prints the bytes for each, and writes `target/idle/summary.json`.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::broker::{Broker, Settings};
use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::process::Children;
use crate::{machine, say};

/// Longest measurement.
const DEADLINE: Duration = Duration::from_secs(300);

/// How to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many connections.
    #[arg(long, default_value_t = 2_000)]
    connections: u32,
    /// What the broker's store lies in.
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
}

/// Measures; whether it could be measured.
///
/// # Errors
/// If it could not be run.
pub fn run(workspace: &Workspace, options: &Options, children: &Children) -> anyhow::Result<bool> {
    let programs = workspace.programs(options.engine)?;
    let folder = workspace.empty_folder("idle")?;
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let broker = Broker::start(
        Settings { program: programs.wardline, engine: options.engine, data, log: folder.join("broker.log") },
        children,
    )?;
    let mut command = Command::new(programs.loadgen);
    command.arg("idle").args(broker.client_arguments());
    command.args(["--connections", &options.connections.to_string(), "--pid", &broker.id().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let loadgen = children.spawn(&mut command)?;
    let stdout = loadgen.stdout().context("the load generator has no stdout")?;
    let status = loadgen.wait(DEADLINE).context("waiting for the load generator")?;
    ensure!(status.success(), "the load generator ended with {status}");
    broker.stop()?;
    let mut summary: Value = serde_json::from_reader(stdout).context("the load generator left no result")?;
    summary["git"] = machine::revision(&workspace.root);
    summary["machine"] = machine::describe(&folder)?;
    summary["command"] = json!(format!(
        "cargo xtask idle --connections {} --engine {}",
        options.connections,
        options.engine.name()
    ));
    let path = folder.join("summary.json");
    fs::write(&path, format!("{summary:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    let bytes = summary["bytes_per_connection"].as_u64().context("the result has no bytes_per_connection")?;
    say(&format!(
        "{bytes} bytes ({:.1} KiB) of broker memory for each of {} idle authenticated connections",
        bytes as f64 / 1024.0,
        options.connections
    ));
    Ok(true)
}
