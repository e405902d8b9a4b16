//! Access: who may come in, and under which ids the store knows them.

pub mod auth;
pub(crate) mod caller;
pub(crate) mod ids;
pub mod provider;
pub(crate) mod revocations;
