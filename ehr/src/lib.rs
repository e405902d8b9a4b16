//! The bridge to the patient record, as a library: what a hospital's systems send, read into
//! neutral events.
//!
//! [`mllp`] finds messages in a stream, [`hl7`] reads them, [`record`] is what they come to,
//! [`listener`] serves those who send them, [`outlet`] tells the broker, and [`bridge`] is all of
//! it while it runs. [`replay`] tells of a folder of messages what would be taken. `mllp`, `hl7`,
//! `record` and `outlet::commands` are pure: no clock, no I/O, no task. The broker is known through
//! the SDK alone. What a message says never stands in an error, a text log or a `Debug`; what is
//! wrong with it, and where, does.

pub mod bridge;
pub mod certificates;
pub mod check;
pub mod config;
pub mod given;
pub mod hl7;
pub mod listener;
pub mod mllp;
pub mod outlet;
pub mod pages;
pub mod record;
pub mod replay;
pub mod text_log;
pub mod token;
