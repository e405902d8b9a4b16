//! Wardline's load generator: offers load to a broker, measures what its clients see, and checks
//! what they have.
//!
//! Uses the public SDK and nothing else of Wardline; it does not know the broker, nor how it stores
//! anything. Only [`noisy`] knows the wire too, since no SDK would do what it must. A library, so
//! that its pure parts can be tested; `main.rs` is only the command line. [`run`] offers a
//! [`workload`], [`noisy`] one beside somebody who spoils it; [`replay`] plays a real trace;
//! [`result`] is what a measurement leaves behind, and what reports and comparisons are made of.
//! [`urgent`] measures the worst case of an urgent message.

pub mod cli;
pub mod comeback;
pub mod compare;
pub mod dialler;
pub mod environment;
pub mod idle;
pub mod measure;
pub mod noisy;
#[cfg(feature = "peers")]
pub mod peers;
pub mod plan;
pub mod progress;
pub mod replay;
pub mod report;
pub mod result;
pub mod run;
pub mod seed;
pub mod token;
pub mod typed;
pub mod urgent;
pub mod workload;
