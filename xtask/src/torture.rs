//! `cargo xtask torture`: faults under a real broker, and an oracle that says whether its promises
//! held.
//!
//! Builds the broker and `wardline-torture` (which see) and becomes the latter. `--control` builds
//! a broker that does not sync, from a copy of the sources with that one line changed, and takes
//! the power from it: a harness that does not object to that could not see anything. `--defects`
//! does the same for every planted defect. No option of the real broker turns the sync off.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, anyhow, ensure};

use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::{defects, say};

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Take the power from a broker that does not sync; good if that is seen.
    #[arg(long)]
    control: bool,
    /// Plant one defect after the other into the broker; good if each is seen within 100 cycles.
    #[arg(long, conflicts_with = "control")]
    defects: bool,
    /// What the broker's store lies in.
    #[arg(long, value_enum, conflicts_with_all = ["control", "defects"])]
    engine: Option<Engine>,
    /// For `wardline-torture`: programmes like --kill 100 --power 100, and --seed, --minutes;
    /// --help lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Cycles within which a defect must be seen.
const CONTROL_CYCLES: &str = "100";
/// What a run without arguments does.
const DEFAULT: &[&str] = &["--kill", "100"];

/// Builds what is needed and becomes `wardline-torture`; returns only if that fails.
///
/// # Errors
/// If something cannot be built or started.
pub fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    if options.defects {
        return all_defects(workspace);
    }
    let torture = program(workspace)?;
    let mut command = Command::new(torture);
    command.arg("--out").arg(folder(workspace));
    if options.control {
        let unsynced = defects::broker(workspace, "the sync is removed")?;
        say("a broker that does not sync is about to lose its power");
        command.arg("--program").arg(unsynced).arg("--expect-objections");
        command.args(["--power", CONTROL_CYCLES]);
    } else {
        // It may stand among the arguments too.
        let named = Engine::named_in(&options.arguments).map_err(|text| anyhow!("--engine: {text}"))?;
        if named.is_none() {
            command.args(["--engine", options.engine.unwrap_or_default().name()]);
        }
        add_brokers(
            workspace,
            named.or(options.engine).unwrap_or_default(),
            &mut command,
            &options.arguments,
        )?;
        if options.arguments.is_empty() {
            command.args(DEFAULT);
        }
    }
    command.args(&options.arguments);
    // Not a child: signals reach it, and it ends what it started.
    Err(command.exec()).context("cannot start wardline-torture")
}

/// Plants every defect that one broker shows into it, and lets the programme look that must see it;
/// whether each was seen.
fn all_defects(workspace: &Workspace) -> anyhow::Result<bool> {
    let torture = program(workspace)?;
    let mut table = String::new();
    let mut all_seen = true;
    for defect in defects::DEFECTS {
        let Some(programme) = defect.programme else { continue };
        let broker = defects::broker(workspace, defect.name)?;
        say(&format!("--- {}", defect.name));
        let mut command = Command::new(&torture);
        command.arg("--out").arg(folder(workspace).join("defects")).arg("--program").arg(broker);
        command.args(["--expect-objections", programme, CONTROL_CYCLES]);
        let seen = command.status().context("cannot start wardline-torture")?.success();
        all_seen &= seen;
        let verdict = if seen { "seen" } else { "NOT SEEN" };
        let _ = writeln!(table, "  {:<48}{:<10}{verdict}", defect.name, programme);
    }
    say(&format!("defect, and the programme that looked for it:\n{table}"));
    Ok(all_seen)
}

/// Carries out programmes on an engine and waits; whether every promise was kept.
///
/// # Errors
/// If something cannot be built or started.
pub fn check(workspace: &Workspace, engine: Engine, arguments: &[&str]) -> anyhow::Result<bool> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let mut command = Command::new(program(workspace)?);
    command.arg("--out").arg(folder(workspace)).args(["--engine", engine.name()]);
    add_brokers(workspace, engine, &mut command, &arguments)?;
    command.args(arguments);
    let status = command.status().context("cannot start wardline-torture")?;
    ensure!(status.code().is_some(), "wardline-torture ended with {status}");
    Ok(status.success())
}

/// Builds the broker, and the one that crashes where it is told if these arguments need it.
fn add_brokers(
    workspace: &Workspace,
    engine: Engine,
    command: &mut Command,
    arguments: &[String],
) -> anyhow::Result<()> {
    let wants_points = |argument: &String| {
        argument == "--short" || argument == "--points" || argument.starts_with("--points=")
    };
    if arguments.iter().any(wants_points) {
        let broker = workspace.broker_with_feature(engine, "fail-points")?;
        command.arg("--fail-points-program").arg(broker);
    }
    command.arg("--program").arg(workspace.broker(engine)?);
    Ok(())
}

/// Builds `wardline-torture`, which has no engine.
fn program(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    workspace.program("wardline-torture", "wardline-torture", &[])
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("target").join("torture")
}
