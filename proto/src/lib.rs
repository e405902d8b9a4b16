//! Wardline's wire contract: the generated types of `wardline.v1` and the frame codec. No I/O.

/// The types of the package `wardline.v1`, generated from the `.proto` files, which are the
/// specification.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/wardline.v1.rs"));
}

pub mod frame;
pub mod message_entry;
mod redact;

/// The ALPN protocol name (RFC 7301).
pub const ALPN: &[u8] = b"wardline/1";

/// The version that goes into `Hello.protocol_version`.
pub const PROTOCOL_VERSION: u32 = 1;
