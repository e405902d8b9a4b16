//! Delivery: from committed events to the lanes of every device.
//!
//! The fan-out encodes each entry once and puts it into the conversation's topic; each session then
//! has a task that copies from there, or from the store, after its own cursors.

pub(crate) mod deliver;
pub(crate) mod fanout;
mod follow;
mod progress;
mod receipts;
pub(crate) mod tail;
pub(crate) mod topic;
mod writer;
