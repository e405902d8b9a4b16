//! What answers and pushes are both made of: entries, conversations, roles, spans of time.
//!
//! Durations become milliseconds, absent things zero or empty, as the .proto files say.

use std::time::Duration;

use bytes::Bytes;
use wardline_proto::v1;
use wardline_storage::id::Seq;
use wardline_storage::model::{Body, Entry, Kind, Notice, Priority, Role, Text};
use wardline_storage::view::Summary;

use super::recorded::encounter_id;

pub(super) fn wire_conversation(summary: Summary) -> v1::Conversation {
    let Summary { access, cursor, unread, peer, kept } = summary;
    let conversation = access.conversation;
    let kind = match conversation.kind {
        Kind::Direct => v1::ConversationKind::Direct,
        Kind::Group => v1::ConversationKind::Group,
        Kind::Broadcast => v1::ConversationKind::Broadcast,
    };
    v1::Conversation {
        conversation_id: Bytes::copy_from_slice(access.id.as_bytes()),
        kind: kind.into(),
        title: conversation.title.as_str().to_owned(),
        retention_ms: millis(kept),
        head_sequence: conversation.head.0,
        unread_count: unread,
        delivered_up_to: cursor.delivered.0,
        read_up_to: cursor.read.0,
        last_activity_ms: conversation.last_activity.0,
        role: wire_role(access.member.role).into(),
        peer: peer.map_or_else(String::new, |name| name.as_str().to_owned()),
        created_at_ms: conversation.created.0,
        without_admin: conversation.is_without_admin(),
        context_id: encounter_id(conversation.context),
        care: conversation.is_care,
    }
}

pub(super) fn wire_role(role: Role) -> v1::MemberRole {
    match role {
        Role::Member => v1::MemberRole::Member,
        Role::Publisher => v1::MemberRole::Publisher,
        Role::Admin => v1::MemberRole::Admin,
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
        Notice::Role(_, role) => Change::RoleChanged(v1::RoleChanged {
            user: names.next().unwrap_or_default(),
            role: wire_role(*role).into(),
        }),
        Notice::NoAdmin => Change::WithoutAdmin(true),
        Notice::Left(_) => Change::MembersLeft(v1::MembersLeft { users: names.collect() }),
    }
}
