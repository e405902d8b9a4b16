//! Presence: who is connected, how a session is told that there is news, and how it is ended.

pub(crate) mod bell;
pub(crate) mod ending;
pub(crate) mod farewell;
pub(crate) mod registry;
