//! Wardline's redb engine: a store in one file, in pure Rust, for first looks, tests and small
//! sites.
//!
//! - [`RedbEngine`]: the [`Engine`](wardline_storage::engine::Engine) itself, one table of redb per
//!   table. [`Redb`]: it before it is open.
//! - `disk`, `row`: nothing that redb reads is believed before a checksum is right.
//! - `open`, `note`: a store that lost something is refused, and left as it was found.
//! - `copy`: rows into a new file, beside commits. `reclaim` puts that in the old one's place,
//!   `checkpoint` elsewhere.
//!
//! It reads no clock of the machine: time comes in with each call.

mod checkpoint;
mod copy;
mod disk;
mod engine;
mod figures;
mod file;
mod followed;
mod note;
mod open;
mod reclaim;
mod room;
mod row;
mod seam;

pub use engine::RedbEngine;
pub use seam::Redb;
