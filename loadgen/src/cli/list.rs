//! `wardline-loadgen list`: the workloads that come with the program.

use std::io::Write as _;
use std::process::ExitCode;

use crate::workload::{SHIPPED, Workload};

/// Prints name and purpose of each.
///
/// # Errors
/// If stdout is gone.
pub fn list() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for shipped in SHIPPED {
        let workload = Workload::parse(shipped.name, shipped.text)?;
        writeln!(out, "{:<20} {}", workload.name, workload.about)?;
    }
    writeln!(out, "{:<20} a real trace of 59,835 messages: `wardline-loadgen trace`", "trace")?;
    Ok(ExitCode::SUCCESS)
}
