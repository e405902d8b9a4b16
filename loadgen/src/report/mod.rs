//! Makes one HTML file of any number of runs: what was measured, where, and how far it can be
//! trusted.
//!
//! The file loads nothing and has no script; it can be mailed, archived, and read years later.
//! Everything in it comes from `result.json`. Nothing is measured or averaged here: where runs have
//! several repetitions, the plots show the median one and the tables show all.

mod axis;
mod bars;
mod chart;
mod comparison;
mod figure;
mod html;
mod plots;
mod read;
mod section;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;

pub use read::{FILE, ReadError, Run, read};

/// What to report on.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Folders that `run --out` made.
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Where the report goes.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
}

/// Reads the runs and writes the report.
///
/// # Errors
/// If a folder cannot be used ([`ReadError`]), or the file not be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    crate::typed::try_file(&arguments.out)?;
    let runs: Vec<Run> = arguments.folders.iter().map(|folder| read(folder)).collect::<Result<_, _>>()?;
    let cannot = || format!("cannot write {}", arguments.out.display());
    std::fs::write(&arguments.out, render(&runs)).with_context(cannot)
}

/// Renders the report.
pub fn render(runs: &[Run]) -> String {
    let runs = &distinct(runs);
    let mut body = String::from("<h1>Wardline: load test report</h1>\n");
    let count = if runs.len() == 1 { "One run".to_owned() } else { format!("{} runs", runs.len()) };
    // Writing to a string does not fail.
    let _ = writeln!(
        body,
        "<p class=\"soft\">{count}. In an open loop latencies count from the time at which a message was due, so waiting is \
         in them; percentiles come from whole histograms. Rates and plots leave the warm-up out, the integrity check \
         does not.</p>"
    );
    if runs.len() > 1 {
        body += &comparison::section(runs);
    }
    for (number, run) in runs.iter().enumerate() {
        body += &section::section(run, number);
    }
    html::page("Wardline: load test report", &body)
}

/// Gives runs whose folders have the same name different ones.
fn distinct(runs: &[Run]) -> Vec<Run> {
    let mut distinct: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        let mut named = run.clone();
        let mut copy = 2;
        while distinct.iter().any(|other| other.name == named.name) {
            named.name = format!("{} ({copy})", run.name);
            copy += 1;
        }
        distinct.push(named);
    }
    distinct
}
