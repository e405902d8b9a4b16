//! Several messages in one piece: batches and files (HL7 v2.5.1, section 2.10.3), or one behind the
//! other.
//!
//! A message goes from its MSH to the next one, or to a header or trailer of a batch. What stands
//! before the first is told, and so is a trailer that counts otherwise than we do: a batch that was
//! cut off is not taken for a whole one.

use std::fmt;

use bytes::Bytes;

use super::flaw::{Flaw, Reason};
use super::message::{begin, is_blank, is_end};
use super::place::{Name, Place};

/// What a piece consists of.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// A message, as it came.
    Message(Bytes),
    /// Something else, and why it is none.
    Flaw(Flaw),
}

/// What a message says is shown nowhere.
impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::Flaw(flaw) => write!(f, "Flaw({flaw})"),
        }
    }
}

/// Takes a piece apart. One without any header is one part, so that its reader can say why.
pub fn split(piece: &Bytes) -> Vec<Part> {
    let mut at = begin(piece);
    if at == piece.len() {
        return Vec::new();
    }
    if !piece[at..].split(|byte| is_end(*byte)).any(|line| header(line).is_some()) {
        return vec![Part::Message(piece.clone())];
    }
    let mut reading = Reading { piece, parts: Vec::new(), begun: None, stray: None, messages: 0, batches: 0 };
    // What is blank, or a byte order mark, belongs to the line that it stands before.
    let mut start = 0;
    while at < piece.len() {
        let end = piece[at..].iter().position(|byte| is_end(*byte));
        let end = end.map_or(piece.len(), |end| at + end + 1);
        reading.line(start, at, end);
        (start, at) = (end, end);
    }
    reading.end(piece.len());
    reading.parts
}

struct Reading<'p> {
    piece: &'p Bytes,
    parts: Vec<Part>,
    /// Where the message began that is not yet at its end.
    begun: Option<usize>,
    /// Where something began that belongs to no message.
    stray: Option<usize>,
    /// In this batch so far.
    messages: u64,
    batches: u64,
}

impl Reading<'_> {
    /// Takes a line, and what is blank before it from `start` on.
    fn line(&mut self, start: usize, at: usize, end: usize) {
        let line = self.piece[at..end].trim_ascii_end();
        match header(line) {
            Some(Name::MSH) => {
                self.end(start);
                (self.begun, self.messages) = (Some(start), self.messages + 1);
            }
            Some(name) => {
                self.end(start);
                self.envelope(name, line, at);
            }
            None if self.begun.is_none() && !line.iter().all(|byte| is_blank(*byte)) => {
                self.stray.get_or_insert(at);
            }
            None => {}
        }
    }

    /// Ends what was begun.
    fn end(&mut self, at: usize) {
        if let Some(start) = self.begun.take() {
            self.parts.push(Part::Message(self.piece.slice(start..at)));
        }
        if let Some(start) = self.stray.take() {
            self.parts.push(Part::Flaw(Flaw::new(Reason::NoHeader, Place::byte(start))));
        }
    }

    /// A header or trailer of a batch or of a file.
    fn envelope(&mut self, name: Name, line: &[u8], start: usize) {
        let [_, batch_header, batch_trailer, file_trailer] = Name::BATCH;
        let counted = match name {
            _ if name == batch_header => {
                (self.messages, self.batches) = (0, self.batches + 1);
                return;
            }
            _ if name == batch_trailer => std::mem::take(&mut self.messages),
            _ if name == file_trailer => std::mem::take(&mut self.batches),
            _ => return,
        };
        let field = line.get(3).and_then(|separator| line.split(|byte| byte == separator).nth(1));
        let said: Option<u64> = field.and_then(|field| str::from_utf8(field).ok()?.trim().parse().ok());
        // A file need not have batches, and some senders count its messages.
        let is_wrong = said.is_some_and(|said| said != counted) && !(name == file_trailer && counted == 0);
        if is_wrong {
            let place = Place { field: 1, ..Place::segment(name, 1, start) };
            self.parts.push(Part::Flaw(Flaw::new(Reason::BatchCount, place)));
        }
    }
}

/// Of which header or trailer a line is: behind the name stands a separator, or nothing.
fn header(line: &[u8]) -> Option<Name> {
    let name = Name::read(line).filter(|_| line.get(3).is_none_or(u8::is_ascii_punctuation));
    name.filter(|name| *name == Name::MSH || Name::BATCH.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(piece: &str) -> Vec<Part> {
        split(&Bytes::copy_from_slice(piece.as_bytes()))
    }

    fn message(text: &str) -> Part {
        Part::Message(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn reasons(parts: &[Part]) -> Vec<Reason> {
        let flaw = |part: &Part| match part {
            Part::Flaw(flaw) => Some(flaw.reason),
            Part::Message(_) => None,
        };
        parts.iter().filter_map(flaw).collect()
    }

    #[test]
    fn messages_one_behind_the_other() {
        let two = [message("MSH|^~\\&|1\rPID|1\r"), message("MSH|^~\\&|2\r")];
        assert_eq!(parts("MSH|^~\\&|1\rPID|1\rMSH|^~\\&|2\r"), two);
        for one in ["\n\nMSH|^~\\&|1\n\n", "\u{feff}MSH|^~\\&|1\n", "\u{feff}\r\nMSH|^~\\&|1\n"] {
            assert_eq!(parts(one), [message(one)]);
        }
        assert_eq!(parts(" \r\n"), []);
    }

    #[test]
    fn a_batch_in_a_file() {
        let piece = "FHS|^~\\&|A\rBHS|^~\\&|A\rMSH|^~\\&|1\rMSH|^~\\&|2\rBTS|2\rFTS|1\r";
        assert_eq!(parts(piece), [message("MSH|^~\\&|1\r"), message("MSH|^~\\&|2\r")]);
        // FTS counts messages where there are no batches, or counts nothing.
        assert_eq!(reasons(&parts("FHS|^~\\&\rMSH|^~\\&|1\rFTS|1\r")), []);
        assert_eq!(reasons(&parts("BHS|^~\\&\rMSH|^~\\&|1\rBTS\rFTS|\r")), []);
    }

    #[test]
    fn a_batch_that_was_cut_off_is_told() {
        assert_eq!(reasons(&parts("BHS|^~\\&\rMSH|^~\\&|1\rBTS|2\r")), [Reason::BatchCount]);
        assert_eq!(reasons(&parts("BHS|^~\\&\rBTS|0\rFTS|2\r")), [Reason::BatchCount]);
    }

    #[test]
    fn what_belongs_to_no_message_is_told() {
        let told = parts("PID|1\rPV1|1\rMSH|^~\\&|1\rBTS|1\rZZZ\r");
        assert_eq!(reasons(&told), [Reason::NoHeader, Reason::NoHeader]);
        assert_eq!(told.len(), 3);
        // Where nothing is a message, whoever reads it says why.
        for none in ["hello", "MSHello", "M\0S\0H\0"] {
            assert_eq!(parts(none), [message(none)]);
        }
    }
}
