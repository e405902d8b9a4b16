//! What the oracle has heard so far, in numbers, and what it objects to.
//!
//! Owns the laws by name. Never decides: each part of the oracle says what it objects to.

use std::fmt;

use crate::event::Index;

/// The promises that a trial can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// What was acknowledged is in every member's history.
    Kept,
    /// Nothing is found that nobody sent, that was refused, or that is none of the finder's
    /// business.
    Genuine,
    /// A message is there once, and is delivered once.
    Once,
    /// One order, without holes; of one publisher, the order of publishing.
    Ordered,
    /// Receipts and their times stay.
    ReceiptsStay,
    /// A message of unknown fate is there or not, for good.
    Settled,
    /// Expired messages are gone, others are there.
    Expiry,
    /// Nothing is taken from others below the operator's floor, nor without a trace.
    Governed,
    /// What protects or takes away is not refused for want of room, and is true once it is done.
    Control,
    /// What was acknowledged as urgent is urgent.
    Urgent,
    /// Nobody comes in whose access was taken back.
    Revoked,
}

impl Law {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Kept,
        Self::Genuine,
        Self::Once,
        Self::Ordered,
        Self::ReceiptsStay,
        Self::Settled,
        Self::Expiry,
        Self::Governed,
        Self::Control,
        Self::Urgent,
        Self::Revoked,
    ];

    /// What breaking it is called in a report.
    pub fn broken(self) -> &'static str {
        match self {
            Self::Kept => "lost",
            Self::Genuine => "foreign",
            Self::Once => "duplicated",
            Self::Ordered => "reordered",
            Self::ReceiptsStay => "receipts back",
            Self::Settled => "flapping",
            Self::Expiry => "expiry",
            Self::Governed => "taken",
            Self::Control => "control",
            Self::Urgent => "not urgent",
            Self::Revoked => "let in",
        }
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// Which.
    pub law: Law,
    /// After how many events.
    pub index: Index,
    /// What was found, for people.
    pub text: String,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (event {}): {}", self.law.broken(), self.index.0, self.text)
    }
}

/// What was heard, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Tally {
    pub invoked: u64,
    pub acked: u64,
    pub refused: u64,
    pub unknown: u64,
    pub unknown_found: u64,
    pub kills: u64,
    pub readings: u64,
    pub entries_read: u64,
    pub deliveries: u64,
    pub receipts: u64,
    pub controls: u64,
    pub revocations: u64,
}

/// What all parts of the oracle tell.
#[derive(Default)]
pub(super) struct Hearing {
    /// How many events.
    pub(super) heard: Index,
    pub(super) tally: Tally,
    pub(super) objections: Vec<Objection>,
}

impl Hearing {
    pub(super) fn object(&mut self, law: Law, text: String) {
        self.objections.push(Objection { law, index: self.heard, text });
    }
}
