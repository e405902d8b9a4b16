//! The bridge to the patient record, as a library: what a hospital's systems send, read into
//! neutral events.
//!
//! [`mllp`] finds messages in a stream, [`hl7`] reads them, [`record`] is what they come to,
//! [`listener`] serves those who send them, and [`replay`] tells of a folder of them what would be
//! taken. `mllp`, `hl7` and `record` are pure:
//! no clock, no I/O, no task. Nothing here knows the broker. What a message says never stands in an
//! error, a text log or a `Debug`; what is wrong with it, and where, does.

pub mod given;
pub mod hl7;
pub mod listener;
pub mod mllp;
pub mod record;
pub mod replay;
