//! The bridge's command line.
//!
//! Exit code 0: everything is right; 1: something was refused, or could not be read; 2: it could
//! not be tried. The result goes to stdout, everything else to stderr.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wardline_ehr::replay;

/// Wardline's bridge to the patient record.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reads a folder of HL7 files and says what would be taken, and what not and why.
    Replay(replay::Arguments),
}

fn main() -> ExitCode {
    let Command::Replay(arguments) = Arguments::parse().command;
    match replay::run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            // Nobody to tell is no reason to fail otherwise.
            let _ = writeln!(std::io::stderr(), "error: {}", causes.join(": "));
            ExitCode::from(2)
        }
    }
}
