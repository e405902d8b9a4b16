//! The broker as its clients see it on the wire: real QUIC, no SDK, the memory engine.
//!
//! [`raw`] speaks frames over quinn, so that the broker can be told what no SDK would say.
//! [`delivery`] is about what is pushed and when, [`bad_input`] about answers to what should not be
//! sent. No sleeps: every wait is for something, and has a deadline.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod bad_input;
mod delivery;
mod raw;
