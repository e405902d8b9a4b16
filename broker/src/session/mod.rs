//! Sessions: one device's connection each, from Hello to Goodbye.
//!
//! `serve` owns the connection and every task on it: the lanes, delivery, and the wait for the end.
//! What is delivered next is decided in [`delivery`](crate::delivery), what a request means in
//! [`requests`](crate::requests); here is the I/O.

mod hello;
mod reader;
mod request_lane;
mod serve;
mod sessions;
mod timing;
mod traffic;

pub(crate) use serve::serve;
pub(crate) use sessions::Sessions;
