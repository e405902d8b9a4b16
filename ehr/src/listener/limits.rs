//! What a sender may take up: every bound of the server side.

use std::time::Duration;

/// Bounds and deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections; further ones are closed.
    pub connections_max: usize,
    /// Most messages of a connection that are under way: read, and not answered.
    pub under_way_max: usize,
    /// Most bytes of messages in hand that are larger than [`Limits::READ_BYTES`], of all
    /// connections together; each counts as the largest that is allowed.
    pub in_hand_bytes_max: usize,
    /// Longest time without a byte between messages; then the connection is closed.
    pub idle: Duration,
    /// Longest time from the first byte of a message to its last.
    pub message: Duration,
    /// How long to wait for what should follow the byte FS.
    pub pause: Duration,
    /// Longest time of the sink for one message; then AE is answered.
    pub apply: Duration,
    /// Longest time in which a sender must take an answer.
    pub write: Duration,
    /// Longest time of a TLS handshake.
    pub handshake: Duration,
}

impl Limits {
    /// Most bytes that are read at once.
    pub const READ_BYTES: usize = 16 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            under_way_max: 32,
            in_hand_bytes_max: 64 << 20,
            idle: Duration::from_secs(3600),
            message: Duration::from_secs(60),
            pause: Duration::from_millis(500),
            apply: Duration::from_secs(20),
            write: Duration::from_secs(20),
            handshake: Duration::from_secs(10),
        }
    }
}
