//! From bytes to what they mean, by the rules of a sender.
//!
//! ADT and ORU^R01 become events; all other messages are ignored, and counted, or refused, as the
//! rules say. An acknowledgement that somebody sends us is never answered, or two systems would
//! answer each other for ever.

use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::adt::{self, Context};
use super::charset::Charset;
use super::flaw::{Flaw, Reason};
use super::header::{self, Header, Kind, Processing};
use super::message::{Bounds, Message};
use super::oru;
use super::place::Name;
use super::time::Zones;
use crate::record::Event;

/// How the messages of a sender are read.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How large they may be.
    pub bounds: Bounds,
    /// The character set of those that name none.
    pub unstated: Charset,
    /// The zone of times without one.
    pub zone: TimeZone,
    /// Whether messages for training and debugging are taken, too.
    pub takes_tests: bool,
    /// Whether messages that are not read are refused.
    pub refuses_others: bool,
    /// How far ahead of our clock an event may lie.
    pub ahead_max: Duration,
    /// Words of OBX-8 for which somebody must look at once.
    pub critical: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            unstated: Charset::Unstated,
            zone: TimeZone::UTC,
            takes_tests: false,
            refuses_others: false,
            ahead_max: Duration::from_secs(3600),
            critical: oru::CRITICAL.map(str::to_owned).to_vec(),
        }
    }
}

/// What a message came to.
#[derive(Clone, Debug)]
pub struct Read {
    /// What it is; `None`: that cannot be told.
    pub kind: Option<Kind>,
    /// What it says, or what is wrong with it.
    pub outcome: Result<Reading, Flaw>,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Reading {
    /// Something happened.
    Event(Box<Event>),
    /// Nothing that matters here.
    Ignored,
    /// That a message of ours arrived, or did not: it gets no answer.
    Acknowledgement,
}

impl Rules {
    /// Reads a message, at a time in milliseconds since 1970.
    pub fn read(&self, bytes: Bytes, now_ms: i64) -> Read {
        match Message::read(bytes, &self.bounds, self.unstated) {
            Ok(message) => {
                let kind = header::kind(&message);
                let outcome = match &kind {
                    Ok(kind) => self.interpret(*kind, &message, now_ms),
                    Err(flaw) => Err(*flaw),
                };
                Read { kind: kind.ok(), outcome }
            }
            Err(flaw) => Read { kind: None, outcome: Err(flaw) },
        }
    }

    fn interpret(&self, kind: Kind, message: &Message, now_ms: i64) -> Result<Reading, Flaw> {
        if kind.message.as_str() == "ACK" {
            return Ok(Reading::Acknowledgement);
        }
        let header = Header::read(message)?;
        if header.processing != Processing::Production && !self.takes_tests {
            return Err(message.header().field(11).flaw(Reason::ProcessingId));
        }
        let context = Context {
            zones: Zones::new(header.sent, self.zone.clone()),
            now_ms,
            ahead_ms_max: i64::try_from(self.ahead_max.as_millis()).unwrap_or(i64::MAX),
        };
        let event = match (kind.message.as_str(), kind.event.as_ref().map(Name::as_str)) {
            ("ADT", Some(_)) => match kind.event.and_then(adt::trigger) {
                Some(trigger) => adt::read(trigger, message, &header, &context)?,
                None => return self.other(Reason::EventCode, message),
            },
            ("ORU", Some("R01")) => oru::read(message, &header, &context, &self.critical)?,
            ("ADT" | "ORU", _) => return self.other(Reason::EventCode, message),
            _ => return self.other(Reason::MessageType, message),
        };
        Ok(Reading::Event(Box::new(event)))
    }

    fn other(&self, reason: Reason, message: &Message) -> Result<Reading, Flaw> {
        if self.refuses_others { Err(message.header().field(9).flaw(reason)) } else { Ok(Reading::Ignored) }
    }
}
