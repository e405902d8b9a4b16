//! Wardline's Rust SDK.
//!
//! [`connect()`] opens a session and gives two halves: a [`Client`] to ask and publish with (cheap
//! to clone), and an [`Inbox`] that yields what arrives. Both live through lost connections and
//! broker restarts: the SDK connects again with jittered back-off, publishes again what was not
//! acknowledged (same idempotency keys, same order), and resumes deliveries. What the application
//! takes from the inbox, it gets exactly once and in order per conversation; an urgent message
//! comes ahead of its turn. [`connect()`] has an example; `examples/chat.rs` is a whole program.
//!
//! An application that restarts begins where its device's acknowledgements end, or at
//! [`Options::resume`]. One that does not read its inbox stops the broker from sending to it, and
//! nobody else.

mod address;
mod asking;
mod client;
mod connect;
mod control;
mod core;
mod delivering;
mod end;
mod error;
mod frames;
mod id;
mod inbox;
mod life;
mod mailbox;
mod options;
mod publishing;
pub mod record;
mod record_wire;
mod recording;
mod requests;
mod session;
mod shared;
mod text;
mod types;
mod whereabouts;
mod wire;

pub use address::{Address, NoAddress, Resolver, Resolving, SystemResolver};
pub use client::{Client, PendingAck, connect};
pub use error::{Code, ConnectError, Refusal, RequestError};
pub use inbox::Inbox;
pub use options::{Acknowledging, Backoff, Options, TokenSource, Trust};
pub use text::Text;
pub use types::*;
