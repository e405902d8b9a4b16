//! Says what of the promises was broken, from what was asked, answered and found.
//!
//! [`judge`] is a pure function of the events; [`Oracle`] is the same, event by event, so that a
//! trial ends at the first broken promise. What is acknowledged must be found for ever, at one
//! place, by every member, until it expires; what is refused never; what is unknown may be there or
//! not, but one of the two for good. What the oracle cannot know it does not object to: an empty
//! place may be that of a message that expired before anybody heard of it, but there cannot be more
//! such places than such messages.
//!
//! `messages` has the rules for publishing and reading, `deliveries` those for devices, `receipts`
//! those for watermarks and times.

mod deliveries;
mod messages;
mod receipts;

use std::collections::HashMap;
use std::fmt;

use wardline_client::{ConversationId, DeviceId, MessageId};

use crate::event::{Event, Index, User};
use deliveries::Device;
use messages::{Message, Room};
use receipts::{Marks, Times};

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
}

impl Law {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Kept,
        Self::Genuine,
        Self::Once,
        Self::Ordered,
        Self::ReceiptsStay,
        Self::Settled,
        Self::Expiry,
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
}

/// Judges events, from the first to the last.
pub fn judge<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Objection> {
    let mut oracle = Oracle::default();
    events.into_iter().for_each(|event| oracle.hear(event));
    oracle.objections.all
}

/// See the module's documentation.
#[derive(Default)]
pub struct Oracle {
    heard: Index,
    messages: HashMap<MessageId, Message>,
    rooms: HashMap<ConversationId, Room>,
    devices: HashMap<DeviceId, Device>,
    marks: HashMap<(ConversationId, User), Marks>,
    times: Times,
    tally: Tally,
    objections: Objections,
}

/// Objections as they are made.
#[derive(Default)]
struct Objections {
    heard: Index,
    all: Vec<Objection>,
}

impl Objections {
    fn object(&mut self, law: Law, text: String) {
        self.all.push(Objection { law, index: self.heard, text });
    }
}

impl Oracle {
    /// Hears of one more event.
    pub fn hear(&mut self, event: &Event) {
        self.heard.0 += 1;
        self.objections.heard = self.heard;
        match event {
            Event::Opened { room, members, retention_ms } => self.opened(*room, members, *retention_ms),
            Event::Invoked { .. } => self.invoked(event),
            Event::Acked { id, sequence, time_ms } => self.acked(*id, *sequence, *time_ms),
            Event::Refused { id } => self.refused(*id),
            Event::Unknown { id } => self.unknown(*id),
            Event::Killed => self.killed(),
            Event::Read(reading) => self.read(reading),
            Event::Leaked { to, .. } => {
                let text = format!("{to:?} is no member and was let in");
                self.objections.object(Law::Genuine, text);
            }
            Event::Connected { device, at_ms } => {
                self.devices.entry(*device).or_default().connected(*at_ms);
            }
            Event::Delivered { device, room, at_ms, found } => {
                self.delivered(*device, *room, *at_ms, found);
            }
            Event::MarkAsked { user, room, read } => self.mark_asked(*user, *room, *read),
            Event::MarkAcked { user, room, since, asked, delivered, read } => {
                self.mark_acked((*room, *user), *since, *asked, *delivered, *read);
            }
            Event::MarksRead { user, room, since, delivered, read } => {
                self.marks_read((*room, *user), *since, *delivered, *read);
            }
            Event::RecipientsRead { room, sequence, since, recipients } => {
                self.recipients_read(*room, *sequence, *since, recipients);
            }
        }
    }

    /// How many events were heard.
    pub fn heard(&self) -> Index {
        self.heard
    }

    /// Messages whose answer may still come.
    pub fn open(&self) -> u64 {
        self.tally.invoked - self.tally.acked - self.tally.refused - self.tally.unknown
    }

    /// What was heard, in numbers.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// What was wrong so far.
    pub fn objections(&self) -> &[Objection] {
        &self.objections.all
    }
}
