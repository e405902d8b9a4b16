//! What a trial of the broker is judged by: the events that are heard, and the oracle that objects.
//!
//! Pure: no clock, no I/O, no task. The program `wardline-torture` (beside this library) makes the
//! faults, talks to the broker through the SDK as anybody does, and tells the oracle of everything
//! that it asked and was answered.

pub mod event;
pub mod oracle;
