//! The bridge as a program, between senders over real MLLP and a real broker over QUIC.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod checks;
mod day;
mod kills;
mod odd;
mod pages;
mod program;
mod sender;
mod site;
mod tls;
