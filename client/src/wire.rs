//! Translates between the wire's types and the application's.
//!
//! Pure. Beyond this file and the lanes no prost type exists. Invariant: what the broker may not
//! leave out is checked here; a kind of entry that this version does not know is skipped, not an
//! error, since newer brokers may say more.

use std::time::Duration;

use bytes::Bytes;
use wardline_proto::message_entry::MessageEntry;
use wardline_proto::v1;

use crate::error::{Code, Refusal};
use crate::id::EncounterId;
use crate::text::Text;
use crate::types::*;

/// The broker left something out that the protocol demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker sent a malformed {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) fn id_bytes(id: [u8; 16]) -> Bytes {
    Bytes::copy_from_slice(&id)
}

pub(crate) fn conversation_id(bytes: &[u8]) -> Result<ConversationId, Malformed> {
    bytes.try_into().map(ConversationId).map_err(|_| Malformed("conversation id"))
}

pub(crate) fn encounter_id(bytes: &[u8]) -> Result<EncounterId, Malformed> {
    bytes.try_into().map(EncounterId).map_err(|_| Malformed("encounter id"))
}

/// The same; empty: there is none.
pub(crate) fn optional_encounter(bytes: &[u8]) -> Result<Option<EncounterId>, Malformed> {
    (!bytes.is_empty()).then(|| encounter_id(bytes)).transpose()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn refusal(error: v1::Error) -> Refusal {
    Refusal {
        code: Code::try_from(error.code).unwrap_or(Code::Unspecified),
        text: error.text,
        action: error.action,
        retry_after: Duration::from_millis(error.retry_after_ms),
        current_sequence: error.current_sequence,
    }
}

pub(crate) fn farewell(goodbye: v1::Goodbye) -> Refusal {
    Refusal {
        code: Code::try_from(goodbye.code).unwrap_or(Code::Unspecified),
        text: goodbye.text,
        action: "the client connects again by itself".into(),
        retry_after: Duration::from_millis(goodbye.retry_after_ms),
        current_sequence: 0,
    }
}

pub(crate) fn publish(message: Outgoing) -> v1::Publish {
    v1::Publish {
        conversation_id: id_bytes(message.conversation.0),
        client_message_id: id_bytes(message.id.0),
        content_type: message.content_type,
        payload: message.payload,
        priority: priority(message.priority),
        reply_to_sequence: message.reply_to.unwrap_or(0),
        // Zero would mean the opposite of a very short time.
        expires_in_ms: message.expires_in.map_or(0, |time| millis(time).max(1)),
        epoch: 0,
    }
}

pub(crate) fn priority(priority: Priority) -> i32 {
    match priority {
        Priority::Routine => v1::Priority::Routine,
        Priority::Urgent => v1::Priority::Urgent,
    }
    .into()
}

pub(crate) fn kind(kind: Kind) -> i32 {
    match kind {
        Kind::Direct => v1::ConversationKind::Direct,
        Kind::Group => v1::ConversationKind::Group,
        Kind::Broadcast => v1::ConversationKind::Broadcast,
    }
    .into()
}

pub(crate) fn role(role: Role) -> i32 {
    match role {
        Role::Member => v1::MemberRole::Member,
        Role::Publisher => v1::MemberRole::Publisher,
        Role::Admin => v1::MemberRole::Admin,
    }
    .into()
}

pub(crate) fn direction(direction: Direction) -> i32 {
    match direction {
        Direction::Forward => v1::Direction::Forward,
        Direction::Backward => v1::Direction::Backward,
    }
    .into()
}

fn role_from(role: i32) -> Role {
    match v1::MemberRole::try_from(role) {
        Ok(v1::MemberRole::Admin) => Role::Admin,
        Ok(v1::MemberRole::Publisher) => Role::Publisher,
        // Whatever a newer broker may mean by it, it is a member.
        _ => Role::Member,
    }
}

/// Translates an entry of `conversation`; `None` in its body: of a kind that this version does not
/// know.
pub(crate) fn body(body: Option<v1::entry::Body>) -> Result<Option<Body>, Malformed> {
    Ok(Some(match body {
        Some(v1::entry::Body::Message(message)) => Body::Message {
            id: message_id(&message.client_message_id)?,
            content_type: message.content_type.into(),
            // A copy, so that an application that keeps a message does not keep a page of history
            // around it.
            payload: Bytes::copy_from_slice(&message.payload),
            priority: priority_from(message.priority),
            reply_to: reply_to_from(message.reply_to_sequence),
        },
        Some(v1::entry::Body::Tombstone(tombstone)) => {
            Body::Tombstone { by: tombstone.deleted_by, at_ms: tombstone.deleted_at_ms }
        }
        Some(v1::entry::Body::Notice(v1::Notice { change: Some(change) })) => Body::Notice(notice(change)),
        Some(v1::entry::Body::Notice(v1::Notice { change: None })) | None => return Ok(None),
    }))
}

fn notice(change: v1::notice::Change) -> Notice {
    use v1::notice::Change;
    match change {
        Change::DeletedSequence(sequence) => Notice::Deleted(sequence),
        Change::MembersAdded(added) => Notice::Added(added.users, role_from(added.role)),
        Change::MemberRemoved(user) => Notice::Removed(user),
        Change::MembersLeft(left) => Notice::Left(left.users),
        Change::Renamed(title) => Notice::Renamed(title),
        Change::RetentionMs(retention) => Notice::Retention(Duration::from_millis(retention)),
        Change::RoleChanged(changed) => Notice::Role(changed.user, role_from(changed.role)),
        Change::WithoutAdmin(_) => Notice::WithoutAdmin,
    }
}

/// Translates an entry; `None`: of a kind that this version does not know.
pub(crate) fn entry(conversation: ConversationId, entry: v1::Entry) -> Result<Option<Entry>, Malformed> {
    Ok(body(entry.body)?.map(|body| Entry {
        conversation,
        sequence: entry.sequence,
        sender: entry.sender.into(),
        time_ms: entry.time_ms,
        expires_at_ms: entry.expires_at_ms,
        body,
    }))
}

/// Translates an entry with a message that was read in place. `payload` is its payload.
#[inline]
pub(crate) fn message_entry(
    conversation: ConversationId,
    read: &MessageEntry<'_>,
    sender: Text,
    content_type: Text,
    payload: Bytes,
) -> Result<Entry, Malformed> {
    Ok(Entry {
        conversation,
        sequence: read.sequence,
        sender,
        time_ms: read.time_ms,
        expires_at_ms: read.expires_at_ms,
        body: Body::Message {
            id: message_id(read.client_message_id)?,
            content_type,
            payload,
            priority: priority_from(read.priority),
            reply_to: reply_to_from(read.reply_to_sequence),
        },
    })
}

fn message_id(bytes: &[u8]) -> Result<MessageId, Malformed> {
    bytes.try_into().map(MessageId).map_err(|_| Malformed("message id"))
}

fn priority_from(priority: i32) -> Priority {
    if priority == v1::Priority::Urgent as i32 { Priority::Urgent } else { Priority::Routine }
}

fn reply_to_from(sequence: u64) -> Option<Sequence> {
    (sequence > 0).then_some(sequence)
}

/// Translates a receipt; `None`: of a kind that this version does not know.
pub(crate) fn receipt(receipt: v1::Receipt) -> Result<Option<Receipt>, Malformed> {
    let conversation = conversation_id(&receipt.conversation_id)?;
    let kind = match v1::ReceiptKind::try_from(receipt.kind) {
        Ok(v1::ReceiptKind::Delivered) => ReceiptKind::Delivered,
        Ok(v1::ReceiptKind::Read) => ReceiptKind::Read,
        _ => return Ok(None),
    };
    Ok(Some(Receipt {
        conversation,
        user: receipt.user,
        kind,
        sequence: receipt.sequence,
        only: receipt.only,
        time_ms: receipt.time_ms,
    }))
}

pub(crate) fn conversation(conversation: v1::Conversation) -> Result<Conversation, Malformed> {
    Ok(Conversation {
        id: conversation_id(&conversation.conversation_id)?,
        kind: match v1::ConversationKind::try_from(conversation.kind) {
            Ok(v1::ConversationKind::Direct) => Kind::Direct,
            Ok(v1::ConversationKind::Group) => Kind::Group,
            Ok(v1::ConversationKind::Broadcast) => Kind::Broadcast,
            _ => return Err(Malformed("conversation kind")),
        },
        title: conversation.title,
        peer: conversation.peer,
        retention: Duration::from_millis(conversation.retention_ms),
        head: conversation.head_sequence,
        unread: conversation.unread_count,
        delivered_up_to: conversation.delivered_up_to,
        read_up_to: conversation.read_up_to,
        last_activity_ms: conversation.last_activity_ms,
        created_at_ms: conversation.created_at_ms,
        role: role_from(conversation.role),
        without_admin: conversation.without_admin,
        context: optional_encounter(&conversation.context_id)?,
        care: conversation.care,
    })
}

pub(crate) fn member(member: v1::Member) -> Member {
    Member { user: member.user, role: role_from(member.role), joined_at_ms: member.joined_at_ms }
}

pub(crate) fn recipient(recipient: v1::Recipient) -> Recipient {
    let time = |time: u64| (time > 0).then_some(time);
    Recipient {
        user: recipient.user,
        delivered_at_ms: time(recipient.delivered_at_ms),
        read_at_ms: time(recipient.read_at_ms),
    }
}

pub(crate) fn session(welcome: v1::Welcome, generation: u64) -> Result<Session, Malformed> {
    let limits = welcome.limits.ok_or(Malformed("welcome"))?;
    Ok(Session {
        id: welcome.session_id.as_ref().try_into().map_err(|_| Malformed("session id"))?,
        limits: Limits {
            frame_bytes_max: limits.frame_bytes_max,
            payload_bytes_max: limits.payload_bytes_max,
            page_entries_max: limits.page_entries_max,
            lane_requests_max: limits.lane_requests_max,
            members_max: limits.members_max,
            resume_positions_max: limits.resume_positions_max,
            lanes_max: limits.lanes_max,
            retention_max: Duration::from_millis(limits.retention_max_ms),
            dedupe_window: Duration::from_millis(limits.dedupe_window_ms),
        },
        token_expires_at_ms: welcome.token_expires_at_ms,
        broker_version: welcome.broker_version,
        device_since_ms: welcome.device_since_ms,
        device_gave_way: welcome.device_gave_way,
        generation,
    })
}
