//! The bridge's command line.
//!
//! Exit code 0: everything is right; 1: something was refused, is not right, or `serve` could not
//! be done; 2: it could not be tried, or wrong usage. The result goes to stdout, everything else to
//! stderr.

mod cli;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let failed = if arguments.is_serve() { ExitCode::FAILURE } else { ExitCode::from(2) };
    match arguments.run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody to tell is no reason to fail otherwise.
            let _ = writeln!(std::io::stderr(), "error: {}", cli::told(&error));
            failed
        }
    }
}
