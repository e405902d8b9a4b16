//! `cargo xtask test`: everything that must hold before something is merged, cheapest first.
//!
//! Goes through all steps even after one failed, so that one run tells all; the last lines say
//! which failed and how to run each alone. Every step uses the release profile: RocksDB is compiled
//! once, and the tests see the program that runs in production.

use std::time::Instant;

use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::{observe, prerequisites, say, tidy, torture};

/// A step: its name, cargo's arguments, and variables to set.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

/// What ordinary builds leave out is linted and tested all the same.
const PEERS: &str = "wardline-loadgen/peers";
/// That, and what no test may have: its programs are the ones that people use.
const LINTED: &str = "wardline-loadgen/peers,wardline-broker/fail-points";

/// The last steps: faults under real brokers. Of each engine but the default a few of those that it
/// must answer for; then of the default, so that its program is what lies in the target folder, a
/// few of each.
const TORTURE: &str = "torture";
const OF_ANOTHER: &[&str] = &["--kill", "15", "--points", "8", "--corrupt", "24"];
const OF_DEFAULT: &[&str] = &["--short"];

const STEPS: &[Step] = &[
    Step { name: "format", arguments: &["fmt", "--all", "--check"], variables: &[] },
    Step {
        name: "lints",
        arguments: &[
            "clippy",
            "--locked",
            "--release",
            "--workspace",
            "--all-targets",
            "--features",
            LINTED,
            "--",
            "-D",
            "warnings",
        ],
        variables: &[],
    },
    Step {
        name: "lints of a broker without C++",
        arguments: &[
            "clippy",
            "--locked",
            "--release",
            "--package",
            "wardline-broker",
            "--no-default-features",
            "--features",
            "redb",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        variables: &[],
    },
    Step {
        name: "tests",
        // Documentation's examples included. Not the benches: they have no tests and much to
        // compile.
        arguments: &["test", "--locked", "--release", "--no-fail-fast", "--features", PEERS],
        variables: &[],
    },
    Step {
        name: "documentation",
        arguments: &["doc", "--locked", "--release", "--no-deps", "--document-private-items"],
        variables: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

/// Runs all steps; whether all passed.
///
/// # Errors
/// If something that the steps need is missing.
pub fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let start = Instant::now();
    let mut failed = Vec::new();
    let findings = tidy::check(&workspace.root)?;
    for finding in &findings {
        say(&finding.to_string());
    }
    if !findings.is_empty() {
        failed.push("tidy: cargo xtask tidy".to_owned());
    }
    workspace.prepare(Engine::default())?;
    prerequisites::ensure_prometheus()?;
    say("--- dashboards and alerts");
    if !observe::rules::check(&workspace.root)? {
        failed.push("dashboards and alerts: cargo xtask observe".to_owned());
    }
    for step in STEPS {
        let began = Instant::now();
        say(&format!("--- {}", step.name));
        let passed = workspace.run(step.arguments, step.variables)?;
        let verdict = if passed { "passed" } else { "FAILED" };
        say(&format!("--- {}: {verdict} after {} s", step.name, began.elapsed().as_secs()));
        if !passed {
            failed.push(by_hand(step));
        }
    }
    for engine in Engine::ALL.into_iter().filter(|engine| !engine.is_default()) {
        failed.extend(faults(workspace, engine, OF_ANOTHER)?);
    }
    failed.extend(faults(workspace, Engine::default(), OF_DEFAULT)?);
    match failed.as_slice() {
        [] => say(&format!("all checks passed in {} s", start.elapsed().as_secs())),
        failed => say(&format!("FAILED:\n  {}", failed.join("\n  "))),
    }
    Ok(failed.is_empty())
}

/// Makes faults under a broker on this engine; gives how to do it alone, if a promise was broken.
fn faults(workspace: &Workspace, engine: Engine, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let (began, name) = (Instant::now(), engine.name());
    say(&format!("--- {TORTURE}, {name}"));
    let passed = torture::check(workspace, engine, arguments)?;
    let verdict = if passed { "passed" } else { "FAILED" };
    say(&format!("--- {TORTURE}, {name}: {verdict} after {} s", began.elapsed().as_secs()));
    let by_hand = || format!("{TORTURE}: cargo xtask torture --engine {name} {}", arguments.join(" "));
    Ok((!passed).then(by_hand))
}

/// How to run a step alone.
fn by_hand(step: &Step) -> String {
    let variables: String = step.variables.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
    format!("{}: {variables}cargo {}", step.name, step.arguments.join(" "))
}
