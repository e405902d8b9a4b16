//! The programmes: which faults are made, when, and what must hold beside the oracle's laws.

pub(crate) mod clock;
pub(crate) mod corrupt;
pub(crate) mod descriptors;
pub(crate) mod disk_full;
pub(crate) mod eio;
pub(crate) mod kill;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod points;
pub(crate) mod power;
