//! Wardline's load generator: replays a messaging trace against a broker and checks what every client has.
//!
//! Uses the public SDK and nothing else of Wardline; it does not know the broker, nor how it stores anything. A
//! library, so that its pure parts can be tested; `main.rs` is only the command line. Reading order: [`trace`],
//! [`pace`], [`people`], [`person`], [`replay`], [`check`].

pub mod arrivals;
pub mod check;
pub mod compare;
pub mod content;
pub mod control;
pub mod dialler;
pub mod idle;
pub mod pace;
pub mod people;
pub mod person;
pub mod progress;
pub mod record;
pub mod replay;
pub mod report;
pub mod token;
pub mod trace;
