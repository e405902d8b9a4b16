//! Every bound of the broker, in one place, with the relations between them checked.
//!
//! Whatever a peer can make grow has its bound here. Ranges of single values are the
//! configuration's business; what must hold between them is proved by [`Limits::check`] before
//! anything starts.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use wardline_storage::staff::Staff;

/// Room in a frame beside the payload: ids, content type, and the longest list of names that a
/// request may have, a roster.
pub const ENVELOPE_BYTES: usize = 40 * 1024;
const _: () = assert!(Staff::PEOPLE_MAX * (NAME_BYTES_MAX + 3) + 1024 <= ENVELOPE_BYTES);

/// Longest token, in bytes; `wardline.v1.Hello.token`.
pub const TOKEN_BYTES_MAX: usize = 8192;
/// Longest name of a user or tenant, in bytes: a token's `sub` and `tenant`, too.
pub const NAME_BYTES_MAX: usize = 128;
/// Most bytes of a set of token keys.
pub const JWKS_BYTES_MAX: usize = 1 << 20;
/// Most keys that tokens may be signed with.
pub const TOKEN_KEYS_MAX: usize = 256;
/// Most of them that share a name and an algorithm: so many signatures are computed for a token.
pub const TOKEN_KEYS_OF_ONE_NAME_MAX: usize = 4;
/// Most revocations in force, of users, devices, keys and tenants together.
pub const REVOCATIONS_MAX: usize = 10_000;
/// Most sign-ins in force that issuers have ended, beside the revocations.
pub const SIGN_OUTS_MAX: usize = 100_000;
/// Most issuers that are asked over HTTPS.
pub const ISSUERS_MAX: usize = 64;
/// Longest answer of an issuer, in bytes: a document, a key set or a word about a token.
pub const ISSUER_ANSWER_BYTES_MAX: usize = JWKS_BYTES_MAX;
/// Most questions to one issuer at the same time.
pub const ISSUER_QUESTIONS_MAX: usize = 32;
/// The least time between two readings of an issuer's keys for want of one.
pub const EARLY_FETCH_MIN: Duration = Duration::from_secs(10);
/// Most tokens of an issuer that are remembered as active.
pub const ACTIVE_TOKENS_MAX: usize = 65_536;
/// Most logout tokens that are remembered, so that none is used twice.
pub const LOGOUT_TOKENS_MAX: usize = 65_536;
/// Longest form with a logout token, in bytes: the token, and what is written around it.
pub const LOGOUT_FORM_BYTES_MAX: usize = 3 * TOKEN_BYTES_MAX;
/// Longest title of a conversation, in bytes.
pub const TITLE_BYTES_MAX: usize = 256;
/// Longest name of a source of the patients' record, in bytes.
pub const SOURCE_BYTES_MAX: usize = 128;
/// Longest id that a source gives an event, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 256;
/// Longest name of an authority that gives numbers, in bytes.
pub const AUTHORITY_BYTES_MAX: usize = 128;
/// Longest number of a patient or an encounter, in bytes.
pub const NUMBER_BYTES_MAX: usize = 128;
/// Longest label of a patient, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;
/// Longest code of a ward, and longest name of one, in bytes.
pub const WARD_BYTES_MAX: usize = 128;
/// Longest room, and longest bed, in bytes.
pub const BED_BYTES_MAX: usize = 64;
/// Longest media type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 128;
/// Longest name of a client's software, in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;
/// Longest version of a client's software, in bytes.
pub const CLIENT_VERSION_BYTES_MAX: usize = 32;
/// Most single receipts of one kind in one request.
pub const SINGLE_RECEIPTS_MAX: usize = 16;
/// Entries on a page when the client does not say.
pub const PAGE_ENTRIES_DEFAULT: usize = 50;
/// Longest answer that the SDK takes, in bytes.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What an entry takes on a page beside what is counted of it, at most: names, a media type, ids,
/// times.
pub const ENTRY_BYTES_MAX: usize = 512;
/// What the record says of an encounter, at most: a patient's numbers, names, words.
pub const ENCOUNTER_BYTES_MAX: usize = 8 * 1024;
/// Most records of a listing, of conversations or of encounters, that are looked at for one page;
/// it ends there, and says where it goes on.
pub const LISTING_RECORDS_MAX: u64 = 16_384;
/// And at a time: then others who wait for the store have their turn.
pub const LISTING_STEP_RECORDS: u64 = 1_024;
/// Most reads of one lane that wait for those under way, before the lane takes no further request:
/// as many as the SDK has on its way, so that own reads do not hold up an own command.
pub const LANE_READS_WAITING_MAX: usize = 64;
/// Bytes of answers from which on a lane takes no further request until they are written.
pub const ANSWERS_BYTES_MAX: usize = 32 * 1024;
/// Least that a client takes of what waits for it in [`Limits::write_timeout`], unless it is less.
pub const PACE_BYTES: usize = 16 * 1024;
/// Shortest retention of a conversation.
pub const RETENTION_MIN: Duration = Duration::from_secs(1);

/// The longest Hello without its resume positions: a token and three names.
const HELLO_BYTES: usize = TOKEN_BYTES_MAX + 512;

/// Bounds that cannot hold together. The operator must act.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("limits contradict each other: {0}")]
pub struct Contradiction(&'static str);

/// How many urgent messages somebody may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urgent {
    /// At once, after a while without.
    pub burst: u32,
    /// In the long run.
    pub per_minute: u32,
}

impl Urgent {
    /// How many a bucket takes up in a second.
    pub(crate) fn per_second(self) -> f64 {
        f64::from(self.per_minute.max(1)) / 60.0
    }
}

/// Bounds in force. [`Limits::default`] is what a hospital's broker runs with; [`Limits::check`]
/// proves the relations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest payload of a message, in bytes.
    pub payload_bytes_max: usize,
    /// Longest frame that is read from a client, in bytes: a payload and its envelope.
    pub frame_bytes_max: usize,
    /// Most entries on a page.
    pub page_entries_max: usize,
    /// Most bytes on a page of what people wrote and whom they mention, after its first entry.
    pub page_bytes_max: usize,
    /// Most bytes of answers in memory, for all clients together.
    pub pages_bytes_max: usize,
    /// Most unanswered requests on one lane.
    pub lane_requests_max: usize,
    /// Most reads (history, lists) of one lane that are under way.
    pub lane_reads_max: usize,
    /// Most request lanes of a connection, the control stream included.
    pub lanes_max: u32,
    /// Most connections.
    pub connections_max: usize,
    /// Connections in their handshake from which on addresses are validated by Retry (RFC 9000,
    /// section 8.1.2).
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
    /// Bytes of recent urgent messages kept in memory, whatever the tails hold. Not configured:
    /// what is urgent does not depend on what an operator spares.
    pub ahead_bytes_max: usize,
    /// Engine reads that run at the same time: so many for requests, so many for catching up, and
    /// so many for urgent messages.
    pub catch_up_reads_max: usize,
    /// Most submissions waiting for the committer.
    pub waiting_commands_max: usize,
    /// Most bytes of them.
    pub waiting_bytes_max: usize,
    /// Most commands in one commit group.
    pub group_commands_max: usize,
    /// Most bytes in one commit group.
    pub group_bytes_max: usize,
    /// How many urgent messages somebody without a role may send.
    pub urgent: Urgent,
    /// How many somebody with the role broadcaster may send.
    pub urgent_broadcaster: Urgent,
    /// Most records that a commit group touches beyond those that every command does.
    pub group_records_max: usize,
    /// Most reads for requests that are asked for and not answered.
    pub reads_waiting_max: usize,
    /// What part of the bounds on sessions, reads and pages one tenant may hold, in percent.
    pub tenant_percent: u32,
    /// The same for single tenants, by name.
    pub tenant_percents: BTreeMap<String, u32>,
    /// Most sessions of one principal.
    pub principal_sessions_max: usize,
    /// Most reads of one principal that are asked for and not answered.
    pub principal_reads_max: usize,
    /// What one principal's reads may cost in a second: records, and KiB of them.
    pub principal_read_cost: u64,
    /// Most bytes of answers in memory for one principal.
    pub principal_pages_bytes_max: usize,
    /// Most submissions of one principal that wait for the committer.
    pub principal_commands_max: usize,
    /// Most bytes of them.
    pub principal_bytes_max: usize,
    /// What one principal's requests may cost in a second while others ask for something, too:
    /// requests, the records that they touch, and their bytes. Urgent messages and control commands
    /// have a quarter of it beside.
    pub principal_work: u64,
    /// Most people that a principal brings into conversations at once; a new conversation counts
    /// as one.
    pub principal_people_max: u64,
    /// How many more each hour.
    pub principal_people_per_hour: u64,
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
    /// Over how long receipts wait for company: before they are committed, and again before they
    /// are pushed.
    pub receipt_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 64 * 1024,
            frame_bytes_max: 64 * 1024 + ENVELOPE_BYTES,
            page_entries_max: 200,
            page_bytes_max: 512 * 1024,
            pages_bytes_max: 128 * 1024 * 1024,
            lane_requests_max: 1024,
            lane_reads_max: 4,
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
            ahead_bytes_max: 16 * 1024 * 1024,
            catch_up_reads_max: 4,
            waiting_commands_max: 16_384,
            waiting_bytes_max: 64 * 1024 * 1024,
            group_commands_max: 4_096,
            group_bytes_max: 8 * 1024 * 1024,
            urgent: Urgent { burst: 200, per_minute: 600 },
            urgent_broadcaster: Urgent { burst: 2_000, per_minute: 6_000 },
            group_records_max: 1_024,
            reads_waiting_max: 65_536,
            tenant_percent: 90,
            tenant_percents: BTreeMap::new(),
            principal_sessions_max: 64,
            principal_reads_max: 2_048,
            principal_read_cost: 60_000,
            principal_pages_bytes_max: 8 * 1024 * 1024,
            principal_commands_max: 2_048,
            principal_bytes_max: 8 * 1024 * 1024,
            principal_work: 20_000,
            principal_people_max: 20_000,
            principal_people_per_hour: 20_000,
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

impl Limits {
    /// Longest Hello, in bytes. Shorter than other frames, because it is decoded for whoever
    /// connects, and what it decodes to takes a multiple of its length.
    pub fn hello_bytes_max(&self) -> usize {
        HELLO_BYTES + self.resume_positions_max * 40
    }

    /// Connections without a session, from the end of their handshake to Hello's answer, at most: a
    /// part of all, so that they cannot take the place of sessions.
    pub fn strangers_max(&self) -> usize {
        (self.connections_max / 4).max(1)
    }

    /// A page of history, with all that it takes in memory.
    pub fn history_bytes_max(&self) -> usize {
        self.page_bytes_max + self.page_entries_max * ENTRY_BYTES_MAX
    }

    /// The relations between what one principal may have and what all may.
    fn shares(&self) -> [(bool, &'static str); 4] {
        [
            (
                self.history_bytes_max() <= ANSWER_BYTES_MAX,
                "page_bytes and 512 B for each of page_entries must be at most 8 MiB: the SDK takes no longer page",
            ),
            (
                self.history_bytes_max() <= self.principal_pages_bytes_max,
                "shares.pages must be at least page_bytes and 512 B for each of page_entries: it holds a page",
            ),
            (
                self.principal_pages_bytes_max <= self.pages_bytes_max,
                "pages must be at least shares.pages: all answers in memory are those of one user and more",
            ),
            (
                self.principal_reads_max <= self.reads_waiting_max,
                "reads_waiting must be at least shares.reads: all reads are those of one user and more",
            ),
        ]
    }

    /// Proves the relations between the bounds.
    ///
    /// # Errors
    /// [`Contradiction`] naming the first pair that cannot hold together, by the names that the
    /// configuration uses.
    pub fn check(&self) -> Result<(), Contradiction> {
        let relations = [
            (
                self.payload_bytes_max + ENVELOPE_BYTES <= self.frame_bytes_max,
                "a frame must hold a payload and its envelope",
            ),
            (
                self.payload_bytes_max <= self.page_bytes_max,
                "page_bytes must be at least payload: a page holds a message",
            ),
            (
                self.payload_bytes_max <= self.group_bytes_max,
                "group_bytes must be at least payload: a group holds a message",
            ),
            (
                self.group_bytes_max <= self.waiting_bytes_max,
                "waiting_bytes must be at least group_bytes: what is committed waited first",
            ),
            (
                self.group_commands_max <= self.waiting_commands_max,
                "waiting_commands must be at least group_commands: what is committed waited first",
            ),
            (
                self.tail_bytes_max <= self.tails_bytes_max,
                "tails must be at least tail: all tails together hold one",
            ),
            (
                self.write_bytes as u64 <= self.send_window,
                "send_window must hold one write of a delivery lane",
            ),
            (
                self.stream_receive_window <= self.connection_receive_window,
                "a connection's receive window must hold that of a stream",
            ),
            (
                self.members_per_request_max * 130 <= ENVELOPE_BYTES,
                "an envelope must hold the longest list of members",
            ),
            (
                self.hello_bytes_max() <= self.frame_bytes_max,
                "a frame must hold a Hello with the longest resume",
            ),
            (
                self.handshakes_before_retry <= self.handshakes_max,
                "handshakes must be at least handshakes_before_retry",
            ),
            // Two lost keep-alives must not end a healthy connection.
            (self.keep_alive * 2 <= self.idle_timeout, "keep_alive must be at most half of idle_timeout"),
            (
                self.urgent.burst <= self.urgent_broadcaster.burst
                    && self.urgent.per_minute <= self.urgent_broadcaster.per_minute,
                "urgent_broadcaster must be at least urgent: a role gives more",
            ),
            (
                self.receipt_delay < self.retry_after,
                "a receipt's delay must be shorter than the least time to wait",
            ),
        ];
        match relations.into_iter().chain(self.shares()).find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Contradiction(rule)),
            None => Ok(()),
        }
    }
}
