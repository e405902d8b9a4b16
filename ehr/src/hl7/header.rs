//! MSH: what a message is, who sent it, and which answers its sender wants.
//!
//! What is needed to take a message is required; the rest is taken as it comes. The type and event
//! of a message are kept as three-letter names or not at all, so that they may be counted and
//! shown.

use super::flaw::{Flaw, Reason};
use super::message::Message;
use super::place::Name;
use super::time::Stamp;
use crate::given::Given;
use crate::record::Text;

/// What MSH says beside type and event.
#[derive(Clone, Debug)]
pub struct Header {
    /// MSH-3: the application that sends.
    pub application: Option<Text>,
    /// MSH-4: where it stands.
    pub facility: Option<Text>,
    /// MSH-7: when it was sent.
    pub sent: Option<Stamp>,
    /// MSH-10: the sender's id of this message.
    pub control_id: Text,
    /// MSH-11: whether it is meant.
    pub processing: Processing,
}

/// Type and event of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// `ADT`, `ORU`.
    pub message: Name,
    /// `A01`, `R01`; `None`: there is none, or it is none of HL7's.
    pub event: Option<Name>,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.message)?;
        self.event.map_or(Ok(()), |event| write!(f, "^{event}"))
    }
}

/// What MSH-11 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Processing {
    /// It is meant; also where the field is empty.
    Production,
    /// To try something out.
    Training,
    /// To look for an error.
    Debugging,
}

impl Header {
    /// Reads it.
    ///
    /// # Errors
    /// [`Flaw`] if the control id is missing, or this is not HL7 version 2.
    pub fn read(message: &Message) -> Result<Self, Flaw> {
        let header = message.header();
        version(message)?;
        let control_id = header.field(10);
        let text = |number| Ok(header.field(number).named()?.value().map(Text::from));
        Ok(Self {
            application: text(3)?,
            facility: text(4)?,
            sent: header.field(7).time()?.value(),
            control_id: control_id.named()?.value().map(Text::from).ok_or_else(|| control_id.missing())?,
            processing: processing(message)?,
        })
    }
}

/// MSH-9; the event of messages of before version 2.2 stands in EVN-1.
///
/// # Errors
/// [`Flaw`] if there is no type, or it is no name.
pub fn kind(message: &Message) -> Result<Kind, Flaw> {
    let field = message.header().field(9);
    let name = |text: Given<String>| text.value().and_then(|text| exactly(&text));
    let of = field.named()?;
    if of.is_absent() {
        return Err(field.missing());
    }
    let of = name(of).ok_or_else(|| field.flaw(Reason::MessageType))?;
    let mut event = field.component(2).named()?;
    if event.is_absent() {
        let evn = message.first(Name::EVN).map(|segment| segment.field(1));
        event = evn.map_or(Ok(Given::Absent), |element| element.named())?;
    }
    Ok(Kind { message: of, event: name(event) })
}

/// A name that is all there is.
fn exactly(text: &str) -> Option<Name> {
    Name::read(text.as_bytes()).filter(|_| text.len() == 3)
}

/// MSH-11; empty, it is meant.
fn processing(message: &Message) -> Result<Processing, Flaw> {
    let field = message.header().field(11);
    match field.named()?.value().as_deref() {
        None | Some("P") => Ok(Processing::Production),
        Some("T") => Ok(Processing::Training),
        Some("D") => Ok(Processing::Debugging),
        Some(_) => Err(field.flaw(Reason::ProcessingId)),
    }
}

/// MSH-12: any version 2, or none.
fn version(message: &Message) -> Result<(), Flaw> {
    let field = message.header().field(12);
    let is_two = |version: &str| version == "2" || version.starts_with("2.");
    match field.named()?.value() {
        Some(version) if !is_two(&version) => Err(field.flaw(Reason::VersionId)),
        _ => Ok(()),
    }
}
