//! `cargo xtask mutants`: changes the program in one place at a time, and counts the changes that
//! no test notices.
//!
//! By cargo-mutants, which is not installed here: if it is missing, that is said. What is changed
//! stands in `.cargo/mutants.toml`; what came of it, and why the rest survives, in
//! `docs/mutants.md`. It works on a copy of the project. Random tests are shortened: each is run
//! hundreds of times.

use std::path::{Component, Path};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::say;

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Only these files; all that `.cargo/mutants.toml` names, unless some are.
    files: Vec<String>,
}

/// How much random tests do.
const SHORT: [(&str, &str); 3] =
    [("WARDLINE_SEQUENCES", "2000"), ("WARDLINE_SCHEDULES", "150"), ("PROPTEST_CASES", "64")];
/// Share of the changes that must be noticed, in per cent.
const CAUGHT_MIN: usize = 90;
/// Some were not noticed, or made a test hang: nothing that kept it from doing its work.
const FOUND: [i32; 2] = [2, 3];

/// Runs it; whether enough was noticed.
///
/// # Errors
/// If cargo-mutants is missing, or could not do its work.
pub fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    let answers = Command::new("cargo").args(["mutants", "--version"]).stdout(Stdio::null()).status();
    ensure!(
        answers.is_ok_and(|status| status.success()),
        "missing to make mutants: cargo-mutants: cargo install cargo-mutants --locked"
    );
    workspace.prepare(Engine::default())?;
    let output = workspace.target.join("mutants");
    std::fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let mut command = Command::new("cargo");
    command
        .args(["mutants", "--no-shuffle", "--output"])
        .arg(&output)
        .current_dir(&workspace.root)
        .envs(SHORT);
    // By their names too, which begin with the file's: cargo-mutants adds a `--file` to those of
    // its configuration.
    for file in &options.files {
        let is_plain = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        let is_there = is_plain && workspace.root.join(file).is_file();
        ensure!(
            is_there,
            "there is no file {file}: name it as it is seen from the root, like storage/src/local.rs"
        );
        command.args(["--file", file, "--re", &format!("^{}:", file.replace('.', r"\."))]);
    }
    let status = command.status().context("cannot run cargo mutants")?;
    let done = status.success() || status.code().is_some_and(|code| FOUND.contains(&code));
    ensure!(done, "cargo mutants could not do its work: {status}");

    let count = |name: &str| lines(&output.join("mutants.out").join(name));
    let (survived, unviable) = (count("missed.txt"), count("unviable.txt"));
    let caught = count("caught.txt") + count("timeout.txt");
    let share = caught * 100 / (caught + survived).max(1);
    say(&format!(
        "{caught} of {} mutants caught ({share} %, at least {CAUGHT_MIN}); {unviable} more did not compile",
        caught + survived
    ));
    Ok(share >= CAUGHT_MIN)
}

/// How many lines a file has; none, if there is none.
fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}
