//! `cargo xtask`: the command line of the chores.
//!
//! Each chore is a module of the library beside it, with its options; here is only the choice.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::cargo::Workspace;
use xtask::process::Children;
use xtask::{
    checks, comeback, dashboards, defects, demo, drill, fuzz, idle, mutants, noisy, observe, package,
    provider, tidy, torture,
};

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Kills a broker again and again, and measures how long its clients take until they are back.
    Comeback(comeback::Options),
    /// Writes Grafana's dashboards.
    Dashboards,
    /// Plants defects one at a time, and checks that the tests see each.
    Defects,
    /// Replays a real messaging trace, kills the broker in the middle, and checks what everybody
    /// has.
    Demo(demo::Options),
    /// Restores, drains and reloads a broker under traffic, many times, and checks that nothing is
    /// lost.
    Drill(drill::Options),
    /// Hands the parts that read what strangers send whatever a fuzzer comes up with.
    Fuzz(fuzz::Options),
    /// Measures the broker's memory for each idle connection.
    Idle(idle::Options),
    /// Changes the program in one place at a time, and checks that a test notices.
    Mutants(mutants::Options),
    /// Measures what others feel of one user who spoils it for them.
    Noisy(noisy::Options),
    /// Watches a broker under load with a real Prometheus, and checks that every panel shows
    /// something.
    Observe(observe::Options),
    /// Makes the Debian package.
    Package,
    /// Tries the broker with an OpenID provider that others wrote.
    Provider,
    /// Checks everything: format, lints, tests, documentation, house rules.
    Test,
    /// Checks the house rules that no compiler keeps.
    Tidy,
    /// Makes faults under a broker, and says whether its promises held.
    Torture(torture::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            xtask::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Does a chore; `false`: it was done, and found something wrong.
fn run(chore: Chore) -> anyhow::Result<bool> {
    let workspace = Workspace::find()?;
    let children = Children::default();
    match chore {
        Chore::Demo(options) => {
            children.end_on_signals()?;
            demo::run(&workspace, &options, &children)
        }
        Chore::Comeback(options) => {
            children.end_on_signals()?;
            comeback::run(&workspace, &options, &children)
        }
        Chore::Noisy(options) => {
            children.end_on_signals()?;
            noisy::run(&workspace, &options, &children)
        }
        Chore::Idle(options) => {
            children.end_on_signals()?;
            idle::run(&workspace, &options, &children)
        }
        Chore::Observe(options) => {
            children.end_on_signals()?;
            observe::run(&workspace, &options, &children)
        }
        Chore::Dashboards => dashboards::write(&workspace.root).map(|()| true),
        Chore::Drill(options) => drill::run(&workspace, &options),
        Chore::Fuzz(options) => fuzz::run(&workspace, &options),
        Chore::Mutants(options) => mutants::run(&workspace, &options),
        Chore::Package => package::run(&workspace),
        Chore::Provider => provider::run(&workspace),
        Chore::Defects => defects::run(&workspace),
        Chore::Test => checks::run(&workspace),
        Chore::Torture(options) => torture::run(&workspace, &options),
        Chore::Tidy => {
            let findings = tidy::check(&workspace.root)?;
            for finding in &findings {
                xtask::say(&finding.to_string());
            }
            xtask::say(&format!("tidy: {} findings", findings.len()));
            Ok(findings.is_empty())
        }
    }
}
