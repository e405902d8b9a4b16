//! Requests: from `ClientFrame` to the broker's own types.
//!
//! Checks what can be checked without knowing who asks, and names the field in each refusal.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use wardline_proto::{frame, v1};
use wardline_storage::command::{Acknowledge, Publish};
use wardline_storage::engine::Direction;
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq};
use wardline_storage::model::{Kind, Priority, Role, Text};

use super::fields::{PageRequest, name, page, page_entries, printable, sixteen};
use super::record::{self, Asked, Recording};
use crate::limits::{CLIENT_NAME_BYTES_MAX, CLIENT_VERSION_BYTES_MAX, CONTENT_TYPE_BYTES_MAX, Limits};
use crate::limits::{RETENTION_MIN, SINGLE_RECEIPTS_MAX, TITLE_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::refusal::{Code, Refusal};

/// What a device asks.
pub(crate) enum Request {
    Hello(Hello),
    Renew(Token),
    Publish { epoch: u32, publish: Publish },
    Acknowledge(Acknowledge),
    Create(NewConversation),
    AddMembers { conversation: ConversationId, names: Vec<String>, role: Role, share_history: bool },
    RemoveMember { conversation: ConversationId, name: String },
    Leave { conversation: ConversationId },
    SetRole { conversation: ConversationId, name: String, role: Role },
    Rename { conversation: ConversationId, title: Text },
    SetRetention { conversation: ConversationId, retention: Option<Duration> },
    DeleteMessage { conversation: ConversationId, seq: Seq },
    ListConversations(PageRequest),
    ListMembers { conversation: ConversationId, page: PageRequest },
    ListReceipts { conversation: ConversationId, seq: Seq, page: PageRequest },
    History { conversation: ConversationId, from: Seq, direction: Direction, entries: usize },
    Record(Box<Recording>),
    AboutContexts(Asked),
}

/// A bearer token; shown as its length.
pub(crate) struct Token(pub(crate) String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// Opens a session.
pub(crate) struct Hello {
    pub(crate) token: Token,
    pub(crate) device: DeviceId,
    pub(crate) client: String,
    pub(crate) resume: HashMap<ConversationId, Seq>,
    /// Push nothing.
    pub(crate) publish_only: bool,
}

/// A conversation to create.
pub(crate) struct NewConversation {
    pub(crate) kind: Kind,
    pub(crate) members: Vec<String>,
    pub(crate) title: Text,
    pub(crate) retention: Option<Duration>,
    /// Empty only for direct conversations.
    pub(crate) client_id: Option<[u8; 16]>,
}

/// A frame, taken apart.
pub(crate) struct Decoded {
    /// Names the request in its answer; 0: it has no name.
    pub(crate) id: u64,
    /// A read must see what was applied up to this position.
    pub(crate) at_least: u64,
    /// What it asks, or why that cannot be.
    pub(crate) request: Result<Request, Refusal>,
}

/// Decodes a frame's content.
///
/// # Errors
/// [`frame::FrameError`] if it is no `ClientFrame`: the stream cannot go on.
pub(crate) fn decode(content: Bytes, limits: &Limits) -> Result<Decoded, frame::FrameError> {
    let frame: v1::ClientFrame = frame::decode(content)?;
    if frame.request_id == 0 {
        let request = Err(Refusal::invalid("request_id: must be 1 or more"));
        return Ok(Decoded { id: 0, at_least: 0, request });
    }
    let request = frame.request.ok_or_else(|| Refusal::invalid("request: of a kind unknown to this broker"));
    let request = request.and_then(|request| convert(request, limits));
    Ok(Decoded { id: frame.request_id, at_least: frame.at_least, request })
}

fn convert(request: v1::client_frame::Request, limits: &Limits) -> Result<Request, Refusal> {
    use v1::client_frame::Request as Wire;
    Ok(match request {
        Wire::Hello(wire) => Request::Hello(hello(wire, limits)?),
        Wire::Renew(wire) => Request::Renew(token(wire.token)?),
        Wire::Publish(wire) => Request::Publish { epoch: wire.epoch, publish: publish(wire, limits)? },
        Wire::Acknowledge(wire) => Request::Acknowledge(acknowledge(wire)?),
        Wire::CreateConversation(wire) => Request::Create(create(wire)?),
        Wire::AddMembers(wire) => Request::AddMembers {
            conversation: conversation(&wire.conversation_id)?,
            names: member_names(wire.members, 1, limits.members_per_request_max)?,
            role: role(wire.role)?,
            share_history: wire.share_history,
        },
        Wire::RemoveMember(wire) => Request::RemoveMember {
            conversation: conversation(&wire.conversation_id)?,
            name: name("member", wire.member)?,
        },
        Wire::LeaveConversation(wire) => {
            Request::Leave { conversation: conversation(&wire.conversation_id)? }
        }
        Wire::SetRole(wire) => Request::SetRole {
            conversation: conversation(&wire.conversation_id)?,
            name: name("member", wire.member)?,
            role: role(wire.role)?,
        },
        Wire::RenameConversation(wire) => Request::Rename {
            conversation: conversation(&wire.conversation_id)?,
            title: title(wire.title, 1)?,
        },
        Wire::SetRetention(wire) => Request::SetRetention {
            conversation: conversation(&wire.conversation_id)?,
            retention: retention(wire.retention_ms)?,
        },
        Wire::DeleteMessage(wire) => Request::DeleteMessage {
            conversation: conversation(&wire.conversation_id)?,
            seq: message_seq(wire.sequence)?,
        },
        Wire::ListConversations(wire) => {
            Request::ListConversations(page(wire.page_size, &wire.page_token, limits)?)
        }
        Wire::ListMembers(wire) => Request::ListMembers {
            conversation: conversation(&wire.conversation_id)?,
            page: page(wire.page_size, &wire.page_token, limits)?,
        },
        Wire::ListReceipts(wire) => Request::ListReceipts {
            conversation: conversation(&wire.conversation_id)?,
            seq: message_seq(wire.sequence)?,
            page: page(wire.page_size, &wire.page_token, limits)?,
        },
        Wire::History(wire) => history(&wire, limits)?,
        Wire::RecordEncounter(wire) => recording(record::encounter(wire)?),
        Wire::RecordPatient(wire) => recording(record::patient(wire)?),
        Wire::MergePatients(wire) => recording(record::merge(wire)?),
        Wire::SetRoster(wire) => recording(record::roster(wire)?),
        Wire::SetCareTeam(wire) => recording(record::care_team(wire)?),
        Wire::ListContexts(wire) => Request::AboutContexts(record::contexts(wire, limits)?),
        Wire::ContextConversations(wire) => Request::AboutContexts(record::conversations(&wire, limits)?),
        Wire::ShowEncounter(wire) => Request::AboutContexts(record::show(wire)?),
    })
}

fn recording(recording: Recording) -> Request {
    Request::Record(Box::new(recording))
}

fn hello(wire: v1::Hello, limits: &Limits) -> Result<Hello, Refusal> {
    if wire.protocol_version != wardline_proto::PROTOCOL_VERSION {
        return Err(Refusal::new(
            Code::UnsupportedVersion,
            format!("this broker speaks protocol version {}", wardline_proto::PROTOCOL_VERSION),
        ));
    }
    let positions = wire.resume.unwrap_or_default().positions;
    if positions.len() > limits.resume_positions_max {
        let max = limits.resume_positions_max;
        return Err(Refusal::invalid(format!("resume.positions: at most {max} are allowed")));
    }
    let mut resume = HashMap::with_capacity(positions.len());
    for position in positions {
        if resume.insert(conversation(&position.conversation_id)?, Seq(position.after_sequence)).is_some() {
            return Err(Refusal::invalid("resume.positions: a conversation may stand there once"));
        }
    }
    let device = DeviceId::new(sixteen("device_id", &wire.device_id)?);
    printable("client_name", &wire.client_name, CLIENT_NAME_BYTES_MAX)?;
    printable("client_version", &wire.client_version, CLIENT_VERSION_BYTES_MAX)?;
    let client = format!("{} {}", wire.client_name, wire.client_version);
    Ok(Hello { token: token(wire.token)?, device, client, resume, publish_only: wire.publish_only })
}

fn token(token: String) -> Result<Token, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        let max = TOKEN_BYTES_MAX;
        return Err(Refusal::invalid(format!("token: at most {max} bytes are allowed")));
    }
    Ok(Token(token))
}

fn publish(wire: v1::Publish, limits: &Limits) -> Result<Publish, Refusal> {
    if wire.payload.len() > limits.payload_bytes_max {
        return Err(Refusal::new(
            Code::PayloadTooLarge,
            format!(
                "payload: {} bytes, at most {} are allowed",
                wire.payload.len(),
                limits.payload_bytes_max
            ),
        ));
    }
    printable("content_type", &wire.content_type, CONTENT_TYPE_BYTES_MAX)?;
    static OCTETS: LazyLock<Text> = LazyLock::new(|| Text::new("application/octet-stream"));
    let content_type =
        if wire.content_type.is_empty() { OCTETS.clone() } else { Text::new(wire.content_type) };
    let priority = match v1::Priority::try_from(wire.priority) {
        Ok(v1::Priority::Unspecified | v1::Priority::Routine) => Priority::Routine,
        Ok(v1::Priority::Urgent) => Priority::Urgent,
        Err(_) => return Err(Refusal::invalid("priority: unknown value")),
    };
    Ok(Publish {
        conversation: conversation(&wire.conversation_id)?,
        client_id: ClientMessageId::new(sixteen("client_message_id", &wire.client_message_id)?),
        content_type,
        payload: unshared(wire.payload),
        priority,
        reply_to: (wire.reply_to_sequence > 0).then_some(Seq(wire.reply_to_sequence)),
        expires_in: (wire.expires_in_ms > 0).then_some(Duration::from_millis(wire.expires_in_ms)),
    })
}

/// Small payloads must not keep the stream's whole receive buffer alive while they wait for the
/// committer.
fn unshared(payload: Bytes) -> Bytes {
    const SMALL_BYTES: usize = 4096;
    if payload.len() <= SMALL_BYTES { Bytes::copy_from_slice(&payload) } else { payload }
}

fn acknowledge(wire: v1::Acknowledge) -> Result<Acknowledge, Refusal> {
    let watermark = |value: u64| (value > 0).then_some(Seq(value));
    Ok(Acknowledge {
        conversation: conversation(&wire.conversation_id)?,
        delivered: watermark(wire.delivered_up_to),
        read: watermark(wire.read_up_to),
        delivered_only: singles("delivered_only", &wire.delivered_only)?,
        read_only: singles("read_only", &wire.read_only)?,
    })
}

fn singles(field: &'static str, sequences: &[u64]) -> Result<Vec<Seq>, Refusal> {
    if sequences.len() > SINGLE_RECEIPTS_MAX {
        return Err(Refusal::invalid(format!("{field}: at most {SINGLE_RECEIPTS_MAX} are allowed")));
    }
    if sequences.contains(&0) {
        return Err(Refusal::invalid(format!("{field}: sequences begin at 1")));
    }
    Ok(sequences.iter().map(|seq| Seq(*seq)).collect())
}

fn create(wire: v1::CreateConversation) -> Result<NewConversation, Refusal> {
    let kind = match v1::ConversationKind::try_from(wire.kind) {
        Ok(v1::ConversationKind::Direct) => Kind::Direct,
        Ok(v1::ConversationKind::Group) => Kind::Group,
        Ok(v1::ConversationKind::Broadcast) => Kind::Broadcast,
        _ => return Err(Refusal::invalid("kind: must be DIRECT, GROUP or BROADCAST")),
    };
    let direct = kind == Kind::Direct;
    if direct && !wire.title.is_empty() {
        return Err(Refusal::invalid("title: a direct conversation has none"));
    }
    let (low, high) = if direct { (1, 1) } else { (0, usize::MAX) };
    Ok(NewConversation {
        kind,
        members: member_names(wire.members, low, high)?,
        title: title(wire.title, 0)?,
        retention: retention(wire.retention_ms)?,
        client_id: if direct {
            None
        } else {
            Some(sixteen("client_conversation_id", &wire.client_conversation_id)?)
        },
    })
}

fn history(wire: &v1::History, limits: &Limits) -> Result<Request, Refusal> {
    let direction = match v1::Direction::try_from(wire.direction) {
        Ok(v1::Direction::Unspecified | v1::Direction::Backward) => Direction::Backward,
        Ok(v1::Direction::Forward) => Direction::Forward,
        Err(_) => return Err(Refusal::invalid("direction: unknown value")),
    };
    let from = match (wire.from_sequence, direction) {
        (0, Direction::Backward) => Seq::MAX,
        (from, _) => Seq(from),
    };
    let conversation = conversation(&wire.conversation_id)?;
    Ok(Request::History { conversation, from, direction, entries: page_entries(wire.page_size, limits)? })
}

fn conversation(bytes: &[u8]) -> Result<ConversationId, Refusal> {
    sixteen("conversation_id", bytes).map(ConversationId::new)
}

fn message_seq(sequence: u64) -> Result<Seq, Refusal> {
    if sequence == 0 {
        return Err(Refusal::invalid("sequence: sequences begin at 1"));
    }
    Ok(Seq(sequence))
}

fn role(role: i32) -> Result<Role, Refusal> {
    match v1::MemberRole::try_from(role) {
        Ok(v1::MemberRole::Unspecified | v1::MemberRole::Member) => Ok(Role::Member),
        Ok(v1::MemberRole::Publisher) => Ok(Role::Publisher),
        Ok(v1::MemberRole::Admin) => Ok(Role::Admin),
        Err(_) => Err(Refusal::invalid("role: unknown value")),
    }
}

fn retention(millis: u64) -> Result<Option<Duration>, Refusal> {
    let retention = Duration::from_millis(millis);
    if millis > 0 && retention < RETENTION_MIN {
        return Err(Refusal::invalid("retention_ms: must be 0 or at least 1000"));
    }
    Ok((millis > 0).then_some(retention))
}

fn title(title: String, bytes_min: usize) -> Result<Text, Refusal> {
    if title.len() < bytes_min || title.len() > TITLE_BYTES_MAX {
        return Err(Refusal::invalid(format!("title: must have {bytes_min} to {TITLE_BYTES_MAX} bytes")));
    }
    Ok(Text::new(title))
}

fn member_names(names: Vec<String>, min: usize, max: usize) -> Result<Vec<String>, Refusal> {
    if names.len() < min || names.len() > max {
        return Err(Refusal::invalid(format!("members: {} named, {min} to {max} are allowed", names.len())));
    }
    names.into_iter().map(|one| name("members", one)).collect()
}
