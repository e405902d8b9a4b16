//! Which events of a connection wait for which: those that touch the same patient or encounter go
//! one behind the other, in the order in which they came; all others need not wait.
//!
//! If one is to be sent again, those that wait for it are to be sent again too: done now, they
//! would overtake it. What comes after that was answered waits for nothing. A hash stands for each
//! identifier; two of the same hash merely wait for each other.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::watch;

use crate::record::{Event, Identifier, What};

/// From so many identifiers on, those of events that are done are forgotten.
const KEPT: usize = 1024;

/// How an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    UnderWay,
    Done,
    Again,
}

/// The events of a connection.
#[derive(Default)]
pub(super) struct Turns {
    last: HashMap<u64, watch::Receiver<Standing>>,
    hasher: RandomState,
}

/// One event's place among them.
pub(super) struct Turn {
    before: Vec<watch::Receiver<Standing>>,
    own: watch::Sender<Standing>,
}

impl Turns {
    /// Takes the next place.
    pub(super) fn take(&mut self, event: &Event) -> Turn {
        if self.last.len() > KEPT {
            self.last.retain(|_, standing| is_under_way(standing));
        }
        let (own, standing) = watch::channel(Standing::UnderWay);
        let mut before = Vec::new();
        for identifier in touched(event) {
            let key = self.hasher.hash_one((&identifier.value, &identifier.authority));
            if let Some(other) = self.last.insert(key, standing.clone())
                && !other.same_channel(&standing)
                && is_under_way(&other)
            {
                before.push(other);
            }
        }
        Turn { before, own }
    }
}

impl Turn {
    /// Waits until all before it are done; false: one of them is to be sent again.
    pub(super) async fn comes(&mut self) -> bool {
        for mut other in self.before.drain(..) {
            let standing = other.wait_for(|standing| *standing != Standing::UnderWay).await;
            // Whoever was to say has gone.
            if standing.is_err() || standing.is_ok_and(|standing| *standing == Standing::Again) {
                return false;
            }
        }
        true
    }

    /// Lets those behind it go on, or be sent again.
    pub(super) fn pass(self, is_done: bool) {
        self.own.send_replace(if is_done { Standing::Done } else { Standing::Again });
    }
}

fn is_under_way(standing: &watch::Receiver<Standing>) -> bool {
    *standing.borrow() == Standing::UnderWay && standing.has_changed().is_ok()
}

/// The identifiers of everybody and everything that an event is about.
fn touched(event: &Event) -> Vec<&Identifier> {
    match &event.what {
        What::Encounter(about) => about.patient.identifiers.iter().chain([&about.encounter.number]).collect(),
        What::Person(patient) => patient.identifiers.iter().collect(),
        What::Merge(merges) => {
            merges.iter().flat_map(|merge| merge.survivor.identifiers.iter().chain(&merge.prior)).collect()
        }
        What::Results(results) => {
            results.iter().flat_map(|one| one.patient.identifiers.iter().chain(&one.encounter)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::given::Given;
    use crate::record::{Moment, Patient, Precision, Source};

    fn person(ids: &[&str]) -> Event {
        let identifier =
            |id: &&str| Identifier { value: (*id).to_owned().into(), authority: None, kind: None };
        let moment = Moment { unix_ms: 1, offset_s: 0, precision: Precision::Second };
        let patient = Patient {
            identifiers: ids.iter().map(identifier).collect(),
            name: Given::Absent,
            born: Given::Absent,
            sex: Given::Absent,
        };
        Event {
            source: Source {
                application: None,
                facility: None,
                id: "1".to_owned().into(),
                digest: [0; 32],
                trigger: "A31",
                sent: None,
                recorded: moment,
                occurred: moment,
            },
            what: What::Person(Box::new(patient)),
        }
    }

    async fn comes_soon(turn: &mut Turn) -> Option<bool> {
        timeout(Duration::from_millis(20), turn.comes()).await.ok()
    }

    #[tokio::test]
    async fn who_touches_the_same_waits_and_nobody_else() {
        let mut turns = Turns::default();
        let mut first = turns.take(&person(&["a", "b"]));
        let mut other = turns.take(&person(&["c"]));
        let mut second = turns.take(&person(&["b", "d"]));
        let mut third = turns.take(&person(&["d", "c"]));
        assert_eq!(comes_soon(&mut first).await, Some(true));
        assert_eq!(comes_soon(&mut other).await, Some(true));
        assert!(timeout(Duration::from_millis(20), second.comes()).await.is_err());
        // What was waited for is not forgotten by giving up once.
        let mut second_again = turns.take(&person(&["a"]));
        first.pass(true);
        assert_eq!(comes_soon(&mut second_again).await, Some(true));
        other.pass(true);
        second.pass(true);
        assert_eq!(comes_soon(&mut third).await, Some(true));
    }

    #[tokio::test]
    async fn who_waits_for_what_is_to_be_sent_again_is_too_and_who_comes_later_is_not() {
        let mut turns = Turns::default();
        let first = turns.take(&person(&["a"]));
        let mut second = turns.take(&person(&["a", "b"]));
        let mut third = turns.take(&person(&["b"]));
        first.pass(false);
        assert_eq!(comes_soon(&mut second).await, Some(false));
        second.pass(false);
        assert_eq!(comes_soon(&mut third).await, Some(false));
        third.pass(false);
        let mut again = turns.take(&person(&["a", "b"]));
        assert_eq!(comes_soon(&mut again).await, Some(true));
        // One that was given up counts as not done.
        drop(again);
        let mut later = turns.take(&person(&["b"]));
        assert_eq!(comes_soon(&mut later).await, Some(true));
        let held = turns.take(&person(&["b"]));
        let mut behind = turns.take(&person(&["b"]));
        drop(held);
        assert_eq!(comes_soon(&mut behind).await, Some(false));
    }

    #[test]
    fn what_is_done_is_forgotten() {
        let mut turns = Turns::default();
        for number in 0..10 * KEPT {
            turns.take(&person(&[&number.to_string()])).pass(true);
        }
        assert!(turns.last.len() <= KEPT + 1);
    }
}
