//! Every bound of the broker, in one place, with the relations between them checked.

use std::time::Duration;

/// Bounds in force. [`Limits::default`] is what a hospital's broker runs with; [`Limits::check`] proves the relations.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest payload of a message, in bytes.
    pub payload_bytes_max: usize,
    /// Longest frame that is read from a client, in bytes: a payload and its envelope.
    pub frame_bytes_max: usize,
    /// Most entries on a page.
    pub page_entries_max: usize,
    /// Most payload bytes on a page, after its first entry.
    pub page_bytes_max: usize,
    /// Most unanswered requests on one lane.
    pub lane_requests_max: usize,
    /// Most request lanes of a connection, the control stream included.
    pub lanes_max: u32,
    /// Most connections.
    pub connections_max: usize,
    /// Connections in their handshake from which on addresses are validated by Retry (RFC 9000, section 8.1.2).
    pub handshakes_before_retry: usize,
    /// Most connections in their handshake; further ones are refused.
    pub handshakes_max: usize,
    /// Most positions in Resume.
    pub resume_positions_max: usize,
    /// Most conversations that one session follows.
    pub conversations_max: usize,
    /// Most members named in one request.
    pub members_per_request_max: usize,
    /// QUIC: most bytes in flight from one client on one stream.
    pub stream_receive_window: u32,
    /// QUIC: most bytes in flight from one client.
    pub connection_receive_window: u32,
    /// QUIC: most unacknowledged bytes towards one client.
    pub send_window: u64,
    /// Bytes gathered into one write of a delivery lane.
    pub write_bytes: usize,
    /// Bytes of recent frames kept in memory per conversation.
    pub tail_bytes_max: usize,
    /// Bytes of recent frames kept in memory for all conversations together.
    pub tails_bytes_max: usize,
    /// Engine reads for catching up that run at the same time.
    pub catch_up_reads_max: usize,
    /// Most submissions waiting for the committer.
    pub waiting_commands_max: usize,
    /// Most bytes of them.
    pub waiting_bytes_max: usize,
    /// Most commands in one commit group.
    pub group_commands_max: usize,
    /// Most bytes in one commit group.
    pub group_bytes_max: usize,
    /// From the handshake's end to a complete Hello.
    pub hello_timeout: Duration,
    /// From a frame's first byte to its last.
    pub frame_timeout: Duration,
    /// Longest time a client may leave a stream unread that the broker wants to write to.
    pub write_timeout: Duration,
    /// QUIC idle time-out.
    pub idle_timeout: Duration,
    /// QUIC keep-alive interval.
    pub keep_alive: Duration,
    /// What a refused client is told to wait, at least.
    pub retry_after: Duration,
    /// Over how long receipts wait for company before they are pushed.
    pub receipt_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 64 * 1024,
            frame_bytes_max: 64 * 1024 + 8 * 1024 + 8 * 1024,
            page_entries_max: 200,
            page_bytes_max: 512 * 1024,
            lane_requests_max: 1024,
            lanes_max: 8,
            connections_max: 50_000,
            handshakes_before_retry: 256,
            handshakes_max: 8_192,
            resume_positions_max: 256,
            conversations_max: 10_000,
            members_per_request_max: 100,
            stream_receive_window: 64 * 1024,
            connection_receive_window: 256 * 1024,
            send_window: 256 * 1024,
            write_bytes: 32 * 1024,
            tail_bytes_max: 256 * 1024,
            tails_bytes_max: 256 * 1024 * 1024,
            catch_up_reads_max: 4,
            waiting_commands_max: 16_384,
            waiting_bytes_max: 64 * 1024 * 1024,
            group_commands_max: 4_096,
            group_bytes_max: 8 * 1024 * 1024,
            hello_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(20),
            retry_after: Duration::from_millis(100),
            receipt_delay: Duration::from_millis(5),
        }
    }
}
