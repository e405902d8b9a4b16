//! `wardline-loadgen urgent-worst`: what can be asked of it, and what is left behind by it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use super::target::Target;
use crate::dialler::Dialler;
use crate::progress::Progress;
use crate::urgent::{self, Asked};

/// What can be asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    asked: Asked,
    /// Where the result goes, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Measures, says what was found, and writes it.
///
/// # Errors
/// If it could not be tried.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // Before the run: no result is lost by a place that cannot be written to.
    let out = arguments.out.as_ref().map(|path| {
        let file = std::fs::OpenOptions::new().create_new(true).write(true).open(path);
        file.with_context(|| format!("cannot make {}: name a file that is not there", path.display()))
    });
    let out = out.transpose()?;
    let dialler = Arc::new(Dialler::new(&arguments.target.server()?)?);
    let progress = Progress::new(false);
    let report = urgent::run(&arguments.asked, &dialler, &progress).await;
    progress.end();
    let report = report?;
    if let Some(mut out) = out {
        let json = serde_json::to_string_pretty(&report).context("the result is not JSON")?;
        out.write_all(json.as_bytes()).context("cannot write the result")?;
    }
    write!(std::io::stdout().lock(), "{report}").context("cannot write to stdout")?;
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
