//! PID: who a patient is (HL7 v2.5.1, section 3.4.2).
//!
//! Identifiers are those of PID-3; a sender that leaves it empty may have them in PID-2 or PID-4,
//! where they were before version 2.3.1.

use super::super::element::Element;
use super::super::flaw::{Flaw, Reason};
use super::super::message::Segment;
use super::identifier::identifiers;
use super::people;
use crate::given::Given;
use crate::record::{Authority, Patient, Text};

/// Reads a patient.
///
/// # Errors
/// [`Flaw`] if they have no identifier, or something cannot be read.
pub(in super::super) fn patient(pid: Segment<'_>, own: Option<&Authority>) -> Result<Patient, Flaw> {
    let mut known = Vec::new();
    for field in [3, 2, 4] {
        if known.is_empty() {
            known = identifiers(pid.field(field), own)?;
        }
    }
    if known.is_empty() {
        return Err(pid.field(3).flaw(Reason::NoPatient));
    }
    let born = pid.field(7);
    Ok(Patient {
        identifiers: known,
        name: name(pid.field(5))?,
        born: born.time()?.map(|stamp| stamp.date()),
        sex: pid.field(8).named()?.map(Text::from),
    })
}

/// PID-5: the legal name, else the first that is there.
fn name(field: Element<'_>) -> Result<Given<crate::record::Name>, Flaw> {
    if field.is_null() {
        return Ok(Given::Null);
    }
    let is_legal = |repetition: &Element<'_>| repetition.component(7).raw() == b"L";
    let chosen = field.repetitions().find(is_legal).unwrap_or_else(|| field.first());
    Ok(people::name(chosen, 1)?.map_or(Given::Absent, Given::Value))
}
