//! The characters that divide a message, as its own MSH says them (HL7 v2.5.1, section 2.5.4).
//!
//! MSH-2 may end early: what is not named is not used. No two are the same, and none is a letter, a
//! digit, a space, a control character or a byte over 127, so that none can stand within the
//! character of a text.

use super::flaw::{Flaw, Reason};
use super::place::{Name, Place};

/// Most characters of MSH-2: component, repetition, escape, subcomponent, truncation.
const ENCODING_MAX: usize = 5;

/// What divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiters {
    /// Fields.
    pub field: u8,
    /// Components of a field.
    pub component: u8,
    /// Repetitions of a field.
    pub repetition: Option<u8>,
    /// Begins and ends an escape sequence.
    pub escape: Option<u8>,
    /// Subcomponents of a component.
    pub subcomponent: Option<u8>,
    /// Says that a value was shortened; from version 2.7 on.
    pub truncation: Option<u8>,
}

impl Delimiters {
    /// Those that HL7 suggests.
    pub const USUAL: Self = Self {
        field: b'|',
        component: b'^',
        repetition: Some(b'~'),
        escape: Some(b'\\'),
        subcomponent: Some(b'&'),
        truncation: None,
    };

    /// Reads them from a line that begins with the name of a header segment.
    ///
    /// # Errors
    /// [`Reason::Delimiters`] if they are not there or not different; `byte` is where the line is.
    pub fn read(line: &[u8], byte: usize) -> Result<Self, Flaw> {
        let segment = Name::read(line).unwrap_or(Name::MSH);
        let flaw = |field: u32, at: usize| {
            let place = Place { field, ..Place::segment(segment, 1, byte + at) };
            Flaw::new(Reason::Delimiters, place)
        };
        let field = *line.get(3).filter(|byte| divides(**byte)).ok_or_else(|| flaw(1, 3))?;
        let rest = &line[4..];
        let named = rest.iter().position(|byte| *byte == field).unwrap_or(rest.len());
        let named = &rest[..named];
        let all = [&[field], named].concat();
        let is_distinct = |at: usize| !all[..at].contains(&all[at]);
        let is_right = (1..=ENCODING_MAX).contains(&named.len())
            && named.iter().all(|byte| divides(*byte))
            && (0..all.len()).all(is_distinct);
        if !is_right {
            return Err(flaw(2, 4));
        }
        let nth = |n: usize| named.get(n).copied();
        Ok(Self {
            field,
            component: named[0],
            repetition: nth(1),
            escape: nth(2),
            subcomponent: nth(3),
            truncation: nth(4),
        })
    }

    /// As they stand in MSH-2.
    pub fn encoding(&self) -> impl Iterator<Item = u8> {
        let optional = [self.repetition, self.escape, self.subcomponent, self.truncation];
        std::iter::once(self.component).chain(optional.into_iter().map_while(|byte| byte))
    }
}

fn divides(byte: u8) -> bool {
    byte.is_ascii_punctuation()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Delimiters, Flaw> {
        Delimiters::read(line.as_bytes(), 0)
    }

    #[test]
    fn the_usual_ones_and_others() {
        assert_eq!(read("MSH|^~\\&|A"), Ok(Delimiters::USUAL));
        let all = read("MSH$%*!/#$A").expect("five");
        assert_eq!((all.field, all.component, all.truncation), (b'$', b'%', Some(b'#')));
        assert_eq!(all.encoding().collect::<Vec<_>>(), b"%*!/#");
        let few = read("MSH|^~").expect("two, and the line ends");
        assert_eq!((few.escape, few.subcomponent), (None, None));
        assert_eq!(few.encoding().collect::<Vec<_>>(), b"^~");
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        for line in ["MSH", "MSH|", "MSH||A", "MSH|^~^&|", "MSH|^|~|", "MSHA^~\\&A", "MSH|^~\\&#!|", "MSH|a|"]
        {
            let refused = read(line).err().map(|flaw| flaw.reason);
            let is_right = line == "MSH|^|~|"; // one component separator, and a field
            assert_eq!(refused, (!is_right).then_some(Reason::Delimiters), "{line}");
        }
        assert!(Delimiters::read(b"MSH|^\xe9\\&|", 0).is_err());
        assert!(Delimiters::read(b"MSH\x0b^~\\&\x0b", 0).is_err());
    }
}
