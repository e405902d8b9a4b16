//! `cargo xtask noisy`: what others feel of one user who does everything that spoils their day.
//!
//! Starts a broker with its default limits and lets `wardline-loadgen noisy` measure everyday talk
//! of 1,000 people, without and with the offender in turns. With `--unfair` the broker is one that
//! knows no principals: the measurement must then fail, or it would notice nothing.

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

/// Longest measurement beyond what was asked for.
const DEADLINE: Duration = Duration::from_secs(600);

/// How to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How often, each time without and with the offender.
    #[arg(long, default_value_t = 3)]
    turns: u32,
    /// How long each is measured, in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// With a broker that knows no principals: passes if the measurement fails.
    #[arg(long)]
    unfair: bool,
    /// What the broker's store lies in.
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
}

/// Measures; whether what must hold held, or must fail failed.
///
/// # Errors
/// If it could not be run.
pub fn run(workspace: &Workspace, options: &Options, children: &Children) -> anyhow::Result<bool> {
    let programs = workspace.programs(options.engine)?;
    let program = if options.unfair {
        workspace.broker_with_feature(options.engine, "unfair")?
    } else {
        programs.wardline
    };
    let folder = workspace.empty_folder("noisy")?;
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let settings = Settings { program, engine: options.engine, data, log: folder.join("broker.log") };
    let broker = Broker::start(settings, children)?;
    let (turns, seconds) = (options.turns.to_string(), format!("{}s", options.seconds));
    let path = folder.join("summary.json");
    let mut command = Command::new(programs.loadgen);
    command.arg("noisy").args(["--target", &broker.target()]);
    command.args(["--turns", &turns, "--duration", &seconds, "--broker-pid", &broker.id().to_string()]);
    command.arg("--out").arg(&path).stdin(Stdio::null());
    let loadgen = children.spawn(&mut command)?;
    let measuring = Duration::from_secs(u64::from(options.turns) * u64::from(options.seconds) * 2);
    let status = loadgen.wait(DEADLINE + measuring).context("waiting for the load generator")?;
    ensure!(matches!(status.code(), Some(0 | 1)), "the load generator ended with {status}");
    broker.stop()?;
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut summary: Value = serde_json::from_str(&text).context("the load generator left no result")?;
    let is_right = summary["passed"] == json!(!options.unfair);
    summary["unfair"] = json!(options.unfair);
    summary["git"] = machine::revision(&workspace.root);
    summary["machine"] = machine::describe(&folder)?;
    fs::write(&path, format!("{summary:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    let outcome = match (is_right, options.unfair) {
        (true, false) => "PASSED",
        (true, true) => "PASSED: without shares others feel it, and it is noticed",
        (false, false) => "FAILED",
        (false, true) => "FAILED: without shares nothing was noticed",
    };
    say(&format!("{outcome} (all of it: {})", path.display()));
    Ok(is_right)
}
