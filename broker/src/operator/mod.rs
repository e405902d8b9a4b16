//! What operators see and do: pages, readiness, the text log, reloading, backups, and the door of a
//! running broker.

pub mod admin;
pub mod backup;
pub(crate) mod gather;
pub mod http;
pub mod private;
pub mod readiness;
pub mod reload;
pub mod revoke;
pub mod text_log;
