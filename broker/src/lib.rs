//! Wardline's broker: sessions over QUIC in front of the one commit path of [`wardline_storage`].
//!
//! [`Broker::start`](broker::Broker::start) takes [`Settings`](settings::Settings), an engine
//! and a log. The command line (`main.rs`, `cli`) reads configuration and names both; everything
//! else is behind it.

pub mod access;
pub mod broker;
mod clock;
pub mod config;
mod counted;
mod delivery;
pub mod dev;
pub mod edge;
mod founding;
pub mod https;
pub mod limits;
mod metrics;
pub mod operator;
mod presence;
mod refusal;
mod requests;
pub mod retention;
mod session;
pub mod settings;
mod shares;
mod tasks;
mod turns;
mod upkeep;
mod wire;
