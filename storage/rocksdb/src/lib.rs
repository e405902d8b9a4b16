//! Wardline's RocksDB engine: the default place where state lies.
//!
//! - [`RocksEngine`]: the [`Engine`](wardline_storage::engine::Engine) itself, one column family
//!   per table.
//! - [`Options`]: what an operator may choose; every other tuned option stands with its reason in
//!   `options.rs`.
//! - `expiry_filter`: drops expired records while RocksDB compacts. `reclaim`: makes it compact in
//!   time. `room`, `spare`: what it asks for first, and what waits, when the disk is nearly full.
//!
//! A crate of its own, so that nobody else compiles C++. It reads no clock: time comes in with each
//! call.

mod engine;
mod expiry_filter;
mod figures;
mod open;
mod options;
mod reclaim;
mod room;
mod spare;
mod synced;
mod torn;
mod unreadable;
mod wal_time;

pub use engine::{Rocks, RocksEngine};
pub use options::Options;
