//! `cargo xtask`: the command line of the chores.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{cargo::Workspace, checks, tidy};

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Checks everything: format, lints, tests, documentation, house rules.
    Test,
    /// Checks the house rules that no compiler keeps.
    Tidy,
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
    match chore {
        Chore::Test => checks::run(&workspace),
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
