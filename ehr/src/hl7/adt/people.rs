//! Names and providers: XPN, XCN, and the segment ROL (HL7 v2.5.1, section 15.4.7).
//!
//! Of the roles only those behind PV1 are read, which hold for the encounter; those behind PID are
//! of the person, and those behind a procedure or an insurance of these.

use super::super::element::Element;
use super::super::flaw::{Flaw, Reason};
use super::super::message::Message;
use super::super::place::Name as SegmentName;
use super::super::time::Zones;
use super::identifier::{authority, text};
use super::when::moment;
use crate::given::Given;
use crate::record::{Authority, Identifier, Moment, Name, Provider, Role, RoleAction};

/// Most providers of one field.
const PROVIDERS_MAX: usize = 64;
/// Most roles of one encounter.
const ROLES_MAX: usize = 64;

/// Segments of an encounter's message behind which roles are of something else.
const ELSEWHERE: [&str; 4] = ["PR1", "GT1", "IN1", "ACC"];

/// A name whose family name is this component; `None`: there is none.
pub(super) fn name(element: Element<'_>, family: u32) -> Result<Option<Name>, Flaw> {
    let part = |number: u32| text(element.component(family + number));
    let name = Name {
        family: part(0)?,
        given: [part(1)?, part(2)?].into_iter().flatten().collect(),
        suffix: part(3)?,
        prefix: part(4)?,
    };
    Ok((name != Name::default()).then_some(name))
}

/// The providers of a field (XCN).
pub(super) fn providers(field: Element<'_>, own: Option<&Authority>) -> Result<Given<Vec<Provider>>, Flaw> {
    if field.is_null() {
        return Ok(Given::Null);
    }
    let mut all = Vec::new();
    for repetition in field.repetitions() {
        let Some(provider) = provider(repetition, own)? else { continue };
        if all.len() == PROVIDERS_MAX {
            return Err(repetition.flaw(Reason::TooManyRepetitions { max: PROVIDERS_MAX }));
        }
        all.push(provider);
    }
    Ok(if all.is_empty() { Given::Absent } else { Given::Value(all) })
}

fn provider(element: Element<'_>, own: Option<&Authority>) -> Result<Option<Provider>, Flaw> {
    let identifier = match element.component(1).named()? {
        Given::Value(value) => Some(Identifier {
            value: value.into(),
            authority: authority(&element.component(9))?.or_else(|| own.cloned()),
            kind: text(element.component(13))?,
        }),
        _ => None,
    };
    let name = name(element, 2)?;
    Ok((identifier.is_some() || name.is_some()).then_some(Provider { identifier, name }))
}

/// The roles of the encounter.
pub(super) fn roles(message: &Message, own: Option<&Authority>, zones: &Zones) -> Result<Vec<Role>, Flaw> {
    let behind = message.segments().skip_while(|segment| segment.name() != SegmentName::PV1);
    let ours = behind.take_while(|segment| !ELSEWHERE.contains(&segment.name().as_str()));
    let mut roles = Vec::new();
    for rol in ours.filter(|segment| segment.name() == SegmentName::ROL) {
        let Given::Value(people) = providers(rol.field(4), own)? else { continue };
        if roles.len() == ROLES_MAX {
            return Err(Flaw::new(Reason::TooManyRepetitions { max: ROLES_MAX }, rol.place()));
        }
        let action = match rol.field(2).named()?.value().as_deref() {
            Some("AD" | "LI") => RoleAction::Begin,
            Some("DE" | "UN") => RoleAction::End,
            _ => RoleAction::Set,
        };
        roles.push(Role {
            action,
            code: text(rol.field(3))?.ok_or_else(|| rol.field(3).missing())?,
            people,
            begins: at(rol.field(5), zones)?.value(),
            ends: at(rol.field(6), zones)?.value(),
        });
    }
    Ok(roles)
}

/// The moment that a field gives.
pub(super) fn at(field: Element<'_>, zones: &Zones) -> Result<Given<Moment>, Flaw> {
    field.time()?.try_map(|stamp| moment(stamp, field.place(), zones))
}
