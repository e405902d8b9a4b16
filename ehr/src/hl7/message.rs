//! A message: its bytes as they came, and where its segments lie in them.
//!
//! Segments end with CR; LF, CR LF and doubled ones are taken too. Where segments end with CR, an
//! LF that no segment follows is part of a text. What cannot be a segment is refused, so nothing is
//! passed over: every byte is in a segment or is a terminator, a blank line, or a byte order mark.
//! Nothing is copied, and fields are looked for when they are asked for. Segments and fields are
//! counted against [`Bounds`] first.

use std::collections::HashMap;

use bytes::Bytes;

use super::charset::{self, Charset};
use super::delimiters::Delimiters;
use super::element::{Dialect, Element};
use super::flaw::{Flaw, Reason};
use super::place::{Name, Place};

/// How large a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes.
    pub message_bytes_max: usize,
    /// Most segments.
    pub segments_max: usize,
    /// Most fields of a segment.
    pub fields_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { message_bytes_max: 1 << 20, segments_max: 4096, fields_max: 512 }
    }
}

/// A message that was divided into segments.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    dialect: Dialect,
    segments: Vec<Span>,
}

/// Where a segment lies, without its terminator.
#[derive(Clone, Copy)]
struct Span {
    name: Name,
    occurrence: u32,
    start: usize,
    end: usize,
}

/// A segment of a message.
#[derive(Clone, Copy)]
pub struct Segment<'m> {
    message: &'m Message,
    span: Span,
}

impl Message {
    /// Divides bytes into segments; `unstated` is the character set of a sender that names none.
    ///
    /// # Errors
    /// [`Flaw`] if these bytes are no message, or one beyond the bounds.
    pub fn read(bytes: Bytes, bounds: &Bounds, unstated: Charset) -> Result<Self, Flaw> {
        if bytes.len() > bounds.message_bytes_max {
            let reason = Reason::TooLong { max: bounds.message_bytes_max };
            return Err(Flaw::new(reason, Place::byte(bounds.message_bytes_max)));
        }
        let start = start(&bytes)?;
        let lines = Lines::new(&bytes, start);
        let delimiters = Delimiters::read(&bytes[start..lines.first_end()], start)?;
        let mut segments: Vec<Span> = Vec::new();
        let mut occurrences: HashMap<Name, u32> = HashMap::new();
        for (start, end) in lines {
            let line = &bytes[start..end];
            if line.iter().all(|byte| is_blank(*byte)) {
                continue;
            }
            let name = name(line, delimiters.field)
                .ok_or_else(|| Flaw::new(Reason::SegmentName, place_after(segments.last(), start)))?;
            let occurrence = occurrences.entry(name).or_default();
            *occurrence += 1;
            let span = Span { name, occurrence: *occurrence, start, end };
            check(span, line, &delimiters, bounds, segments.len())?;
            segments.push(span);
        }
        // MSH-18 itself is ASCII.
        let dialect = Dialect { delimiters, charset: Charset::Ascii };
        let mut message = Self { bytes, dialect, segments };
        message.dialect.charset = message.stated_charset(unstated)?;
        Ok(message)
    }

    /// All of its bytes, as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What divides it.
    pub fn delimiters(&self) -> &Delimiters {
        &self.dialect.delimiters
    }

    /// Its segments in order, MSH first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = Segment<'_>> + Clone {
        self.segments.iter().map(|span| Segment { message: self, span: *span })
    }

    /// Its segments of this name, in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = Segment<'_>> {
        self.segments().filter(move |segment| segment.name() == name)
    }

    /// The first segment of this name.
    pub fn first(&self, name: Name) -> Option<Segment<'_>> {
        self.all(name).next()
    }

    /// The first segment: MSH.
    pub fn header(&self) -> Segment<'_> {
        Segment { message: self, span: self.segments[0] }
    }

    /// Behind its last byte: the place of what should have come.
    pub(super) fn end(&self) -> Place {
        Place::byte(self.bytes.len())
    }

    /// The character set of MSH-18: the first of its repetitions is that of the whole message, the
    /// others only of what follows escape sequences.
    fn stated_charset(&self, unstated: Charset) -> Result<Charset, Flaw> {
        let field = self.header().field(18);
        match field.first().raw() {
            // A byte order mark states it, too.
            b"" | b"\"\"" if self.bytes.starts_with(charset::MARK) => Ok(Charset::Utf8),
            b"" | b"\"\"" => Ok(unstated),
            label => {
                let label = str::from_utf8(label).unwrap_or("\u{fffd}");
                Charset::named(label.trim()).map_err(|reason| Flaw::new(reason, field.place()))
            }
        }
    }
}

impl<'m> Segment<'m> {
    /// Its name.
    pub fn name(&self) -> Name {
        self.span.name
    }

    /// All of it but the terminator, as it came.
    pub fn raw(&self) -> &'m [u8] {
        &self.message.bytes[self.span.start..self.span.end]
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place::segment(self.span.name, self.span.occurrence, self.span.start)
    }

    /// The field of this number, from 1 on; an absent one if the segment ends before it. In MSH and
    /// the headers of batches the field separator itself is field 1.
    pub fn field(&self, number: u32) -> Element<'m> {
        let place = Place { field: number, repetition: 0, ..self.place() };
        let raw = self.raw();
        let separator = self.message.dialect.delimiters.field;
        let index = if self.has_own_delimiters() { number.checked_sub(1) } else { Some(number) };
        if index == Some(0) {
            return Element::field(
                &self.message.dialect,
                &raw[3..4],
                Place { byte: place.byte + 3, ..place },
            );
        }
        let found = index.and_then(|index| raw.split(|byte| *byte == separator).nth(index as usize));
        // Past the end there is nothing, and that is where it would stand.
        let found = found.unwrap_or(&raw[raw.len()..]);
        let byte = place.byte + (found.as_ptr().addr() - raw.as_ptr().addr());
        Element::field(&self.message.dialect, found, Place { byte, ..place })
    }

    /// How many fields it has.
    pub fn fields(&self) -> usize {
        let separators =
            self.raw().iter().filter(|byte| **byte == self.message.dialect.delimiters.field).count();
        separators + usize::from(self.has_own_delimiters())
    }

    fn has_own_delimiters(&self) -> bool {
        self.span.name == Name::MSH
    }
}

/// Where the header begins.
fn start(bytes: &[u8]) -> Result<usize, Flaw> {
    if charset::is_wide(bytes) {
        return Err(Flaw::new(Reason::WideCharset, Place::byte(0)));
    }
    let start = begin(bytes);
    match bytes[start..].starts_with(b"MSH") {
        true => Ok(start),
        false => Err(Flaw::new(Reason::NoHeader, Place::byte(start))),
    }
}

/// Where something is said for the first time: behind a byte order mark and blank lines.
pub(super) fn begin(bytes: &[u8]) -> usize {
    let mark = if bytes.starts_with(charset::MARK) { charset::MARK.len() } else { 0 };
    mark + bytes[mark..].iter().take_while(|byte| is_blank(**byte) || is_end(**byte)).count()
}

/// The name of the segment that a line is: behind it stands a field separator, or nothing.
fn name(line: &[u8], separator: u8) -> Option<Name> {
    Name::read(line).filter(|_| line.get(3).is_none_or(|byte| *byte == separator))
}

fn check(
    span: Span,
    line: &[u8],
    delimiters: &Delimiters,
    bounds: &Bounds,
    before: usize,
) -> Result<(), Flaw> {
    let flaw = |reason| Err(Flaw::new(reason, Place::segment(span.name, span.occurrence, span.start)));
    if span.name == Name::MSH && before > 0 {
        return flaw(Reason::SecondHeader);
    }
    if Name::BATCH.contains(&span.name) {
        return flaw(Reason::SegmentOrder);
    }
    if before == bounds.segments_max {
        return flaw(Reason::TooManySegments { max: bounds.segments_max });
    }
    if line.iter().filter(|byte| **byte == delimiters.field).count() > bounds.fields_max {
        return flaw(Reason::TooManyFields { max: bounds.fields_max });
    }
    Ok(())
}

/// The place of what follows a segment.
fn place_after(last: Option<&Span>, byte: usize) -> Place {
    let after = |last: &Span| Place { byte, ..Place::segment(last.name, last.occurrence, byte) };
    last.map_or_else(|| Place::byte(byte), after)
}

/// Whether it ends a line.
pub(super) fn is_end(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

/// What may stand on a line of its own and says nothing; 0x1A ends files of another time.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0 | 0x1a)
}

/// The lines of a message, without what ends them.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Whether segments end with LF alone. Else LF ends one only where another begins.
    by_line_feed: bool,
    separator: Option<u8>,
    /// From where on there is nothing but blank lines.
    blank_from: usize,
}

impl<'b> Lines<'b> {
    fn new(bytes: &'b [u8], start: usize) -> Self {
        let by_line_feed = bytes[start..].iter().find(|byte| is_end(**byte)) == Some(&b'\n');
        let last = bytes.iter().rposition(|byte| !is_end(*byte) && !is_blank(*byte));
        let blank_from = last.map_or(0, |last| last + 1);
        Self { bytes, at: start, by_line_feed, separator: bytes.get(start + 3).copied(), blank_from }
    }

    fn first_end(&self) -> usize {
        self.end(self.at)
    }

    /// Where the line ends that begins here.
    fn end(&self, from: usize) -> usize {
        let ends = |at: &usize| match self.bytes[*at] {
            b'\r' => true,
            b'\n' => self.by_line_feed || self.is_end_of_segment(*at + 1),
            _ => false,
        };
        (from..self.bytes.len()).find(ends).unwrap_or(self.bytes.len())
    }

    /// Whether a segment begins here, or nothing follows any more.
    fn is_end_of_segment(&self, at: usize) -> bool {
        let rest = &self.bytes[at..];
        at >= self.blank_from || Name::read(rest).is_some() && rest.get(3).copied() == self.separator
    }
}

impl Iterator for Lines<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        let end = self.end(start);
        // LF right behind CR belongs to it.
        let is_pair = self.bytes[end..].starts_with(b"\r\n");
        self.at = end + if is_pair { 2 } else { 1 };
        Some((start, end))
    }
}

#[cfg(test)]
mod tests;
