//! MLLP: messages in a stream of bytes, each between VT and FS CR.
//!
//! Pure: bytes go in as they arrive, blocks come out, and how the bytes were cut on their way makes
//! no difference. What is common and odd is taken: no VT before `MSH`, LF or another FS where CR
//! should be, FS alone, doubled VT, blanks and keep-alive bytes between messages, several in one
//! packet. What could be a cut-off message is never taken for a whole one. At each moment at most
//! one message and what was put in is held; one that is too long is passed over, and told. Each
//! byte is looked at a bounded number of times.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Begins a message.
pub const VT: u8 = 0x0b;
/// Ends a message, with CR behind it.
pub const FS: u8 = 0x1c;
const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// How much of a message that is too long is kept, for its header.
const HEAD_BYTES: usize = 2048;

/// How much a stream may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of a message.
    pub message_bytes_max: usize,
    /// Most bytes of a message that is passed over since it is too long.
    pub passed_bytes_max: usize,
    /// Most bytes between messages that are neither blank nor a message.
    pub stray_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { message_bytes_max: 1 << 20, passed_bytes_max: 1 << 28, stray_bytes_max: 1 << 16 }
    }
}

/// What stands in a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum Block {
    /// A message.
    Message(Bytes),
    /// The beginning of a message whose end never came: another began, or the stream ended.
    CutOff(Bytes),
    /// A message that was too long: its beginning, and how long it was.
    TooLong {
        /// Enough for its header.
        head: Bytes,
        /// All of it, in bytes.
        bytes: usize,
    },
    /// Bytes between messages that are none, and no blanks: so many were passed over.
    Stray(usize),
}

/// What a message says is shown nowhere.
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::CutOff(bytes) => write!(f, "CutOff({} bytes)", bytes.len()),
            Self::TooLong { bytes, .. } => write!(f, "TooLong({bytes} bytes)"),
            Self::Stray(bytes) => write!(f, "Stray({bytes} bytes)"),
        }
    }
}

/// The stream cannot go on: what comes is not MLLP. The sender must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// Neither VT nor a message in a long while.
    #[error(
        "more than {0} bytes without a message: is this an HL7 sender? a message begins with the byte 0B"
    )]
    NoMessage(usize),
    /// A message that is too long went on and on.
    #[error("a message of more than {0} bytes: its end (1C 0D) must come before that")]
    Endless(usize),
}

/// Finds blocks.
pub struct Decoder {
    bounds: Bounds,
    buffer: BytesMut,
    state: State,
    /// Up to where the message at the front of the buffer was looked through.
    looked: usize,
    /// Bytes passed over that were no blanks, since the last message.
    stray: usize,
    /// Whether what comes is behind something that is neither blank nor a message.
    in_stray: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between messages.
    Between,
    /// Within one, which is at the front of the buffer.
    Within,
    /// Within one that is too long: so many bytes are gone already, and its head is kept.
    Passing { gone: usize },
}

/// What follows FS.
enum Behind {
    /// The message ends here.
    End,
    /// The message goes on: this FS is part of it.
    More,
    /// That cannot be told yet.
    Unknown,
}

impl Decoder {
    /// At the beginning of a stream.
    pub fn new(bounds: Bounds) -> Self {
        let (buffer, state) = (BytesMut::new(), State::Between);
        Self { bounds, buffer, state, looked: 0, stray: 0, in_stray: false }
    }

    /// Where bytes that arrive are to be put.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.state != State::Between
    }

    /// The next of them; `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`Broken`]; the stream is to be closed.
    pub fn next_block(&mut self) -> Result<Option<Block>, Broken> {
        loop {
            match self.state {
                State::Between => {
                    if let Some(block) = self.between()? {
                        return Ok(Some(block));
                    }
                    if self.state == State::Between {
                        return Ok(None);
                    }
                }
                State::Within => return self.within(),
                State::Passing { gone } => return self.passing(gone),
            }
        }
    }

    /// Nothing has come for a while. A message whose FS is there, and nothing behind it, ends: so a
    /// sender that leaves out the CR gets its answer.
    pub fn pause(&mut self) -> Option<Block> {
        if !self.is_within() || self.buffer.last() != Some(&FS) {
            return None;
        }
        Some(self.take(self.buffer.len() - 1, true))
    }

    /// The stream has ended: what is left of it.
    pub fn finish(&mut self) -> Option<Block> {
        if let Some(block) = self.pause() {
            return Some(block);
        }
        if self.is_within() {
            return Some(self.take(self.buffer.len(), false));
        }
        let left = self.buffer.iter().filter(|byte| !is_blank(**byte)).count();
        self.buffer.clear();
        let stray = std::mem::take(&mut self.stray) + left;
        (stray > 0).then_some(Block::Stray(stray))
    }

    /// Passes over what stands between messages, up to where one begins.
    fn between(&mut self) -> Result<Option<Block>, Broken> {
        let mut at = 0;
        while at < self.buffer.len() {
            let byte = self.buffer[at];
            if byte == VT {
                at += 1;
                self.begin();
                break;
            }
            if is_blank(byte) {
                self.in_stray = false;
            } else if self.in_stray {
                self.stray += 1;
            } else {
                match begins_bare(&self.buffer[at..]) {
                    Some(true) => {
                        self.begin();
                        break;
                    }
                    Some(false) => {
                        self.in_stray = true;
                        self.stray += 1;
                    }
                    None => break,
                }
            }
            at += 1;
        }
        self.buffer.advance(at);
        if self.stray > self.bounds.stray_bytes_max {
            return Err(Broken::NoMessage(self.bounds.stray_bytes_max));
        }
        let has_begun = self.state == State::Within && self.stray > 0;
        Ok(has_begun.then(|| Block::Stray(std::mem::take(&mut self.stray))))
    }

    fn begin(&mut self) {
        (self.state, self.looked, self.in_stray) = (State::Within, 0, false);
    }

    /// Looks for the end of the message at the front of the buffer.
    fn within(&mut self) -> Result<Option<Block>, Broken> {
        // Doubled VT before the message.
        while self.state == State::Within && self.looked == 0 && self.buffer.first() == Some(&VT) {
            self.buffer.advance(1);
        }
        match self.look() {
            // Another one begins: this one never ended.
            Some((at, VT)) => self.ended(at, false).map(Some),
            Some((at, _)) => self.ended(at, true).map(Some),
            None if self.buffer.len() > self.bounds.message_bytes_max + BEHIND_BYTES => {
                self.state = State::Passing { gone: 0 };
                self.passing(0)
            }
            None => Ok(None),
        }
    }

    /// Drops what a message that is too long has brought, but for its head.
    fn passing(&mut self, gone: usize) -> Result<Option<Block>, Broken> {
        if let Some((at, byte)) = self.look() {
            return self.ended(at, byte == FS).map(Some);
        }
        // What cannot be told yet stays.
        let keep = HEAD_BYTES + (self.buffer.len() - self.looked);
        let excess = self.buffer.len().saturating_sub(keep);
        if excess > 0 {
            let head = self.buffer.split_to(HEAD_BYTES);
            self.buffer.advance(excess);
            let rest = std::mem::replace(&mut self.buffer, head);
            self.buffer.extend_from_slice(&rest);
            self.looked -= excess;
        }
        let gone = gone + excess;
        self.state = State::Passing { gone };
        self.check(gone + self.looked)?;
        Ok(None)
    }

    fn check(&self, message_bytes: usize) -> Result<(), Broken> {
        let max = self.bounds.passed_bytes_max.max(self.bounds.message_bytes_max);
        if message_bytes > max { Err(Broken::Endless(max)) } else { Ok(()) }
    }

    /// Looks on for what ends a message: where it is, and whether it is FS or VT.
    fn look(&mut self) -> Option<(usize, u8)> {
        loop {
            let rest = &self.buffer[self.looked..];
            let Some(found) = rest.iter().position(|byte| matches!(*byte, FS | VT)) else {
                self.looked = self.buffer.len();
                return None;
            };
            let at = self.looked + found;
            if self.buffer[at] == VT {
                return Some((at, VT));
            }
            match behind(&self.buffer[at + 1..]) {
                Behind::End => return Some((at, FS)),
                Behind::More => self.looked = at + 1,
                Behind::Unknown => {
                    self.looked = at;
                    return None;
                }
            }
        }
    }

    /// Takes the message that ends here off the buffer: with FS, or since another one begins.
    fn ended(&mut self, at: usize, by_end: bool) -> Result<Block, Broken> {
        let gone = if let State::Passing { gone } = self.state { gone } else { 0 };
        self.check(gone + at)?;
        Ok(self.take(at, by_end))
    }

    fn take(&mut self, at: usize, by_end: bool) -> Block {
        let gone = if let State::Passing { gone } = self.state { gone } else { 0 };
        let mut content = self.buffer.split_to(at);
        if by_end && self.buffer.first() == Some(&FS) {
            self.buffer.advance(1);
        }
        // Without an end it is VT that is at the front now, or nothing.
        let is_next_begun = !by_end && !self.buffer.is_empty();
        self.state = if is_next_begun { State::Within } else { State::Between };
        self.looked = 0;
        let bytes = gone + at;
        if bytes > self.bounds.message_bytes_max {
            content.truncate(HEAD_BYTES);
            return Block::TooLong { head: content.freeze(), bytes };
        }
        if by_end { Block::Message(content.freeze()) } else { Block::CutOff(content.freeze()) }
    }
}

/// Most bytes behind FS that are looked at.
const BEHIND_BYTES: usize = 4;

/// What the bytes behind an FS say of it. In HL7 no FS stands within a message, but one that does
/// is kept there rather than taken for an end.
fn behind(rest: &[u8]) -> Behind {
    match rest.first() {
        None => Behind::Unknown,
        Some(&(CR | LF | FS | VT | 0)) => Behind::End,
        Some(_) => match begins_bare(rest) {
            Some(true) => Behind::End,
            Some(false) => Behind::More,
            None => Behind::Unknown,
        },
    }
}

/// Whether a message or batch begins here without VT; `None`: that cannot be told yet.
fn begins_bare(bytes: &[u8]) -> Option<bool> {
    const HEADERS: [&[u8]; 3] = [b"MSH", b"FHS", b"BHS"];
    let given = &bytes[..bytes.len().min(3)];
    if !HEADERS.iter().any(|header| header.starts_with(given)) {
        return Some(false);
    }
    bytes.get(3).map(u8::is_ascii_punctuation)
}

/// Bytes that say nothing between messages: ends of lines and of messages, blanks, keep-alives.
fn is_blank(byte: u8) -> bool {
    matches!(byte, CR | LF | FS | b' ' | b'\t' | 0)
}

/// Appends a message as a block.
pub fn encode(message: &[u8], out: &mut BytesMut) {
    out.reserve(message.len() + 3);
    out.extend_from_slice(&[VT]);
    out.extend_from_slice(message);
    out.extend_from_slice(&[FS, CR]);
}

#[cfg(test)]
mod tests;
