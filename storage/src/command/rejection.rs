//! Why a command changed nothing: each case with a text that says what was wrong.
//!
//! No text has a name, a title or anything else that people wrote. What it comes to for a client is
//! the broker's business.

use std::time::Duration;

use thiserror::Error;

use crate::id::Seq;

/// Why a command changed nothing. The peer must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// No such conversation or message, or the actor may not see it: one answer for both.
    #[error("no such conversation or message, or you may not see it")]
    NotFound,
    /// A member, but not allowed to do this.
    #[error("you may not do this in this conversation")]
    Forbidden,
    /// Making a broadcast takes a token that allows it.
    #[error("creating a broadcast takes the role broadcaster")]
    NotBroadcaster,
    /// The one named is not a member.
    #[error("the person named is not a member of this conversation")]
    NotMember,
    /// The operator wants messages kept for longer.
    #[error("messages are kept for at least {} ms in this conversation", min.as_millis())]
    RetentionMin {
        /// The floor.
        min: Duration,
    },
    /// The operator wants a message to live for longer.
    #[error("a message lives for at least {} ms in this conversation", min.as_millis())]
    ExpiryMin {
        /// The floor.
        min: Duration,
    },
    /// The conversation would have too many members.
    #[error("the conversation would have more than {max} members")]
    MembersMax {
        /// The bound.
        max: u32,
    },
    /// The reply's target lies beyond the head, or is zero.
    #[error("the message replied to does not exist")]
    ReplyTarget,
    /// A watermark beyond the head.
    #[error("the receipt lies beyond the head of the conversation, {head}")]
    ReceiptBeyondHead {
        /// The head.
        head: Seq,
    },
    /// A watermark behind the one on record.
    #[error("the receipt lies behind the one on record, {current}")]
    ReceiptBackwards {
        /// The watermark on record.
        current: Seq,
    },
    /// A single receipt for a message that is not urgent.
    #[error("only urgent messages are acknowledged singly")]
    NotUrgent,
    /// Several shortenings of retention are still being carried out; waiting a little helps.
    #[error("earlier changes of retention are still being carried out")]
    RetentionBusy,
    /// What the record says is taken from its registrars alone.
    #[error("what the patients' record says takes the role registrar")]
    NotRegistrar,
    /// A patient without any identifier.
    #[error("a patient without an identifier")]
    NoIdentifier,
    /// Somebody was moved to nowhere.
    #[error("a transfer without a place")]
    NoPlace,
    /// The patient would have too many identifiers, or an event names too many.
    #[error("a patient with more than {max} identifiers")]
    IdentifiersMax {
        /// The bound.
        max: usize,
    },
    /// Too many patients would be one.
    #[error("more than {max} patients would be merged into one")]
    MergesMax {
        /// The bound.
        max: usize,
    },
    /// The roster or care team would have too many people.
    #[error("a roster or a care team of more than {max} people")]
    StaffMax {
        /// The bound.
        max: usize,
    },
    /// The encounter is that of another patient.
    #[error("the encounter is that of another patient: merge the two first")]
    OtherPatient,
    /// The survivor is the one who is retired.
    #[error("a merge in a circle: the patient who is to survive is the one who is retired")]
    MergeCircle,
    /// Nobody has set the bounds yet. The broker does when it starts, before it takes clients.
    #[error("the store has no policy yet")]
    NoPolicy,
}
