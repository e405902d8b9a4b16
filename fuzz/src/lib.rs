//! What the fuzz targets do with the bytes that they are given: one module for each, each with one
//! `run`.
//!
//! A property that does not hold is a panic. What makes and checks frames, records and sequences of
//! commands is shared with the tests of those crates, so that a target and a test cannot come to
//! mean different things. The same bytes do the same thing each time: nothing here has a clock, and
//! chance comes from the bytes.

pub mod config;
pub mod frames;
pub mod hl7;
pub mod machine;
pub mod messages;
pub mod mllp;
pub mod records;
pub mod tokens;

#[path = "../../storage/tests/model/mod.rs"]
mod model;
#[path = "../../storage/tests/records/mod.rs"]
mod samples;
#[path = "../../proto/tests/wire/mod.rs"]
mod wire;

use std::sync::LazyLock;

use wire::Schema;

/// The crate whose `.proto` files are the contract.
const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::load(PROTO));
