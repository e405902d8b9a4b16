//! PV1: an encounter (HL7 v2.5.1, section 3.4.3).
//!
//! Its number is PV1-19; a sender that leaves it empty may have it in PV1-50, or only an account
//! number in PID-18. Without any of them nobody can tell which encounter is meant, and the message
//! is refused. A location of which no part is given is none.

use super::super::element::Element;
use super::super::flaw::{Flaw, Reason};
use super::super::message::{Message, Segment};
use super::super::time::Zones;
use super::identifier::{identifier, text};
use super::people;
use crate::given::Given;
use crate::record::{Authority, Class, Encounter, Identifier, Location, NumberFrom, Text};

/// Reads an encounter.
///
/// # Errors
/// [`Flaw`] if it has no number, or something cannot be read.
pub(super) fn encounter(
    message: &Message,
    pid: Segment<'_>,
    pv1: Segment<'_>,
    own: Option<&Authority>,
    zones: &Zones,
) -> Result<Encounter, Flaw> {
    let (number, number_from) =
        number(pid, Some(pv1), own)?.ok_or_else(|| pv1.field(19).flaw(Reason::NoVisit))?;
    let providers = |field: u32| people::providers(pv1.field(field), own);
    Ok(Encounter {
        number,
        number_from,
        class: pv1.field(2).named()?.map(class),
        location: location(pv1.field(3))?,
        prior_location: location(pv1.field(6))?,
        begins: people::at(pv1.field(44), zones)?,
        ends: people::at(pv1.field(45), zones)?,
        attending: providers(7)?,
        referring: providers(8)?,
        consulting: providers(9)?,
        admitting: providers(17)?,
        roles: people::roles(message, own, zones)?,
    })
}

/// The number of an encounter, and where it stood.
pub(in super::super) fn number(
    pid: Segment<'_>,
    pv1: Option<Segment<'_>>,
    own: Option<&Authority>,
) -> Result<Option<(Identifier, NumberFrom)>, Flaw> {
    let of_visit =
        pv1.map(|pv1| [(pv1.field(19), NumberFrom::Visit), (pv1.field(50), NumberFrom::AlternateVisit)]);
    let of_account = (pid.field(18), NumberFrom::Account);
    for (field, from) in of_visit.into_iter().flatten().chain([of_account]) {
        if let Some(number) = identifier(field, own)? {
            return Ok(Some((number, from)));
        }
    }
    Ok(None)
}

/// HL7 table 0004.
fn class(code: String) -> Class {
    match code.as_str() {
        "E" => Class::Emergency,
        "I" => Class::Inpatient,
        "O" => Class::Outpatient,
        "P" => Class::PreAdmit,
        "R" => Class::Recurring,
        "B" => Class::Obstetrics,
        "N" | "U" => Class::Unknown,
        _ => Class::Other(code.into()),
    }
}

/// A location (PL).
fn location(field: Element<'_>) -> Result<Given<Location>, Flaw> {
    if field.is_null() {
        return Ok(Given::Null);
    }
    let part = |number: u32| -> Result<Option<Text>, Flaw> { text(field.component(number)) };
    let location =
        Location { ward: part(1)?, room: part(2)?, bed: part(3)?, facility: part(4)?, building: part(7)? };
    Ok(if location == Location::default() { Given::Absent } else { Given::Value(location) })
}
