//! The `wardline` binary: names the engines and the log, runs the command line, decides the exit
//! code.
//!
//! Exit codes: 0 done; 1 it could not be done, one sentence on stderr says why and what to do; 2
//! wrong usage; 74 (`EX_IOERR`) the store failed while serving. This is the only file that names an
//! engine or a log.

mod cli;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use wardline_storage::local::Local;
use wardline_storage::log::Starter;
use wardline_storage::memory::Memory;

/// What one thread allocates another frees, for every message: the system's allocator spends a
/// quarter of the commit path on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The engines of this build: cargo features choose. The first that keeps files is the default.
const ENGINES: &[&dyn wardline_storage::open::Opener] = &[
    #[cfg(feature = "rocksdb")]
    &wardline_rocksdb::Rocks,
    #[cfg(feature = "redb")]
    &wardline_redb::Redb,
    &Memory,
];

/// What orders commands, and says when they count as durable.
const LOG: &dyn Starter = &Local;

/// `EX_IOERR` of `sysexits.h`.
const STORAGE_FAILED: u8 = 74;

fn main() -> ExitCode {
    let error = match cli::Arguments::parse().run(cli::Engines(ENGINES), LOG) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        // Whoever read our output has seen enough.
        return ExitCode::SUCCESS;
    }
    cli::say_last(format!("wardline: {}", cli::told(&error)));
    match error.downcast_ref::<cli::Failure>() {
        Some(cli::Failure::Storage(_)) => ExitCode::from(STORAGE_FAILED),
        Some(cli::Failure::Usage(_)) => ExitCode::from(2),
        None => ExitCode::FAILURE,
    }
}
