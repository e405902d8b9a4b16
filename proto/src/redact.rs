//! `Debug` of the messages that carry tokens, content or names: only what may stand in a log.
//!
//! Ids, numbers and times are shown; people's names, titles, tokens and content types are left out,
//! payloads are shown as their length. A new message with such a field belongs here and in the list
//! in `build.rs`; a test goes through all messages.

use std::fmt;

use crate::v1::entry::Body;
use crate::v1::notice::Change;
use crate::v1::{
    AddMembers, Context, Conversation, CreateConversation, Entry, Hello, Identifier, ListContexts, Member,
    MembersAdded, MembersLeft, Message, Notice, PatientNaming, Place, Publish, Receipt, Recipient,
    RemoveMember, RenameConversation, Renew, RoleChanged, SetCareTeam, SetRole, SetRoster, SourceEvent,
    Tombstone, Welcome,
};

/// Shows these fields and hides the rest.
macro_rules! show {
    ($($message:ident: $($field:ident),*;)*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    )*};
}

show! {
    Hello: protocol_version, device_id, client_name, client_version, resume;
    Renew: ;
    Welcome: session_id, server_time_ms, limits, token_expires_at_ms, broker_version;
    CreateConversation: kind, retention_ms, client_conversation_id;
    Conversation: conversation_id, kind, retention_ms, head_sequence, unread_count, delivered_up_to, read_up_to, last_activity_ms, role, without_admin, context_id, care;
    AddMembers: conversation_id, role, share_history;
    RemoveMember: conversation_id;
    SetRole: conversation_id, role;
    RenameConversation: conversation_id;
    Member: role, joined_at_ms;
    MembersAdded: role;
    MembersLeft: ;
    RoleChanged: role;
    Entry: conversation_id, sequence, time_ms, expires_at_ms, body;
    Tombstone: deleted_at_ms;
    Notice: change;
    Receipt: conversation_id, kind, sequence, only, time_ms;
    Recipient: delivered_at_ms, read_at_ms;
    Identifier: ;
    SourceEvent: time_ms;
    PatientNaming: ;
    Place: ;
    SetRoster: event;
    SetCareTeam: event;
    ListContexts: page_size, page_token;
    Context: encounter_id, status;
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("conversation_id", &self.conversation_id)
            .field("client_message_id", &self.client_message_id)
            .field("payload_bytes", &self.payload.len())
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("client_message_id", &self.client_message_id)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => message.fmt(f),
            Self::Tombstone(tombstone) => tombstone.fmt(f),
            Self::Notice(notice) => notice.fmt(f),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeletedSequence(sequence) => f.debug_tuple("DeletedSequence").field(sequence).finish(),
            Self::MembersAdded(added) => f.debug_tuple("MembersAdded").field(added).finish(),
            Self::MemberRemoved(_) => f.write_str("MemberRemoved"),
            Self::MembersLeft(_) => f.write_str("MembersLeft"),
            Self::Renamed(_) => f.write_str("Renamed"),
            Self::RetentionMs(retention_ms) => f.debug_tuple("RetentionMs").field(retention_ms).finish(),
            Self::RoleChanged(changed) => f.debug_tuple("RoleChanged").field(changed).finish(),
            Self::WithoutAdmin(without) => f.debug_tuple("WithoutAdmin").field(without).finish(),
        }
    }
}
