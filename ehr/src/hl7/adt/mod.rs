//! ADT: what happens to patients and their encounters (HL7 v2.5.1, chapter 3).
//!
//! Seventeen events are read; which one a message is, MSH-9 says, whatever EVN-1 says. Each must
//! have EVN, PID and, where it is about an encounter, PV1, once each: a second patient in one
//! message would be passed over. An event from the future is refused. Which fields are read stands
//! in docs/hl7.md.

pub(super) mod identifier;
mod merge;
pub(super) mod patient;
mod people;
pub(super) mod visit;
pub(super) mod when;

use super::flaw::{Flaw, Reason};
use super::header::Header;
use super::message::{Message, Segment};
use super::place::Name;
use crate::given::Given;
use crate::record::{Change, EncounterEvent, Event, Source, What};
use when::{occurred, past, source_at};

pub use when::Context;

/// An event that is read, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// What HL7 calls it.
    pub name: &'static str,
    /// Where HL7 v2.5.1 describes it.
    pub section: &'static str,
    sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Encounter(Change),
    Person,
    Merge,
}

/// All events that are read.
pub const TRIGGERS: &[Trigger] = &[
    of("A01", "3.3.1", Sort::Encounter(Change::Admit)),
    of("A02", "3.3.2", Sort::Encounter(Change::Transfer)),
    of("A03", "3.3.3", Sort::Encounter(Change::Discharge)),
    of("A04", "3.3.4", Sort::Encounter(Change::Register)),
    of("A05", "3.3.5", Sort::Encounter(Change::PreAdmit)),
    of("A08", "3.3.8", Sort::Encounter(Change::Update)),
    of("A11", "3.3.11", Sort::Encounter(Change::CancelAdmit)),
    of("A12", "3.3.12", Sort::Encounter(Change::CancelTransfer)),
    of("A13", "3.3.13", Sort::Encounter(Change::CancelDischarge)),
    of("A21", "3.3.21", Sort::Encounter(Change::Leave)),
    of("A22", "3.3.22", Sort::Encounter(Change::Return)),
    of("A28", "3.3.28", Sort::Person),
    of("A31", "3.3.31", Sort::Person),
    of("A38", "3.3.38", Sort::Encounter(Change::CancelAdmit)),
    of("A40", "3.3.40", Sort::Merge),
    of("A52", "3.3.52", Sort::Encounter(Change::CancelLeave)),
    of("A53", "3.3.53", Sort::Encounter(Change::CancelReturn)),
];

const fn of(name: &'static str, section: &'static str, sort: Sort) -> Trigger {
    Trigger { name, section, sort }
}

/// The event of this name, if it is read.
pub fn trigger(name: Name) -> Option<&'static Trigger> {
    TRIGGERS.iter().find(|trigger| trigger.name == name.as_str())
}

/// Reads an event.
///
/// # Errors
/// [`Flaw`] if something that it must say is missing or cannot be read.
pub fn read(
    trigger: &'static Trigger,
    message: &Message,
    header: &Header,
    context: &Context,
) -> Result<Event, Flaw> {
    let evn = one(message, Name::EVN, trigger.section)?;
    let source = source(trigger.name, evn, message, header, context)?;
    let own = identifier::own_authority(message)?;
    let what = match trigger.sort {
        Sort::Merge => What::Merge(merge::merges(message, own.as_ref(), trigger.section)?),
        Sort::Person => {
            let pid = one(message, Name::PID, trigger.section)?;
            What::Person(Box::new(patient::patient(pid, own.as_ref())?))
        }
        Sort::Encounter(change) => {
            let pid = one(message, Name::PID, trigger.section)?;
            let pv1 = one(message, Name::PV1, trigger.section)?;
            let patient = patient::patient(pid, own.as_ref())?;
            if change == Change::Update && visit::number(pid, Some(pv1), own.as_ref())?.is_none() {
                // Something is known better of a person, not of a visit.
                return Ok(Event { source, what: What::Person(Box::new(patient)) });
            }
            let encounter = visit::encounter(message, pid, pv1, own.as_ref(), &context.zones)?;
            What::Encounter(Box::new(EncounterEvent { change, patient, encounter }))
        }
    };
    Ok(Event { source, what })
}

/// The one segment of this name.
fn one<'m>(message: &'m Message, name: Name, section: &'static str) -> Result<Segment<'m>, Flaw> {
    let mut all = message.all(name);
    let missing = || Flaw::about(section, Reason::SegmentMissing(name), message.end());
    let first = all.next().ok_or_else(missing)?;
    match all.next() {
        Some(second) => Err(Flaw::about(section, Reason::SegmentTwice(name), second.place())),
        None => Ok(first),
    }
}

fn source(
    trigger: &'static str,
    evn: Segment<'_>,
    message: &Message,
    header: &Header,
    context: &Context,
) -> Result<Source, Flaw> {
    let sent = header.sent;
    let (recorded, recorded_at) = match evn.field(2).time()? {
        Given::Value(stamp) => (stamp, evn.field(2).place()),
        _ => (sent.ok_or_else(|| evn.field(2).missing())?, message.header().field(7).place()),
    };
    let recorded = past(recorded, recorded_at, context)?;
    let occurred = match evn.field(6).time()? {
        Given::Value(stamp) => occurred(past(stamp, evn.field(6).place(), context)?, recorded),
        _ => recorded,
    };
    Ok(source_at(trigger, message, header, [recorded, occurred], context))
}
