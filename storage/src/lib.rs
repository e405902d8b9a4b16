//! Wardline's state and the one path by which it changes. Reads no clock, draws no chance, knows no
//! wire.
//!
//! ```text
//! Submission ─► Log ──(ordered group)──► Applier ─► machine::apply ─► Batch ─► Engine::commit
//!                └──► Reply (after the sync)          └──► Event ─► Observer (fan-out)
//! ```
//!
//! [`model`], [`id`], [`retention`]: what is kept, and for how long; [`said`], [`patient`],
//! [`encounter`], [`staff`]: what the patients' record says. [`key`], [`record`]: how all that lies
//! in bytes. [`command`], [`machine`]: what can change it, and how. [`applier`], [`overlay`]: a
//! group of commands as one batch. [`view`]: every read. [`state_hash`]: whether two stores hold
//! the same. [`engine`], [`log`]: the two seams; [`memory`] and [`local`] come with this crate.
//! [`ballast`]: room on the disk for what must be written.

pub mod applier;
pub mod ballast;
pub mod command;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod encounter;
pub mod engine;
pub mod fail_point;
pub mod format;
pub mod garbage;
#[cfg(feature = "conformance")]
pub mod hooked;
mod hot;
pub mod id;
pub mod key;
pub mod local;
pub mod log;
pub mod machine;
pub mod memory;
pub mod model;
pub mod open;
pub mod overlay;
pub mod patient;
mod recent;
pub mod record;
pub mod retention;
pub mod room;
pub mod said;
mod scan;
pub mod staff;
pub mod state;
pub mod state_hash;
pub mod value;
pub mod view;
