//! The rules of the SDK, as pure state: no clock, no stream, no task, no chance.
//!
//! Owns what makes publishes ordered and unlost, entries handed over once, and receipts durable.
//! Whoever runs a session asks it what to send and tells it what came; so it can be tested without
//! either, and used where there is no tokio. `cargo xtask tidy` keeps it so.

pub(crate) mod hash;
pub(crate) mod order;
pub(crate) mod outbox;
pub(crate) mod receipts;
