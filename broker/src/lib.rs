//! Wardline's broker: sessions over QUIC in front of the one commit path of [`wardline_storage`].
//!
//! [`Broker::start`](broker::Broker::start) takes [`Settings`](settings::Settings) and an engine.
//! The command line (`main.rs`, `cli`) reads configuration and names the engine; everything else is
//! behind it.

pub mod admin;
mod admission;
pub mod auth;
pub mod backup;
mod bell;
pub mod broker;
mod clock;
pub mod config;
pub mod dev;
pub mod endpoint;
mod fanout;
mod farewell;
pub mod http;
mod ids;
pub mod limits;
pub mod log;
mod metrics;
pub mod readiness;
mod receipts;
mod refusal;
mod registry;
pub mod reload;
mod retention;
mod service;
mod session;
pub mod settings;
mod tail;
pub mod tls;
mod topic;
mod turns;
mod wire;
