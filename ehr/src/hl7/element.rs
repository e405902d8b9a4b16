//! A part of a segment: a field, one of its repetitions, a component or a subcomponent.
//!
//! The same bytes are a field with one component or a component alone, so a receiver may ask deeper
//! than a sender wrote: the first component of a field without any is the field (HL7 v2.5.1,
//! section 2.8). Nothing is read before it is asked for.

use super::charset::Charset;
use super::delimiters::Delimiters;
use super::flaw::{Flaw, Reason};
use super::place::Place;
use super::{escape, time};
use crate::given::Given;

/// Longest value that names something (an identifier, a ward, a code), in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 256;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What divides it.
    pub delimiters: Delimiters,
    /// What its bytes mean.
    pub charset: Charset,
}

/// How deep an element lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Field,
    Repetition,
    Component,
    Subcomponent,
}

/// A part of a segment.
#[derive(Clone, Copy)]
pub struct Element<'m> {
    dialect: &'m Dialect,
    raw: &'m [u8],
    place: Place,
    depth: Depth,
}

impl<'m> Element<'m> {
    /// A field.
    pub(super) fn field(dialect: &'m Dialect, raw: &'m [u8], place: Place) -> Self {
        Self { dialect, raw, place, depth: Depth::Field }
    }

    /// Its bytes as they came.
    pub fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Whether nothing stands there.
    pub fn is_absent(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether it says that what is known is to be deleted.
    pub fn is_null(&self) -> bool {
        self.raw == b"\"\""
    }

    /// Its repetitions: one at least.
    pub fn repetitions(&self) -> impl Iterator<Item = Element<'m>> + use<'m> {
        let separator = if self.depth == Depth::Field { self.dialect.delimiters.repetition } else { None };
        let (whole, mut number) = (*self, 0);
        self.raw.split(move |byte| Some(*byte) == separator).map(move |raw| {
            number += 1;
            let place = Place { repetition: number, byte: whole.byte_of(raw), ..whole.place };
            Element { raw, place, depth: Depth::Repetition, ..whole }
        })
    }

    /// The first repetition.
    pub fn first(&self) -> Element<'m> {
        self.repetitions().next().unwrap_or(*self)
    }

    /// The component of this number, from 1 on, of the first repetition.
    pub fn component(&self, number: u32) -> Element<'m> {
        let whole = if self.depth == Depth::Field { self.first() } else { *self };
        let part = whole.part(number, Some(self.dialect.delimiters.component));
        Element { place: Place { component: number, ..part.place }, depth: Depth::Component, ..part }
    }

    /// The subcomponent of this number, from 1 on, of this component or the first one.
    pub fn subcomponent(&self, number: u32) -> Element<'m> {
        let whole = if self.depth < Depth::Component { self.component(1) } else { *self };
        let part = whole.part(number, self.dialect.delimiters.subcomponent);
        Element { place: Place { subcomponent: number, ..part.place }, depth: Depth::Subcomponent, ..part }
    }

    /// The text of it, or of the first of its parts if it has parts.
    ///
    /// # Errors
    /// [`Flaw`] if its bytes are not in the message's character set.
    pub fn text(&self) -> Result<Given<String>, Flaw> {
        let leaf = if self.depth == Depth::Subcomponent { *self } else { self.subcomponent(1) };
        leaf.whole_text()
    }

    /// The text of all of it, with the delimiters that stand in it: for what people read.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn whole_text(&self) -> Result<Given<String>, Flaw> {
        if self.is_absent() {
            return Ok(Given::Absent);
        }
        if self.is_null() {
            return Ok(Given::Null);
        }
        let Dialect { delimiters, charset } = self.dialect;
        let text = escape::read(self.raw, delimiters, *charset);
        text.map(Given::Value).ok_or_else(|| self.flaw(charset.complaint()))
    }

    /// The text of a value that names something: without blanks around it, and not longer than
    /// [`NAME_BYTES_MAX`]. Blanks alone are as nothing.
    ///
    /// # Errors
    /// As [`Self::text`]; [`Reason::ValueTooLong`].
    pub fn named(&self) -> Result<Given<String>, Flaw> {
        let given = self.text()?;
        let Given::Value(text) = &given else { return Ok(given) };
        match text.trim() {
            "" => Ok(Given::Absent),
            name if name.len() > NAME_BYTES_MAX => {
                Err(self.flaw(Reason::ValueTooLong { max: NAME_BYTES_MAX }))
            }
            name => Ok(Given::Value(name.to_owned())),
        }
    }

    /// The time that stands there.
    ///
    /// # Errors
    /// As [`Self::text`]; [`Reason::Time`] if it is none.
    pub fn time(&self) -> Result<Given<time::Stamp>, Flaw> {
        self.named()?.try_map(|text| time::Stamp::read(&text).ok_or_else(|| self.flaw(Reason::Time)))
    }

    /// Something is wrong with it.
    pub fn flaw(&self, reason: Reason) -> Flaw {
        Flaw::new(reason, self.place)
    }

    /// A value is missing here.
    pub fn missing(&self) -> Flaw {
        self.flaw(Reason::FieldMissing)
    }

    fn part(&self, number: u32, separator: Option<u8>) -> Element<'m> {
        let index = number.checked_sub(1);
        let found = index
            .and_then(|index| self.raw.split(|byte| Some(*byte) == separator).nth(index as usize))
            .unwrap_or(&self.raw[self.raw.len()..]);
        Element { raw: found, place: Place { byte: self.byte_of(found), ..self.place }, ..*self }
    }

    /// Where in the message a part of this begins.
    fn byte_of(&self, part: &[u8]) -> usize {
        self.place.byte + (part.as_ptr().addr() - self.raw.as_ptr().addr())
    }
}
