//! What a workload is: who talks to whom, how much, and what else happens meanwhile.
//!
//! `model` has the types, `parse` reads them, `shipped` has those that come with the program.

mod model;
mod parse;
mod shipped;

pub use model::{
    ArrivalKind, Assignment, Audience, AudienceKind, Landing, Priority, Publishers, Rate, Reads, Reconnect,
    Slow, Traffic, Window, Workload,
};
pub use parse::WorkloadError;
pub use shipped::{SHIPPED, Shipped};
