//! ORU^R01: results of orders (HL7 v2.5.1, section 7.3.1), as FHIR R4.
//!
//! Each OBR becomes a DiagnosticReport, each OBX behind it an Observation within that, each NTE a
//! note; a document in an OBX is a form of the report. Values are never interpreted further than
//! they are written: a number that is none stays a text. Which fields are read stands in
//! docs/hl7.md.

mod fhir;
mod observation;
mod order;
mod report;
mod state;
mod value;

use super::adt::Context;
use super::adt::identifier::own_authority;
use super::adt::patient::patient;
use super::adt::visit::number;
use super::adt::when::{past, source_at};
use super::flaw::{Flaw, Reason};
use super::header::Header;
use super::message::{Message, Segment};
use super::place::{Name, Place};
use crate::record::{Authority, Event, Results, What};
use order::{Observed, Order};

/// Where HL7 describes the message.
const SECTION: &str = "7.3.1";

/// Words of OBX-8 (HL7 table 0078) for which somebody must look at once.
pub const CRITICAL: [&str; 3] = ["HH", "LL", "AA"];

/// Segments of one patient.
struct Group<'m> {
    pid: Segment<'m>,
    pv1: Option<Segment<'m>>,
    orders: Vec<Order<'m>>,
}

/// Reads the results of all patients of a message; `critical` are words of OBX-8.
///
/// # Errors
/// [`Flaw`] if something that it must say is missing or cannot be read.
pub fn read(
    message: &Message,
    header: &Header,
    context: &Context,
    critical: &[String],
) -> Result<Event, Flaw> {
    let sent = message.header().field(7);
    let stamp = header.sent.ok_or_else(|| sent.missing())?;
    let sent = past(stamp, sent.place(), context)?;
    let own = own_authority(message)?;
    let groups = groups(message)?;
    let mut results = Vec::new();
    for group in &groups {
        results.push(read_group(group, own.as_ref(), context, critical)?);
    }
    Ok(Event {
        source: source_at("R01", message, header, [sent, sent], context),
        what: What::Results(results),
    })
}

fn read_group(
    group: &Group<'_>,
    own: Option<&Authority>,
    context: &Context,
    critical: &[String],
) -> Result<Results, Flaw> {
    let patient = patient(group.pid, own)?;
    let encounter = number(group.pid, group.pv1, own)?.map(|(number, _)| number);
    let about = report::About { patient: &patient, encounter: encounter.as_ref(), zones: &context.zones };
    let reports = group.orders.iter().map(|order| report::report(order, &about, critical));
    let reports = reports.collect::<Result<Vec<_>, Flaw>>()?;
    Ok(Results { patient, encounter, reports })
}

/// Finds what belongs to which patient, order and observation.
fn groups(message: &Message) -> Result<Vec<Group<'_>>, Flaw> {
    let missing = |name: Name, at: Place| Flaw::about(SECTION, Reason::SegmentMissing(name), at);
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut orc = None;
    let mut noted = Noted::Nothing;
    for segment in message.segments().skip(1) {
        match segment.name() {
            Name::PID => {
                finish(groups.last(), segment.place())?;
                groups.push(Group { pid: segment, pv1: None, orders: Vec::new() });
                (orc, noted) = (None, Noted::Nothing);
                continue;
            }
            name if ![Name::PV1, Name::OBR, Name::OBX, Name::NTE].contains(&name) => {
                // Notes behind it are on what it is about, of which nothing is read.
                noted = Noted::Nothing;
                if name.as_str() == "ORC" {
                    orc = Some(segment);
                }
                continue;
            }
            _ => {}
        }
        let group = groups.last_mut().ok_or_else(|| missing(Name::PID, segment.place()))?;
        noted = place(group, segment, &mut orc, noted);
    }
    finish(groups.last(), message.end())?;
    if groups.is_empty() { Err(missing(Name::PID, message.end())) } else { Ok(groups) }
}

/// On what notes are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noted {
    Nothing,
    Order,
    Observation,
}

fn place<'m>(
    group: &mut Group<'m>,
    segment: Segment<'m>,
    orc: &mut Option<Segment<'m>>,
    noted: Noted,
) -> Noted {
    match segment.name() {
        Name::PV1 => {
            group.pv1 = Some(segment);
            Noted::Nothing
        }
        Name::OBR => {
            let orc = orc.take();
            group.orders.push(Order { orc, obr: segment, notes: Vec::new(), observations: Vec::new() });
            Noted::Order
        }
        Name::OBX => {
            // Before all orders it is about the patient (version 2.8), and no result.
            let Some(order) = group.orders.last_mut() else { return Noted::Nothing };
            order.observations.push(Observed { obx: segment, notes: Vec::new() });
            Noted::Observation
        }
        _ => {
            let order = group.orders.last_mut();
            let notes = match noted {
                Noted::Nothing => None,
                Noted::Order => order.map(|order| &mut order.notes),
                Noted::Observation => {
                    order.and_then(|order| order.observations.last_mut()).map(|observed| &mut observed.notes)
                }
            };
            notes.into_iter().for_each(|notes| notes.push(segment));
            noted
        }
    }
}

/// A patient without a single order is a message that was cut off.
fn finish(group: Option<&Group<'_>>, at: Place) -> Result<(), Flaw> {
    match group {
        Some(group) if group.orders.is_empty() => {
            Err(Flaw::about(SECTION, Reason::SegmentMissing(Name::OBR), at))
        }
        _ => Ok(()),
    }
}
