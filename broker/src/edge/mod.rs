//! The edge: the UDP socket, QUIC's settings, and the certificate that clients see.

pub mod endpoint;
pub mod tls;
