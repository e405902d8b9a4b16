//! What is measured: what each message carries, what each recipient has of it, and how long things
//! took.
//!
//! Pure state, fed by [`crate::run`]: no clock, no task. Cheap enough for several hundred thousand
//! deliveries a second on one core: plain counters in dense vectors, no locks, no strings.
//! [`stamp`] is the content of messages, [`ledger`] finds what is lost, twice, out of order or made
//! up, [`recorder`] has the latencies and the seconds, [`samples`] says whether they are enough.

pub mod ledger;
pub mod recorder;
pub mod samples;
pub mod stamp;
