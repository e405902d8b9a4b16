//! The project's chores. `cargo xtask help` lists them.
//!
//! A library, so that its own tests can plant violations; `main.rs` is only the command line.
//! Nothing here is part of the product, and nothing here links it: chores build and start the
//! product's binaries and talk to them through their command lines, files and pipes.

pub mod broker;
pub mod cargo;
pub mod checks;
pub mod comeback;
pub mod dashboards;
pub mod defects;
pub mod demo;
pub mod drill;
pub mod engine;
pub mod fuzz;
pub mod idle;
pub mod machine;
pub mod mutants;
pub mod noisy;
pub mod observe;
pub mod package;
pub mod prerequisites;
pub mod process;
pub mod provider;
pub mod table;
pub mod tidy;
pub mod torture;

/// Prints a line for people.
#[allow(clippy::print_stderr)] // the one place where the chores talk to people
pub fn say(line: &str) {
    eprintln!("{line}");
}
