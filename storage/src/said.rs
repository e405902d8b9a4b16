//! What a source says, and which of its words holds.
//!
//! A source event says something at its own time, and what was said at the latest time holds. So
//! what is repeated changes nothing, what comes late changes only what nobody spoke of since, and
//! the order in which events arrive does not matter. Of two words of the same time the one that
//! came later holds. The source's time decides about this and about nothing else: how long anything
//! is kept goes by the log's.

use crate::id::{EventId, Timestamp, UserId};

/// An event as its source names and times it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceEvent {
    /// The same id is the same event.
    pub id: EventId,
    /// When it happened, by the source's clock.
    pub time: Timestamp,
}

/// Who said something, by which event, and when by the source's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// No later than the log's time when it was heard.
    pub time: Timestamp,
    /// Which event.
    pub event: EventId,
    /// The service that brought it.
    pub by: UserId,
}

/// The last word on something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest<T> {
    /// What holds.
    pub value: T,
    /// `None`: nobody ever said anything.
    pub said: Option<Said>,
}

impl<T: PartialEq> Latest<T> {
    /// What holds before anybody said anything.
    pub const fn unsaid(value: T) -> Self {
        Self { value, said: None }
    }

    /// Takes a word in, unless one of a later time is known.
    pub fn hear(&mut self, value: T, said: Said) -> Effect {
        if self.said.is_some_and(|before| said.time < before.time) {
            return Effect::Late;
        }
        self.said = Some(said);
        if self.value == value {
            return Effect::Unchanged;
        }
        self.value = value;
        Effect::Changed
    }

    /// When it was said; zero: never.
    pub fn time(&self) -> Timestamp {
        self.said.map_or(Timestamp::ZERO, |said| said.time)
    }
}

/// What came of an event. Of several words the highest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// A later word on all that it says is known.
    Late,
    /// It is as it says already.
    Unchanged,
    /// Something is otherwise now.
    Changed,
    /// The same event was heard before.
    Repeated,
}
