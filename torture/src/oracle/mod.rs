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
//! those for watermarks and times, `governed` those for what is taken from others, `access` those
//! for who comes in.

mod access;
mod deliveries;
mod governed;
mod hearing;
mod messages;
mod receipts;

use wardline_client::{ConversationId, DeviceId, Sequence};

use crate::event::{Event, Index};
use access::Access;
use deliveries::Deliveries;
use hearing::Hearing;
pub use hearing::{Law, Objection, Tally};
use messages::Messages;
use receipts::Receipts;

/// Judges events, from the first to the last.
pub fn judge<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Objection> {
    let mut oracle = Oracle::default();
    events.into_iter().for_each(|event| oracle.hear(event));
    oracle.hearing.objections
}

/// See the module's documentation.
#[derive(Default)]
pub struct Oracle {
    hearing: Hearing,
    messages: Messages,
    deliveries: Deliveries,
    receipts: Receipts,
    access: Access,
}

impl Oracle {
    /// Hears of one more event.
    pub fn hear(&mut self, event: &Event) {
        let Self { hearing, messages, deliveries, receipts, access } = self;
        hearing.heard.0 += 1;
        match event {
            Event::Opened { room, members, retention_ms } => messages.opened(*room, members, *retention_ms),
            Event::Invoked { .. } => messages.invoked(hearing, event),
            Event::Acked { id, sequence, time_ms, urgent } => {
                messages.acked(hearing, *id, *sequence, *time_ms, *urgent);
            }
            Event::Governed { room, floor_ms } => messages.governed(*room, *floor_ms),
            Event::ControlAsked { id, room, control } => messages.control_asked(*id, *room, *control),
            Event::ControlAnswered { id, answer } => messages.control_answered(hearing, *id, *answer),
            Event::KeptRead { room, since, kept_ms } => messages.kept_read(hearing, *room, *since, *kept_ms),
            Event::Revoked { user, is_revoked } => access.revoked(hearing, *user, *is_revoked),
            Event::LetIn { user, since } => access.let_in(hearing, *user, *since),
            Event::Refused { id } => messages.refused(hearing, *id),
            Event::Unknown { id } => messages.unknown(hearing, *id),
            Event::Killed => messages.killed(hearing),
            Event::Read(reading) => messages.read(hearing, reading),
            Event::Leaked { to, .. } => {
                hearing.object(Law::Genuine, format!("{to:?} is no member and was let in"));
            }
            Event::Connected { device, at_ms } => deliveries.connected(*device, *at_ms),
            Event::Delivered { device, room, at_ms, found } => {
                deliveries.delivered(hearing, messages, *device, *room, *at_ms, found);
            }
            Event::Heard { device, room, at_ms, noticed } => {
                deliveries.noticed(hearing, messages, *device, *room, *at_ms, noticed);
            }
            Event::MarkAsked { user, room, read } => receipts.mark_asked(*user, *room, *read),
            Event::MarkAcked { user, room, since, asked, delivered, read } => {
                receipts.mark_acked(hearing, (*room, *user), *since, *asked, *delivered, *read);
            }
            Event::MarksRead { user, room, since, delivered, read } => {
                receipts.marks_read(hearing, (*room, *user), *since, *delivered, *read);
            }
            Event::RecipientsRead { room, sequence, since, recipients } => {
                receipts.recipients_read(hearing, *room, *sequence, *since, recipients);
            }
        }
    }

    /// How many events were heard.
    pub fn heard(&self) -> Index {
        self.hearing.heard
    }

    /// Messages whose answer may still come.
    pub fn open(&self) -> u64 {
        let tally = self.tally();
        tally.invoked - tally.acked - tally.refused - tally.unknown
    }

    /// The highest place in a conversation that is known to be taken.
    pub fn last_place(&self, room: ConversationId) -> Sequence {
        self.messages.last_place(room)
    }

    /// A message up to this place of a conversation that can be deleted: it is there, as far as is
    /// known, and nobody asked to delete it.
    pub fn to_delete(&self, room: ConversationId, up_to: Sequence) -> Option<Sequence> {
        self.messages.to_delete(room, up_to)
    }

    /// Up to where a device has received everything.
    pub fn delivered_up_to(&self, device: DeviceId, room: ConversationId) -> Sequence {
        self.deliveries.up_to(device, room)
    }

    /// What was heard, in numbers.
    pub fn tally(&self) -> Tally {
        self.hearing.tally
    }

    /// What was wrong so far.
    pub fn objections(&self) -> &[Objection] {
        &self.hearing.objections
    }
}
