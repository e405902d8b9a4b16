//! What messages come to: ADT, results, and folders of them.

mod adt;
mod commands;
mod messages;
mod replay;
mod results;
