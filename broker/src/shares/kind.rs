//! The kinds of shares: a closed set, for refusals, metrics and the text log.

use std::time::Duration;

use crate::refusal::{Code, Refusal};

/// A kind of share: a closed set, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sessions, and so connections that are known.
    Sessions,
    /// Reads of the store asked for and not answered.
    Reads,
    /// Bytes of answers that are not read.
    Pages,
    /// Commands that wait for the committer.
    Commands,
    /// People brought into conversations, and conversations made.
    People,
    /// What the broker does for requests.
    Work,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] =
        [Self::Sessions, Self::Reads, Self::Pages, Self::Commands, Self::People, Self::Work];

    /// For metrics and the text log.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Reads => "reads",
            Self::Pages => "pages",
            Self::Commands => "commands",
            Self::People => "people",
            Self::Work => "work",
        }
    }

    /// What is told to whoever has used it up, and is to come back after a while.
    pub(crate) fn refusal(self, wait: Duration) -> Refusal {
        Refusal::new(Code::ResourceExhausted, self.text()).after(wait.max(Duration::from_millis(1)))
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Sessions => "this user has as many sessions as they may: end one, or come back later",
            Self::Reads => "this user has asked for as much as may be read at a time: wait for answers",
            Self::Pages => "this user leaves as many bytes of answers unread as they may: read them first",
            Self::Commands => "this user has as much waiting to be committed as they may: wait for answers",
            Self::People => "this user has brought in as many people as they may for now: come back later",
            Self::Work => "this user asks for more than may be done for them at a time: ask more slowly",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_the_order_of_their_numbers() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
