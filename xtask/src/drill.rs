//! `cargo xtask drill`: what an operator does to a broker, many times over, and whether anything
//! was lost by it.
//!
//! Three drills, each a test of the broker with the real binary or over real QUIC, run for more
//! rounds than in the suite: backup, destruction and restore; drains under people who talk;
//! certificates and keys exchanged under people who talk. The tests judge; here is only how often,
//! and one line about each.

use std::time::Instant;

use anyhow::Context as _;

use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::say;

/// How often.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Backup, more traffic, destruction, restore.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Stops (SIGTERM) and starts.
    #[arg(long, default_value_t = 100)]
    drains: u32,
    /// Exchanges of certificate and token keys.
    #[arg(long, default_value_t = 1_000)]
    reloads: u32,
    /// What the broker's store lies in.
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
}

/// One drill.
struct Drill {
    name: &'static str,
    /// The test target of the broker, and the test.
    target: &'static str,
    test: &'static str,
    rounds: u32,
}

/// Runs all drills; whether all passed.
///
/// # Errors
/// If cargo could not be run.
pub fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    workspace.prepare(options.engine)?;
    let drills = [
        Drill {
            name: "restore",
            target: "crash",
            test: "drill::what_was_acknowledged_before_the_backup_is_there_after_the_restore",
            rounds: options.rounds,
        },
        Drill {
            name: "drain",
            target: "crash",
            test: "drain::nothing_is_lost_by_a_stop",
            rounds: options.drains,
        },
        Drill {
            name: "reload",
            target: "quic",
            test: "reload::reloads_disconnect_nobody",
            rounds: options.reloads,
        },
    ];
    let mut passed = true;
    for drill in drills.iter().filter(|drill| drill.rounds > 0) {
        passed &= one(workspace, drill, options.engine)?;
    }
    Ok(passed)
}

fn one(workspace: &Workspace, drill: &Drill, engine: Engine) -> anyhow::Result<bool> {
    let (began, rounds) = (Instant::now(), drill.rounds.to_string());
    let test = ["test", "--release", "--locked", "--package=wardline-broker", "--test", drill.target];
    let build = engine.build_arguments(&[]);
    let build: Vec<&str> = build.iter().map(String::as_str).collect();
    let arguments = [&test[..], &build, &["--", "--exact", drill.test, "--nocapture"]].concat();
    let output = workspace.output(&arguments, &[("WARDLINE_ROUNDS", &rounds)]).context(drill.name)?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A test that was not found would pass as well.
    let ran = said.contains("1 passed");
    let seconds = began.elapsed().as_secs();
    if output.status.success() && ran {
        let mut told = said.lines().filter(|line| line.contains(" reloads,") || line.contains(" none lost;"));
        let told = told.next_back().map(|line| format!(": {line}")).unwrap_or_default();
        say(&format!("{}: {rounds} rounds passed in {seconds} s{told}", drill.name));
        return Ok(true);
    }
    say(&format!("{}\n{}", said, String::from_utf8_lossy(&output.stderr)));
    say(&format!("{}: FAILED after {seconds} s", drill.name));
    Ok(false)
}
