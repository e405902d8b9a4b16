//! Cases of the machine, the view and the applier that are too long, too exact or too rare for
//! generated sequences.

mod bounds;
mod calls;
mod care;
mod driver;
mod expiry;
mod groups;
mod members;
mod registered;
mod retention;
mod revocation;
