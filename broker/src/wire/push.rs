//! What is sent unasked: `PushFrame`s, appended to a delivery lane's buffer or kept in a tail.
//!
//! Entries are encoded the same from a committed event and from the store, so that a device cannot
//! tell the two apart. No bounds are checked here: what is pushed was admitted before.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use wardline_proto::v1::push_frame::Push;
use wardline_proto::{frame, v1};
use wardline_storage::id::{ConversationId, Seq, Timestamp};
use wardline_storage::model::{Body, Entry, Notice, Priority, ReceiptKind, Text};
use wardline_storage::view::Summary;

use super::response::{millis, wire_conversation, wire_role};

/// Appends the first frame of the ordered lane.
pub(crate) fn ordered_header(out: &mut BytesMut) {
    push(Push::Header(v1::LaneHeader { lane_class: v1::LaneClass::Ordered.into() }), out);
}

/// Appends the first frame of the urgent lane.
pub(crate) fn urgent_header(out: &mut BytesMut) {
    push(Push::Header(v1::LaneHeader { lane_class: v1::LaneClass::Urgent.into() }), out);
}

/// Appends an entry. `mentioned` names whom the body mentions, in its order.
pub(crate) fn entry(
    conversation: ConversationId,
    seq: Seq,
    entry: &Entry,
    sender: &Text,
    mentioned: &[Text],
    out: &mut BytesMut,
) {
    let id = Bytes::copy_from_slice(conversation.as_bytes());
    push(Push::Entry(wire_entry(id, seq, entry, sender, mentioned)), out);
}

/// Appends a receipt.
pub(crate) fn receipt(
    conversation: ConversationId,
    name: &Text,
    kind: ReceiptKind,
    seq: Seq,
    time: Timestamp,
    out: &mut BytesMut,
) {
    let (wire_kind, only) = match kind {
        ReceiptKind::Delivered => (v1::ReceiptKind::Delivered, false),
        ReceiptKind::Read => (v1::ReceiptKind::Read, false),
        ReceiptKind::DeliveredOnly => (v1::ReceiptKind::Delivered, true),
        ReceiptKind::ReadOnly => (v1::ReceiptKind::Read, true),
    };
    let receipt = v1::Receipt {
        conversation_id: Bytes::copy_from_slice(conversation.as_bytes()),
        user: name.as_str().to_owned(),
        kind: wire_kind.into(),
        sequence: seq.0,
        only,
        time_ms: time.0,
    };
    push(Push::Receipt(receipt), out);
}

/// Appends the news that the user became a member.
pub(crate) fn joined(summary: Summary, retention_max: Duration, out: &mut BytesMut) {
    push(Push::Joined(wire_conversation(summary, retention_max)), out);
}

/// Appends the news that the user is a member no longer.
pub(crate) fn left(conversation: ConversationId, out: &mut BytesMut) {
    push(Push::LeftConversationId(Bytes::copy_from_slice(conversation.as_bytes())), out);
}

/// Appends the end of the backlog.
pub(crate) fn caught_up(entries: u64, out: &mut BytesMut) {
    push(Push::CaughtUp(v1::CaughtUp { entries }), out);
}

fn push(push: Push, out: &mut BytesMut) {
    frame::encode(&v1::PushFrame { push: Some(push) }, out);
}

pub(super) fn wire_entry(
    conversation_id: Bytes,
    seq: Seq,
    entry: &Entry,
    sender: &Text,
    mentioned: &[Text],
) -> v1::Entry {
    let mut names = mentioned.iter().map(|name| name.as_str().to_owned());
    let body = match &entry.body {
        Body::Message(message) => v1::entry::Body::Message(v1::Message {
            client_message_id: Bytes::copy_from_slice(message.client_id.as_bytes()),
            content_type: message.content_type.as_str().to_owned(),
            payload: message.payload.clone(),
            priority: match message.priority {
                Priority::Routine => v1::Priority::Routine,
                Priority::Urgent => v1::Priority::Urgent,
            }
            .into(),
            reply_to_sequence: message.reply_to.map_or(0, |seq| seq.0),
        }),
        Body::Tombstone { at, .. } => v1::entry::Body::Tombstone(v1::Tombstone {
            deleted_by: names.next().unwrap_or_default(),
            deleted_at_ms: at.0,
        }),
        Body::Notice(notice) => {
            v1::entry::Body::Notice(v1::Notice { change: Some(wire_change(notice, names)) })
        }
    };
    v1::Entry {
        conversation_id,
        sequence: seq.0,
        sender: sender.as_str().to_owned(),
        time_ms: entry.time.0,
        expires_at_ms: entry.expires.0,
        body: Some(body),
    }
}

fn wire_change(notice: &Notice, mut names: impl Iterator<Item = String>) -> v1::notice::Change {
    use v1::notice::Change;
    match notice {
        Notice::Deleted(seq) => Change::DeletedSequence(seq.0),
        Notice::Added(_, role) => {
            Change::MembersAdded(v1::MembersAdded { users: names.collect(), role: wire_role(*role).into() })
        }
        Notice::Removed(_) => Change::MemberRemoved(names.next().unwrap_or_default()),
        Notice::Renamed(title) => Change::Renamed(title.as_str().to_owned()),
        Notice::Retention(retention) => Change::RetentionMs(millis(*retention)),
    }
}
