//! Answers: ACK with MSA and, where something is wrong, ERR (HL7 v2.5.1, sections 2.9 and 2.15.8).
//!
//! In original mode a message gets one answer: AA it is done, AE a retry may help, AR it never
//! will. In enhanced mode, which a sender asks for by MSH-15 or MSH-16, acceptance (CA, CE, CR) and
//! outcome are answered apart, and each only where it is wanted; both are known at once here, since
//! nothing is accepted that is not done. Our MSH has sender and receiver swapped, and what the
//! sender wrote stands in it byte for byte, in the sender's delimiters, also if its message cannot
//! be read any further.

use super::delimiters::Delimiters;
use super::escape;
use super::flaw::{Code, Flaw};
use super::place::Place;
use super::time;

/// Longest field of a sender's MSH that is sent back; a longer one is left out.
const ECHO_BYTES_MAX: usize = 512;
/// Longest text of an answer.
const TEXT_BYTES_MAX: usize = 250;
/// What a sender that does not say its version gets.
const VERSION: &str = "2.5.1";

/// What a sender's MSH says that its answers need: as bytes, whatever the rest of the message is.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    delimiters: Delimiters,
    /// From MSH-3 on.
    fields: Vec<Vec<u8>>,
    answering: Answering,
}

/// In which mode a sender is answered, as its site sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answering {
    /// As MSH-15 and MSH-16 of each message ask for.
    #[default]
    Asked,
    /// In original mode, whatever they say.
    Original,
    /// As they ask for; where they say nothing, whether it was accepted, and no more.
    Enhanced,
}

impl Answering {
    /// By its name; `None`: there is none of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "asked" => Self::Asked,
            "original" => Self::Original,
            "enhanced" => Self::Enhanced,
            _ => return None,
        })
    }
}

/// Which answers a sender wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One, always.
    Original,
    /// Two, each on its own terms.
    Enhanced {
        /// Whether it was accepted.
        accept: Wanted,
        /// What came of it.
        outcome: Wanted,
    },
}

/// When an answer is wanted (HL7 table 0155).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Always.
    Always,
    /// Never.
    Never,
    /// If something is wrong.
    Error,
    /// If nothing is.
    Success,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done, and durable.
    Applied,
    /// It is not done; it may be if it is sent again.
    Retry(Objection),
    /// It is not done and never will be.
    Refused(Objection),
}

impl Reply {
    /// To be sent again, though nothing is wrong with the message.
    pub fn retry(text: &str) -> Self {
        Self::Retry(Objection { code: Code::Internal, at: None, text: text.to_owned() })
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// By HL7's numbers.
    pub code: Code,
    /// Where in the message.
    pub at: Option<Place>,
    /// In words, without anything that the message says.
    pub text: String,
}

impl From<&Flaw> for Objection {
    fn from(flaw: &Flaw) -> Self {
        Self { code: flaw.reason.code(), at: Some(flaw.at), text: flaw.to_string() }
    }
}

/// What our own MSH needs: ids that never come twice, and the time.
#[derive(Clone, Debug)]
pub struct Stamped {
    /// Up to 20 characters, unique for ever; a second answer to the same message gets `-2`.
    pub control_id: String,
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// How far local time is ahead of UTC.
    pub offset_s: i32,
}

impl Envelope {
    /// Reads it from the beginning of a message, or of what should have been one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let at = bytes.windows(3).take(ECHO_BYTES_MAX).position(|window| window == b"MSH")?;
        let line = &bytes[at..];
        let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = &line[..end.unwrap_or(line.len())];
        let delimiters = Delimiters::read(line, 0).ok()?;
        let fields = line.split(|byte| *byte == delimiters.field).skip(2).take(16);
        let kept = fields.map(|field| if field.len() > ECHO_BYTES_MAX { Vec::new() } else { field.to_vec() });
        Some(Self { delimiters, fields: kept.collect(), answering: Answering::Asked })
    }

    /// What is answered where nothing could be read.
    pub fn unknown() -> Self {
        Self { delimiters: Delimiters::USUAL, fields: Vec::new(), answering: Answering::Asked }
    }

    /// The same, answered as the sender's site sets it.
    #[must_use]
    pub fn answered(self, answering: Answering) -> Self {
        Self { answering, ..self }
    }

    /// Which answers are wanted. A word that is not in the table is taken as always: who asks for
    /// answers in words of their own gets them.
    pub fn mode(&self) -> Mode {
        let wanted = |field: &[u8]| match field {
            b"" | b"\"\"" => None,
            b"NE" => Some(Wanted::Never),
            b"ER" => Some(Wanted::Error),
            b"SU" => Some(Wanted::Success),
            _ => Some(Wanted::Always),
        };
        if self.answering == Answering::Original {
            return Mode::Original;
        }
        match (wanted(self.field(15)), wanted(self.field(16))) {
            (None, None) if self.answering == Answering::Enhanced => {
                Mode::Enhanced { accept: Wanted::Always, outcome: Wanted::Never }
            }
            (None, None) => Mode::Original,
            (accept, outcome) => Mode::Enhanced {
                accept: accept.unwrap_or(Wanted::Never),
                outcome: outcome.unwrap_or(Wanted::Never),
            },
        }
    }

    /// The answers that are due: none, one or two, in this order on the wire.
    pub fn answers(&self, reply: &Reply, stamped: &Stamped) -> Vec<Vec<u8>> {
        let is_good = *reply == Reply::Applied;
        let due = |wanted: Wanted| match wanted {
            Wanted::Always => true,
            Wanted::Never => false,
            Wanted::Error => !is_good,
            Wanted::Success => is_good,
        };
        let (accept, outcome) = match self.mode() {
            Mode::Original => {
                return vec![self.answer(code(reply, 'A'), reply, &stamped.control_id, stamped)];
            }
            Mode::Enhanced { accept, outcome } => (due(accept), due(outcome)),
        };
        let mut answers = Vec::new();
        if accept {
            answers.push(self.answer(code(reply, 'C'), reply, &stamped.control_id, stamped));
        }
        if outcome {
            let control_id =
                if accept { format!("{}-2", stamped.control_id) } else { stamped.control_id.clone() };
            answers.push(self.answer(code(reply, 'A'), reply, &control_id, stamped));
        }
        answers
    }

    /// One answer.
    fn answer(&self, code: &str, reply: &Reply, control_id: &str, stamped: &Stamped) -> Vec<u8> {
        let field = self.delimiters.field;
        let mut out = Vec::with_capacity(256);
        let time = time::write(stamped.now_ms, stamped.offset_s);
        let kind = self.kind();
        out.extend(b"MSH");
        out.push(field);
        out.extend(self.delimiters.encoding());
        let or = |number: usize, other: &str| match self.field(number) {
            b"" => other.as_bytes().to_vec(),
            given => given.to_vec(),
        };
        let mut fields: Vec<Vec<u8>> =
            [5, 6, 3, 4].into_iter().map(|number| self.field(number).to_vec()).collect();
        fields.extend([time.into_bytes(), Vec::new(), kind, control_id.into(), or(11, "P"), or(12, VERSION)]);
        if self.field(18) != b"" || matches!(self.mode(), Mode::Enhanced { .. }) {
            // Sequence number, continuation, which answers this one wants: none; country.
            let never = if matches!(self.mode(), Mode::Enhanced { .. }) { "NE" } else { "" };
            fields.extend([vec![], vec![], never.into(), never.into(), vec![], self.field(18).to_vec()]);
        }
        for content in fields {
            out.push(field);
            out.extend(content);
        }
        out.push(b'\r');
        self.segment(&mut out, "MSA", &[code.into(), self.field(10).to_vec()]);
        if let Reply::Retry(objection) | Reply::Refused(objection) = reply {
            self.objection(&mut out, objection);
        }
        out
    }

    /// ERR as the sender's version has it.
    fn objection(&self, out: &mut Vec<u8>, objection: &Objection) {
        let text: String = objection.text.chars().take(TEXT_BYTES_MAX).collect();
        let text = escape::write(&text, &self.delimiters);
        let (number, name) = (objection.code.number().to_string(), objection.code.text());
        let place = objection.at.filter(|place| place.segment.is_some()).unwrap_or_default();
        let segment = place.segment.map_or(String::new(), |segment| segment.to_string());
        let numbers = |parts: &[u32]| {
            parts
                .iter()
                .map(|part| if *part == 0 { String::new() } else { part.to_string() })
                .collect::<Vec<_>>()
        };
        if self.is_before_2_5() {
            let sub = [number.as_str(), name, "HL70357"].map(|part| escape::write(part, &self.delimiters));
            let separator = self.delimiters.subcomponent.unwrap_or(b' ');
            let mut components = vec![segment];
            components.extend(numbers(&[place.occurrence, place.field]));
            let mut location = self.join(&components);
            location.push(self.delimiters.component);
            location.extend(sub.join(&separator));
            return self.segment(out, "ERR", &[location]);
        }
        let mut components = vec![segment];
        components.extend(numbers(&[
            place.occurrence,
            place.field,
            place.repetition,
            place.component,
            place.subcomponent,
        ]));
        while components.last().is_some_and(String::is_empty) {
            components.pop();
        }
        let location = self.join(&components);
        let code = self.join(&[number, name.to_owned(), "HL70357".to_owned()]);
        // ERR-1 is of before; ERR-4 is the severity, ERR-8 what people are to read.
        self.segment(out, "ERR", &[vec![], location, code, b"E".to_vec(), vec![], vec![], vec![], text]);
    }

    fn join(&self, components: &[String]) -> Vec<u8> {
        let written: Vec<Vec<u8>> =
            components.iter().map(|component| escape::write(component, &self.delimiters)).collect();
        written.join(&self.delimiters.component)
    }

    fn segment(&self, out: &mut Vec<u8>, name: &str, fields: &[Vec<u8>]) {
        out.extend(name.bytes());
        for content in fields {
            out.push(self.delimiters.field);
            out.extend(content);
        }
        out.push(b'\r');
    }

    /// MSH-9 of the answer: `ACK^A01^ACK`, and what older versions know of it.
    fn kind(&self) -> Vec<u8> {
        let event = self.field(9).split(|byte| *byte == self.delimiters.component).nth(1).unwrap_or_default();
        let mut kind = b"ACK".to_vec();
        if !event.is_empty() {
            kind.push(self.delimiters.component);
            kind.extend(event);
            if self.version().is_none_or(|version| version >= (2, 4)) {
                kind.push(self.delimiters.component);
                kind.extend(b"ACK");
            }
        }
        kind
    }

    fn is_before_2_5(&self) -> bool {
        self.version().is_some_and(|version| version < (2, 5))
    }

    fn version(&self) -> Option<(u8, u8)> {
        let text = self.field(12).split(|byte| *byte == self.delimiters.component).next()?;
        let mut parts = str::from_utf8(text).ok()?.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next().flatten().unwrap_or(0)))
    }

    /// A field of the sender's MSH, from 3 on.
    fn field(&self, number: usize) -> &[u8] {
        self.fields.get(number - 3).map_or(b"", Vec::as_slice)
    }
}

/// Ids and the like are the sender's own.
impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope").field("mode", &self.mode()).finish_non_exhaustive()
    }
}

fn code(reply: &Reply, sort: char) -> &'static str {
    match (reply, sort) {
        (Reply::Applied, 'C') => "CA",
        (Reply::Retry(_), 'C') => "CE",
        (Reply::Refused(_), 'C') => "CR",
        (Reply::Applied, _) => "AA",
        (Reply::Retry(_), _) => "AE",
        (Reply::Refused(_), _) => "AR",
    }
}

#[cfg(test)]
mod tests;
