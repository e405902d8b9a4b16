//! `wardline-loadgen compare`: fails if the second run is worse than the first, of several pairs in
//! most.
//!
//! Exit code 1 on a regression, 2 if they cannot be compared. What is a regression is
//! [`crate::compare`]'s to say.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;

use crate::compare::{Speed, THRESHOLD, compare};
use crate::report::read;

/// What can be compared.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The folder of the run to compare with, and that of the run that may be worse. On a machine
    /// whose speed changes: several such pairs, of two builds that took turns, each as often ahead
    /// as behind.
    #[arg(required = true, num_args = 2.., value_names = ["A", "B"])]
    runs: Vec<PathBuf>,
    /// By which share a figure may get worse, beyond what the machine's speed explains; 99th
    /// percentiles by two and a half times that.
    #[arg(long, value_name = "SHARE", default_value_t = THRESHOLD)]
    threshold: f64,
}

/// Compares and prints a table.
///
/// # Errors
/// If a result cannot be read, or they cannot be compared.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    ensure!(arguments.threshold > 0.0, "--threshold is a share above 0, for example 0.1 for 10 %");
    ensure!(
        arguments.runs.len().is_multiple_of(2),
        "runs are compared in pairs: {} are given",
        arguments.runs.len()
    );
    let runs = arguments.runs.iter().map(|folder| read(folder)).collect::<Result<Vec<_>, _>>()?;
    let pairs: Vec<_> = runs.chunks_exact(2).map(|pair| (&pair[0].result, &pair[1].result)).collect();
    let comparison = compare(&pairs, arguments.threshold)?;
    let (a, b) = (&runs[0], &runs[1]);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<28} {:>14} {:>14} {:>9} {:>9}", "median", a.name, b.name, "worse by", "allowed")?;
    for row in &comparison.rows {
        let mark = if row.is_regression { "  REGRESSION" } else { "" };
        let (worse, allowed) = (row.worse_by * 100.0, row.allowed * 100.0);
        writeln!(
            out,
            "{:<28} {:>14.1} {:>14.1} {worse:>+8.1}% {allowed:>8.1}%{mark}",
            row.figure, row.a, row.b
        )?;
    }
    if pairs.len() > 1 {
        writeln!(out, "of {} pairs, that in the middle; more than half must be worse", pairs.len())?;
    }
    tell_speeds(&mut out, &comparison.speeds)?;
    for difference in &comparison.differences {
        writeln!(out, "differs: {difference}")?;
    }
    if comparison.has_regression() {
        writeln!(out, "{} is worse than {}", b.name, a.name)?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "no regression")?;
    Ok(ExitCode::SUCCESS)
}

fn tell_speeds(out: &mut impl Write, speeds: &[Speed]) -> std::io::Result<()> {
    if speeds.is_empty() {
        return writeln!(
            out,
            "as measured: how fast the machine was is known only where one generator offered one load at a rate of its own"
        );
    }
    let spent: Vec<String> = speeds.iter().map(|it| format!("{:.2} and {:.2}", it.a_us, it.b_us)).collect();
    writeln!(
        out,
        "latencies and processor time at the machine's speed in the first run: the generator took {} µs for each message (a broker that makes its clients work more looks like a slower machine)",
        spent.join(", ")
    )
}
