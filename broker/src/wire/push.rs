//! What is sent unasked: `PushFrame`s, appended to a delivery lane's buffer or kept in a tail.
//!
//! Entries are encoded the same from a committed event and from the store, so that a device cannot
//! tell the two apart. No bounds are checked here: what is pushed was admitted before.

use bytes::{Bytes, BytesMut};
use wardline_proto::v1::push_frame::Push;
use wardline_proto::{frame, v1};
use wardline_storage::id::{ConversationId, Seq, Timestamp};
use wardline_storage::model::{Entry, ReceiptKind, Text};
use wardline_storage::view::Summary;

use super::parts::{wire_conversation, wire_entry};

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
pub(crate) fn joined(summary: Summary, out: &mut BytesMut) {
    push(Push::Joined(wire_conversation(summary)), out);
}

/// Appends the news that the user is a member no longer.
pub(crate) fn left(conversation: ConversationId, out: &mut BytesMut) {
    push(Push::LeftConversationId(Bytes::copy_from_slice(conversation.as_bytes())), out);
}

/// Appends the news that of a conversation only urgent messages come.
pub(crate) fn not_followed(conversation: ConversationId, out: &mut BytesMut) {
    push(Push::NotFollowedConversationId(Bytes::copy_from_slice(conversation.as_bytes())), out);
}

/// Appends the end of the backlog. `not_followed`: of so many conversations only urgent messages
/// come.
pub(crate) fn caught_up(entries: u64, not_followed: u64, out: &mut BytesMut) {
    push(Push::CaughtUp(v1::CaughtUp { entries, not_followed }), out);
}

fn push(push: Push, out: &mut BytesMut) {
    frame::encode(&v1::PushFrame { push: Some(push) }, out);
}
