//! Wardline's broker: sessions over QUIC in front of the one commit path of [`wardline_storage`].
//!
//! [`Broker::start`](broker::Broker::start) takes [`Settings`](settings::Settings) and an engine. The command line
//! (`main.rs`, `cli`) reads configuration and names the engine; everything else is behind it.

pub mod auth;
pub mod broker;
pub mod config;
pub mod dev;
pub mod limits;
pub mod settings;
pub mod tls;
