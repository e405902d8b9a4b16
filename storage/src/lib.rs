//! Wardline's state and the one path by which it changes.
//!
//! ```text
//! Submission ─► Log ──(ordered group)──► Applier ─► Machine::apply ─► Batch ─► Engine::commit (one sync)
//!                │                                        │
//!                └──► Reply (outcome, after the sync)     └──► Event ─► Observer (fan-out)
//! ```
//!
//! - [`model`] and [`id`]: what is kept, in types. [`key`] and [`record`]: how it lies in bytes.
//! - [`command`]: everything that can change state, and what comes of it.
//! - [`machine`]: the pure, deterministic core. [`view`]: every read, with expiry and membership applied.
//! - [`applier`] and [`overlay`]: a group of commands as one batch.
//! - [`engine`], [`log`]: the two seams. [`memory`] and [`local`] are the ones that come with this crate.
//!
//! Nothing here reads a clock, draws a random number or knows the wire.

pub mod applier;
pub mod command;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod engine;
pub mod format;
pub mod id;
pub mod key;
pub mod local;
pub mod log;
pub mod machine;
pub mod memory;
pub mod model;
pub mod overlay;
pub mod record;
mod scan;
pub mod view;
