//! Identifiers (CX) and who assigned them (HD), of patients, visits and providers.
//!
//! Who assigned one is CX-4, else CX-6, else the sender: MSH-4, else MSH-3. One that is given twice
//! is there once.

use super::super::element::Element;
use super::super::flaw::{Flaw, Reason};
use super::super::message::Message;
use crate::given::Given;
use crate::record::{Authority, Identifier, Text};

/// Most identifiers of a patient.
const IDENTIFIERS_MAX: usize = 64;

/// The identifiers of a field, each once.
pub(in super::super) fn identifiers(
    field: Element<'_>,
    own: Option<&Authority>,
) -> Result<Vec<Identifier>, Flaw> {
    let mut known: Vec<Identifier> = Vec::new();
    for repetition in field.repetitions() {
        let Some(identifier) = identifier(repetition, own)? else { continue };
        if known.len() == IDENTIFIERS_MAX {
            return Err(repetition.flaw(Reason::TooManyRepetitions { max: IDENTIFIERS_MAX }));
        }
        if !known.iter().any(|other| other.is_same(&identifier)) {
            known.push(identifier);
        }
    }
    Ok(known)
}

/// One identifier (CX); `None`: there is none.
pub(in super::super) fn identifier(
    element: Element<'_>,
    own: Option<&Authority>,
) -> Result<Option<Identifier>, Flaw> {
    let Given::Value(value) = element.component(1).named()? else { return Ok(None) };
    let assigned = match authority(&element.component(4))? {
        None => authority(&element.component(6))?,
        assigned => assigned,
    };
    Ok(Some(Identifier {
        value: value.into(),
        authority: assigned.or_else(|| own.cloned()),
        kind: text(element.component(5))?,
    }))
}

/// Who assigns (HD), as one component.
pub(super) fn authority(component: &Element<'_>) -> Result<Option<Authority>, Flaw> {
    designated([1, 2, 3].map(|part| component.subcomponent(part)))
}

/// Who the sender is: MSH-4, else MSH-3.
pub(in super::super) fn own_authority(message: &Message) -> Result<Option<Authority>, Flaw> {
    let of = |field: u32| designated([1, 2, 3].map(|part| message.header().field(field).component(part)));
    Ok(of(4)?.or(of(3)?))
}

fn designated([namespace, universal, kind]: [Element<'_>; 3]) -> Result<Option<Authority>, Flaw> {
    let (namespace, universal) = (text(namespace)?, text(universal)?);
    if namespace.is_none() && universal.is_none() {
        return Ok(None);
    }
    let kind = text(kind)?.unwrap_or_default();
    Ok(Some(Authority { namespace, universal: universal.map(|universal| (universal, kind)) }))
}

/// A value, if one is given.
pub(in super::super) fn text(element: Element<'_>) -> Result<Option<Text>, Flaw> {
    Ok(element.named()?.value().map(Text::from))
}
