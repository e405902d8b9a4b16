//! Where in a message something stands, as HL7 people say it: `PID[1]-3(2).4.1`.
//!
//! The name of a segment comes from the sender, but is three capital letters and digits and nothing
//! else; all else is numbers. So a place may stand in logs and answers.

use std::fmt;

/// The name of a segment: a capital letter, then two capital letters or digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name([u8; 3]);

impl Name {
    /// Message header.
    pub const MSH: Self = Self(*b"MSH");
    /// Event type.
    pub const EVN: Self = Self(*b"EVN");
    /// Patient identification.
    pub const PID: Self = Self(*b"PID");
    /// Patient visit.
    pub const PV1: Self = Self(*b"PV1");
    /// Merge patient information.
    pub const MRG: Self = Self(*b"MRG");
    /// Role.
    pub const ROL: Self = Self(*b"ROL");
    /// Observation request.
    pub const OBR: Self = Self(*b"OBR");
    /// Observation.
    pub const OBX: Self = Self(*b"OBX");
    /// Notes and comments.
    pub const NTE: Self = Self(*b"NTE");
    /// File header and trailer, batch header and trailer.
    pub const BATCH: [Self; 4] = [Self(*b"FHS"), Self(*b"BHS"), Self(*b"BTS"), Self(*b"FTS")];

    /// What these bytes begin with, if that can name a segment.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let name: [u8; 3] = bytes.first_chunk().copied()?;
        let follows = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        (name[0].is_ascii_uppercase() && name[1..].iter().all(follows)).then_some(Self(name))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or("???")
    }

    /// The section of HL7 v2.5.1 that describes this segment, if it is one that is read here.
    pub fn section(self) -> Option<&'static str> {
        Some(match &self.0 {
            b"MSH" => "2.15.9",
            b"MSA" => "2.15.8",
            b"BHS" => "2.15.2",
            b"BTS" => "2.15.3",
            b"FHS" => "2.15.6",
            b"FTS" => "2.15.7",
            b"NTE" => "2.15.10",
            b"EVN" => "3.4.1",
            b"PID" => "3.4.2",
            b"PV1" => "3.4.3",
            b"MRG" => "3.4.9",
            b"OBR" => "4.5.3",
            b"OBX" => "7.4.2",
            b"ROL" => "15.4.7",
            _ => return None,
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place. Numbers count from 1; 0 means that the place is not within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which segment; `None`: none of them.
    pub segment: Option<Name>,
    /// Which of the segments of this name.
    pub occurrence: u32,
    /// Which field.
    pub field: u32,
    /// Which of the field's repetitions.
    pub repetition: u32,
    /// Which component.
    pub component: u32,
    /// Which subcomponent.
    pub subcomponent: u32,
    /// From which byte of the message on, counted from 0.
    pub byte: usize,
}

impl Place {
    /// A byte of the message.
    pub fn byte(byte: usize) -> Self {
        Self { byte, ..Self::default() }
    }

    /// A segment.
    pub fn segment(name: Name, occurrence: u32, byte: usize) -> Self {
        Self { segment: Some(name), occurrence, byte, ..Self::default() }
    }

    /// The section of HL7 v2.5.1 about this field or segment.
    pub fn section(&self) -> Option<String> {
        let section = self.segment?.section()?;
        Some(if self.field == 0 { section.to_owned() } else { format!("{section}.{}", self.field) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(segment) = self.segment else { return write!(f, "byte {}", self.byte) };
        write!(f, "{segment}")?;
        if self.occurrence > 1 {
            write!(f, "[{}]", self.occurrence)?;
        }
        if self.field > 0 {
            write!(f, "-{}", self.field)?;
        }
        if self.repetition > 1 {
            write!(f, "({})", self.repetition)?;
        }
        for part in [self.component, self.subcomponent] {
            if part > 0 {
                write!(f, ".{part}")?;
            }
        }
        write!(f, ", byte {}", self.byte)
    }
}
