//! What operators see and do: pages, readiness, the text log, reloading, backups, the door of a
//! running broker, and what issuers say has ended.

pub mod admin;
pub mod backup;
pub(crate) mod gather;
pub mod http;
pub(crate) mod issuers;
pub mod logout;
pub mod private;
pub mod readiness;
pub mod reload;
pub mod revoke;
mod serving;
pub mod sign_out;
pub mod text_log;
