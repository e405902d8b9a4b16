//! The programmes: which faults are made, when, and what must hold beside the oracle's laws.

pub mod clock;
pub mod corrupt;
pub mod descriptors;
pub mod disk_full;
pub mod eio;
pub mod full;
pub mod kill;
pub mod memory;
pub mod network;
pub mod points;
pub mod power;
