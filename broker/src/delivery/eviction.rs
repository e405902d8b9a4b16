//! Eviction: whose tail gives way when all together hold more than they may.
//!
//! Topics that hold frames stand in a line. The first gives up the older half of its tail and goes
//! to the end, until there is room: so what was not added to for long gives way, whoever was pushed
//! to. Called by the fan-out alone. A topic stands in the line once; those that are gone are passed
//! over, and cleared away before the line is twice as long as it need be.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::tail::Budget;
use super::topic::Topic;

/// A line that is shorter is not worth clearing.
const CLEAR_MIN: usize = 1024;

/// The topics that hold frames.
pub(super) struct Eviction(Mutex<Line>);

struct Line {
    topics: VecDeque<Weak<Topic>>,
    /// At this length those that are gone are cleared away.
    clear_at: usize,
}

impl Eviction {
    /// Nobody stands in line.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Line { topics: VecDeque::new(), clear_at: CLEAR_MIN }))
    }

    /// Puts a topic at the end that holds frames now, and did not before.
    pub(super) fn enter(&self, topic: &Arc<Topic>) {
        let mut line = self.0.lock();
        if line.topics.len() >= line.clear_at {
            line.topics.retain(|topic| topic.strong_count() > 0);
            line.clear_at = CLEAR_MIN.max(2 * line.topics.len());
        }
        line.topics.push_back(Arc::downgrade(topic));
    }

    /// Lets tails give way until they hold no more than they may.
    pub(super) fn make_room(&self, budget: &Budget) {
        while budget.is_over() {
            let mut line = self.0.lock();
            let Some(first) = line.topics.pop_front() else { return };
            if first.upgrade().is_some_and(|topic| topic.halve_tail()) {
                line.topics.push_back(first);
            }
        }
    }
}
