//! What others must hear of once a group is durable, in order.
//!
//! An event says what happened, not what comes of it: who is told, and what has to be done, is for
//! whoever observes the log.

use std::sync::Arc;

use crate::id::{ConversationId, Seq, Timestamp, UserId};
use crate::model::{Entry, Person, ReceiptKind, Text};
use crate::staff::StaffOf;

/// What others must hear of, once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An entry was appended.
    Appended {
        /// Where.
        conversation: ConversationId,
        /// Its place.
        seq: Seq,
        /// What it is.
        entry: Arc<Entry>,
        /// The sender's name.
        sender: Text,
    },
    /// A message became a tombstone in place: copies in memory must go.
    Erased {
        /// Where.
        conversation: ConversationId,
        /// Its place.
        seq: Seq,
    },
    /// Somebody received or read.
    Receipt {
        /// Where.
        conversation: ConversationId,
        /// Who.
        person: Person,
        /// What, and how far it reaches.
        kind: ReceiptKind,
        /// Up to, or just, this.
        seq: Seq,
        /// When.
        time: Timestamp,
    },
    /// Somebody became a member: their sessions attach.
    Joined {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Somebody is a member no longer: their sessions detach before the next delivery.
    Left {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Retention was shortened: copies in memory must go, and [`super::Command::Reexpire`] is due.
    RetentionShortened {
        /// Where.
        conversation: ConversationId,
    },
    /// Somebody published here for the first time: push receipts to them from now on.
    FirstPublish {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Members of care conversations are not those whom the record names:
    /// [`Command::Regroup`](crate::command::Command::Regroup) is due.
    RegroupDue {
        /// Those of an encounter, or of all on a ward.
        of: StaffOf,
    },
}
