//! `cargo xtask fuzz`: runs the targets of `fuzz/`, each for a while, one after the other.
//!
//! They need a nightly compiler and cargo-fuzz, which ordinary work does not; what is missing is
//! said, never installed. No sanitizer: the code is safe Rust, so what a target finds is a panic, a
//! time-out or memory without bound, and it finds several times as many of them without. Corpora
//! and findings stay in `fuzz/corpus` and `fuzz/artifacts`.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::cargo::Workspace;
use crate::say;

/// How to run them.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long to run each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which targets; all, unless some are named.
    targets: Vec<String>,
}

/// Longest execution, in seconds, and most memory: more is a finding. What takes for ever takes
/// longer than this too, and a machine that is busy with other things makes 10 s of a few
/// milliseconds now and then.
const LIMITS: [&str; 2] = ["-timeout=60", "-rss_limit_mb=2048"];
const SANITIZER: [&str; 2] = ["--sanitizer", "none"];

/// Runs the targets; whether none of them found anything.
///
/// # Errors
/// If a tool is missing, a target does not exist, or they cannot be built.
pub fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    let known = targets(workspace)?;
    for target in &options.targets {
        ensure!(known.contains(target), "there is no target {target}; there are {}", known.join(", "));
    }
    tools()?;
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    let folder = workspace.target.join("fuzz");
    let cargo_fuzz = |verb: &str| {
        let mut command = nightly(workspace, &["fuzz", verb]);
        command.args(SANITIZER).arg("--target-dir").arg(&folder);
        command
    };
    let built = cargo_fuzz("build").status().context("cannot run rustup")?;
    ensure!(built.success(), "the targets cannot be built");
    let mut found = Vec::new();
    for target in chosen {
        say(&format!("--- {target}, for {} s", options.seconds));
        let mut command = cargo_fuzz("run");
        command.args([target, "--", "-print_final_stats=1"]).args(LIMITS);
        command.arg(format!("-max_total_time={}", options.seconds));
        if !command.status().context("cannot run rustup")?.success() {
            found.push(target.as_str());
        }
    }
    match found.as_slice() {
        [] => say(&format!("nothing was found by {}", chosen.join(", "))),
        found => say(&format!("FOUND something: {}; the input is in fuzz/artifacts", found.join(", "))),
    }
    Ok(found.is_empty())
}

/// The names of all targets.
fn targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let files = std::fs::read_dir(workspace.root.join("fuzz").join("targets")).context("no fuzz/targets")?;
    let mut names = Vec::new();
    for file in files {
        let path = file?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Makes sure that the tools are there.
fn tools() -> anyhow::Result<()> {
    let answers = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ensure!(
        answers("rustup", &["run", "nightly", "cargo", "--version"]),
        "missing to fuzz: a nightly compiler, by rustup: rustup toolchain install nightly --profile minimal"
    );
    ensure!(
        answers("rustup", &["run", "nightly", "cargo", "fuzz", "--version"]),
        "missing to fuzz: cargo-fuzz: cargo install cargo-fuzz --locked"
    );
    Ok(())
}

/// Cargo of the nightly toolchain. Not `$CARGO`, which is the stable one's.
fn nightly(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(arguments).current_dir(&workspace.root);
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command
}
