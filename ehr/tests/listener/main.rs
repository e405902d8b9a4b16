//! The server side with real senders over real sockets.

mod ahead;
mod deadlines;
mod sender;
mod serving;
mod tls;
