//! The messaging trace: who wrote to whom, and when.
//!
//! Parsed once, then only read. A message is named by its place in the trace (`usize` index), a
//! person by their number there. Nothing here knows about clients, time compression or results.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// The trace that the demo replays; see `loadgen/data/README.md`.
const UCI_MESSAGES: &str = include_str!("../../data/uci-messages.tsv");

/// A person, by their number in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person(pub u32);

impl Person {
    /// Reads the name that [`Display`](fmt::Display) gives.
    pub fn parse(user: &str) -> Option<Self> {
        let number = user.strip_prefix("person-")?.parse().ok()?;
        // Only the one spelling: a name that merely looks alike is somebody else.
        Some(Self(number)).filter(|person| person.to_string() == user)
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "person-{:04}", self.0)
    }
}

/// A message of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub sender: Person,
    /// To whom.
    pub recipient: Person,
    /// When, in Unix seconds.
    pub sent_at_s: u64,
}

/// A trace, in the order of time.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The messages; their indices name them everywhere.
    pub messages: Vec<Message>,
}

/// A trace cannot be used. The person who chose the file must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A line is not what it should be.
    #[error(
        "line {line} of the trace: {what}; expected sender<TAB>recipient<TAB>sent_at_s in the order of time"
    )]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Nothing is left to replay.
    #[error("the trace has no messages (among that many people)")]
    Empty,
}

impl Trace {
    /// Takes the trace that comes with the project.
    ///
    /// # Errors
    /// [`TraceError`], if `people_max` leaves nothing.
    pub fn uci(people_max: Option<u32>) -> Result<Self, TraceError> {
        Self::parse(UCI_MESSAGES, people_max)
    }

    /// Parses a trace. `people_max`: only messages among the people with the numbers 1 to this.
    ///
    /// # Errors
    /// [`TraceError`] if a line is wrong or nothing is left.
    pub fn parse(text: &str, people_max: Option<u32>) -> Result<Self, TraceError> {
        let mut messages: Vec<Message> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let message = parse_line(line).map_err(|what| TraceError::Line { line: number + 1, what })?;
            if messages.last().is_some_and(|last| last.sent_at_s > message.sent_at_s) {
                return Err(TraceError::Line { line: number + 1, what: "earlier than the line before" });
            }
            let is_within = |person: Person| people_max.is_none_or(|max| person.0 <= max);
            if is_within(message.sender) && is_within(message.recipient) {
                messages.push(message);
            }
        }
        if messages.is_empty() { Err(TraceError::Empty) } else { Ok(Self { messages }) }
    }

    /// Everybody who writes or is written to, ascending.
    pub fn people(&self) -> Vec<Person> {
        let mut people: Vec<Person> = self.messages.iter().flat_map(|m| [m.sender, m.recipient]).collect();
        people.sort_unstable();
        people.dedup();
        people
    }

    /// The indices of what each sender wrote to each recipient, in order.
    pub fn by_pair(&self) -> BTreeMap<(Person, Person), Vec<usize>> {
        let mut pairs: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, message) in self.messages.iter().enumerate() {
            pairs.entry((message.sender, message.recipient)).or_default().push(index);
        }
        pairs
    }
}

fn parse_line(line: &str) -> Result<Message, &'static str> {
    let mut columns = line.split('\t');
    let mut number = |what| columns.next().and_then(|column| column.parse::<u64>().ok()).ok_or(what);
    let sender = number("no sender")?;
    let recipient = number("no recipient")?;
    let sent_at_s = number("no time")?;
    if columns.next().is_some() {
        return Err("more than three columns");
    }
    let person =
        |number: u64| u32::try_from(number).map(Person).map_err(|_| "a number too large for a person");
    if sender == recipient {
        return Err("somebody writes to themselves");
    }
    Ok(Message { sender: person(sender)?, recipient: person(recipient)?, sent_at_s })
}
