//! Faults under a real broker, people who use it meanwhile, and an oracle that says whether its
//! promises held.
//!
//! [`event`] and [`oracle`] are pure: no clock, no I/O, no task. [`people`] talk to the broker
//! through the SDK as anybody does, [`audit`] reads everything back, and both tell the [`journal`],
//! which asks the oracle. A [`trial`] is a [`broker`], a ward full of people, and the faults
//! between; a [`fault`] has a programme of trials. The program `wardline-torture` carries them out;
//! the broker's own tests use them too.

pub mod audit;
pub mod broker;
mod crowd;
pub mod event;
pub mod fault;
mod filler;
mod governor;
pub mod journal;
pub mod oracle;
pub mod people;
pub mod programme;
mod proxy;
pub mod report;
pub mod trial;
mod volume;
mod ward;
