//! Everything that can change state, and what comes of it.
//!
//! A [`Command`] says what somebody wants, a [`Submission`] also who. The log adds when, once for a
//! whole [`Group`]; under which bounds stands in the state, since a command put it there. So a
//! group is complete: applied anywhere, at any time, it gives the same. How both lie in bytes is
//! [`record`](crate::record)'s business. What comes back is a [`Verdict`]; what others must hear of
//! is an [`Event`].

mod event;
mod rejection;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::encounter::{EncounterEvent, Heard};
use crate::id::{ClientMessageId, ConversationId, DeviceId, Seq, TenantId, Timestamp, UserId};
use crate::model::{IdSecret, Kind, Person, Policy, Priority, Role, Subject, Text};
use crate::patient::{Merge, Patient, PatientEvent};
use crate::retention::Retentions;
use crate::staff::{Regrouping, StaffEvent, StaffOf};

pub use event::Event;
pub use rejection::Rejection;

/// A command with its author. Durations in it are whole milliseconds: finer ones have no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Who asks. Authenticated by the broker; authorised by the machine.
    pub actor: Arc<Actor>,
    /// What is asked.
    pub command: Command,
}

/// Submissions that the log ordered and stamped: what is applied together, and all that is needed
/// for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many submissions were applied before it.
    pub position: u64,
    /// Its time, which the log gave it; never before that of a group before it.
    pub time: Timestamp,
    /// In order.
    pub submissions: Vec<Submission>,
}

impl Submission {
    /// Bytes that it holds in memory, roughly: what admission counts.
    pub fn weight(&self) -> usize {
        const OVERHEAD: usize = 256;
        match &self.command {
            Command::Publish(publish) => OVERHEAD + publish.payload.len(),
            Command::Create(create) => OVERHEAD + create.others.len() * OVERHEAD,
            Command::AddMembers { people, .. } => OVERHEAD + people.len() * OVERHEAD,
            Command::Encounter(event) => OVERHEAD + event.patient.identifiers.len() * OVERHEAD,
            Command::Patient(event) => OVERHEAD + event.patient.identifiers.len() * OVERHEAD,
            Command::Staff(event) => OVERHEAD + event.people.len() * OVERHEAD,
            Command::Merge(merge) => {
                OVERHEAD + (merge.survivor.identifiers.len() + merge.retired.identifiers.len()) * OVERHEAD
            }
            _ => OVERHEAD,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Their tenant.
    pub tenant: TenantId,
    /// Their id.
    pub user: UserId,
    /// Their name, as in the token.
    pub name: Text,
    /// The device that they use.
    pub device: DeviceId,
    /// What their token allows beside what their memberships do, as it stood when they asked.
    pub rights: Rights,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Makes broadcasts, and manages those that they made.
    pub broadcaster: bool,
    /// The tenant's administrator: names admins in conversations of the tenant, also where they are
    /// no member.
    pub administrator: bool,
    /// Says what the patients' record of the tenant says.
    pub registrar: bool,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes a conversation, or finds the one that has this id.
    Create(Create),
    /// Adds members.
    AddMembers {
        /// Where.
        conversation: ConversationId,
        /// Whom; of the actor's tenant.
        people: Vec<Person>,
        /// As what.
        role: Role,
        /// Whether they see what is there already.
        share_history: bool,
    },
    /// Removes a member; if it is the actor, leaves.
    RemoveMember {
        /// Where.
        conversation: ConversationId,
        /// Whom.
        user: UserId,
    },
    /// Gives a member another role. Admins, and the tenant's administrator.
    SetRole {
        /// Where.
        conversation: ConversationId,
        /// Whom.
        user: UserId,
        /// Which.
        role: Role,
    },
    /// Changes the title.
    Rename {
        /// Where.
        conversation: ConversationId,
        /// To what.
        title: Text,
    },
    /// Changes how long messages are kept.
    SetRetention {
        /// Where.
        conversation: ConversationId,
        /// How long; `None`: the default of the tenant and kind.
        retention: Option<Duration>,
    },
    /// Appends a message.
    Publish(Publish),
    /// Records receipts.
    Acknowledge(Acknowledge),
    /// Erases a message's content.
    DeleteMessage {
        /// Where.
        conversation: ConversationId,
        /// Which.
        seq: Seq,
    },
    /// Notes that a device opened a session.
    RegisterDevice,
    /// Goes on rewriting the expiry of messages after their conversation's retention was shortened.
    /// Submitted by the broker itself, as whoever; needs no membership.
    Reexpire {
        /// Where.
        conversation: ConversationId,
    },
    /// Gives the store its secret, unless it has one. Submitted by the broker itself, like all that
    /// follow.
    Found {
        /// Drawn by whoever submits it, for this.
        secret: IdSecret,
    },
    /// Puts other bounds in force, for what comes after it.
    SetPolicy(Policy),
    /// Puts other floors, defaults and ceilings of retention in force, for what comes after it.
    SetRetentions(Arc<Retentions>),
    /// Nothing but the log's time passes, and is durable.
    Tick,
    /// Takes access back. A revocation that reaches further stays.
    Revoke {
        /// Whose.
        subject: Subject,
        /// What the operator calls it.
        name: Text,
        /// Tokens that were issued up to then are refused, by the clock that tokens are held
        /// against; [`Timestamp::NEVER`]: all are.
        through: Timestamp,
    },
    /// Gives access back that was taken.
    Lift {
        /// Whose.
        subject: Subject,
    },
    /// Takes in what happened to an encounter. Registrars.
    Encounter(Box<EncounterEvent>),
    /// Takes in what is known of a patient. Registrars.
    Patient(Box<PatientEvent>),
    /// Takes in that two patients are one. Registrars.
    Merge(Box<Merge>),
    /// Takes in who is in a roster or a care team. Registrars.
    Staff(Box<StaffEvent>),
    /// Goes on bringing members of care conversations in line with the record. Submitted by the
    /// broker itself, as whoever.
    Regroup {
        /// Those of an encounter, or of all on a ward.
        of: StaffOf,
    },
}

impl Command {
    /// The conversation that it is about.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Create(create) => Some(create.conversation),
            Self::Publish(publish) => Some(publish.conversation),
            Self::Acknowledge(acknowledge) => Some(acknowledge.conversation),
            Self::AddMembers { conversation, .. }
            | Self::RemoveMember { conversation, .. }
            | Self::SetRole { conversation, .. }
            | Self::Rename { conversation, .. }
            | Self::SetRetention { conversation, .. }
            | Self::DeleteMessage { conversation, .. }
            | Self::Reexpire { conversation } => Some(*conversation),
            Self::RegisterDevice
            | Self::Found { .. }
            | Self::SetPolicy(_)
            | Self::SetRetentions(_)
            | Self::Tick
            | Self::Revoke { .. }
            | Self::Lift { .. }
            | Self::Encounter(_)
            | Self::Patient(_)
            | Self::Merge(_)
            | Self::Staff(_)
            | Self::Regroup { .. } => None,
        }
    }

    /// Whether it goes ahead of what waits.
    pub fn is_urgent(&self) -> bool {
        matches!(self, Self::Publish(publish) if publish.priority == Priority::Urgent)
    }

    /// Whether it protects or takes away, or the broker needs it to go on: then it is admitted
    /// whatever others have used up, the disk included. None of these makes the store grow by more
    /// than a few small records; the rewriting of expiry does, and what it is for holds before it.
    pub fn is_control(&self) -> bool {
        match self {
            Self::RemoveMember { .. }
            | Self::DeleteMessage { .. }
            | Self::SetRetention { .. }
            | Self::SetRole { .. }
            | Self::Found { .. }
            | Self::SetPolicy(_)
            | Self::SetRetentions(_)
            | Self::Tick
            | Self::Revoke { .. }
            | Self::Lift { .. }
            | Self::Staff(_)
            | Self::Regroup { .. } => true,
            Self::Encounter(event) => event.what.takes_away(),
            Self::Create(_)
            | Self::AddMembers { .. }
            | Self::Rename { .. }
            | Self::Publish(_)
            | Self::Acknowledge(_)
            | Self::Reexpire { .. }
            | Self::RegisterDevice
            | Self::Patient(_)
            | Self::Merge(_) => false,
        }
    }

    /// How many records it may touch beyond the few that every command does: one for each person
    /// and each single receipt that it names, three for each identifier and each member that is
    /// looked at, two for each patient that may be merged.
    pub fn records(&self) -> usize {
        match self {
            Self::Acknowledge(acknowledge) => acknowledge.delivered_only.len() + acknowledge.read_only.len(),
            Self::Create(create) => create.others.len(),
            Self::AddMembers { people, .. } => people.len(),
            Self::DeleteMessage { .. } => 1,
            Self::Encounter(event) => event.patient.identifiers.len() * 3,
            Self::Patient(event) => event.patient.identifiers.len() * 3,
            Self::Merge(merge) => {
                let identifiers = merge.survivor.identifiers.len() + merge.retired.identifiers.len();
                identifiers * 3 + Patient::ABSORBED_MAX * 2
            }
            Self::Regroup { .. } => Regrouping::STEP_MAX * 3,
            _ => 0,
        }
    }

    /// Whether it tells of messages that somebody received or read, and nothing else waits for it.
    pub fn is_receipt(&self) -> bool {
        matches!(self, Self::Acknowledge(_))
    }
}

/// See [`Command::Create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its id: derived from the pair of people (direct) or from the creator and their idempotency
    /// key.
    pub conversation: ConversationId,
    /// Which kind.
    pub kind: Kind,
    /// The members beside the actor, without repetition; exactly one if direct.
    pub others: Vec<Person>,
    /// For people.
    pub title: Text,
    /// How long messages are kept; `None`: the default of the tenant and kind.
    pub retention: Option<Duration>,
}

/// See [`Command::Publish`].
#[derive(Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where.
    pub conversation: ConversationId,
    /// Idempotency key.
    pub client_id: ClientMessageId,
    /// Media type.
    pub content_type: Text,
    /// Opaque.
    pub payload: Bytes,
    /// Which lane.
    pub priority: Priority,
    /// What it replies to.
    pub reply_to: Option<Seq>,
    /// Keep it at most so long.
    pub expires_in: Option<Duration>,
}

impl std::fmt::Debug for Publish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publish")
            .field("conversation", &self.conversation)
            .field("client_id", &self.client_id)
            .field("payload_bytes", &self.payload.len())
            .field("priority", &self.priority)
            .finish_non_exhaustive()
    }
}

/// See [`Command::Acknowledge`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledge {
    /// Where.
    pub conversation: ConversationId,
    /// This device has everything up to here.
    pub delivered: Option<Seq>,
    /// The actor has read everything up to here.
    pub read: Option<Seq>,
    /// Single urgent messages received ahead of the watermark.
    pub delivered_only: Vec<Seq>,
    /// Single urgent messages read ahead of the watermark.
    pub read_only: Vec<Seq>,
}

/// What came of a submission once it is durable: an outcome, or a refusal that changed nothing.
pub type Verdict = Result<Outcome, Rejection>;

/// What a successful command gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The conversation is there; `existed` if it was before.
    Created {
        /// Its id.
        conversation: ConversationId,
        /// Whether it was there already.
        existed: bool,
    },
    /// Done; the members hear of it by the notice with this sequence, if there was something to
    /// change.
    Changed(Option<Seq>),
    /// The message has this place and time.
    Published {
        /// Its sequence.
        seq: Seq,
        /// Its time.
        time: Timestamp,
    },
    /// The watermarks are these now.
    Acknowledged {
        /// The furthest of the actor's devices.
        delivered: Seq,
        /// What the actor has read.
        read: Seq,
    },
    /// The device is known.
    DeviceRegistered {
        /// It is owed what was published since then, and what nobody had received before.
        since: Timestamp,
        /// It was not on record, and devices of its user have given way before: perhaps this one.
        gave_way: bool,
    },
    /// Part of the rewriting is done; `more`: submit it again.
    Reexpired {
        /// Whether there is more to do.
        more: bool,
    },
    /// What the broker told of itself is on record.
    Noted,
    /// Access is taken back.
    Revoked {
        /// How far it reaches on record.
        through: Timestamp,
    },
    /// What a source said was heard.
    Heard(Heard),
    /// Members were brought in line with the record, so many of them.
    Regrouped {
        /// Whether there is more to do.
        more: bool,
    },
}

impl Default for ConversationId {
    fn default() -> Self {
        Self::new([0; 16])
    }
}
