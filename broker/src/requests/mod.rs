//! Requests: what a device asks, as a command for the log or a query of the store.

pub(crate) mod admission;
pub(crate) mod query;
pub(crate) mod service;
