//! The command line of measurements, a file for each subcommand: what can be asked for, and what is
//! said in the end.
//!
//! Exit codes are those of `main.rs`; 130 for a run that was stopped by hand, and 3 for one whose
//! figures say nothing.

pub mod compare;
pub mod list;
pub mod run;
pub mod target;
pub mod urgent;
