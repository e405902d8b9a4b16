//! Messages of a connection that are under way, and their answers in the order in which they came.
//!
//! An answer waits for those before it, so a sender can count. What is under way is given up with
//! the connection: nobody is there any more who could be told.

use std::collections::VecDeque;
use std::future::pending;

use metrics::Gauge;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::hl7::ack::{Envelope, Reply};

/// Answers that are owed.
pub(super) struct Owed {
    due: VecDeque<Due>,
    under_way_max: usize,
    gauge: Gauge,
}

/// An answer that is due.
struct Due {
    envelope: Envelope,
    began: Instant,
    outcome: Outcome,
}

enum Outcome {
    Known(Reply),
    UnderWay(AbortOnDropHandle<Reply>),
}

/// What is to be answered.
pub(super) struct Answer {
    pub(super) envelope: Envelope,
    pub(super) reply: Reply,
    /// When the message was there.
    pub(super) began: Instant,
}

impl Owed {
    /// An empty one, with room for so many; the gauge counts them.
    pub(super) fn new(under_way_max: usize, gauge: Gauge) -> Self {
        Self { due: VecDeque::new(), under_way_max, gauge }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.due.len() >= self.under_way_max
    }

    /// Takes in a message of which it is known what becomes of it.
    pub(super) fn push(&mut self, envelope: Envelope, began: Instant, reply: Reply) {
        self.add(Due { envelope, began, outcome: Outcome::Known(reply) });
    }

    /// Takes in one that is being applied.
    pub(super) fn push_task(&mut self, envelope: Envelope, began: Instant, task: AbortOnDropHandle<Reply>) {
        self.add(Due { envelope, began, outcome: Outcome::UnderWay(task) });
    }

    fn add(&mut self, due: Due) {
        self.gauge.increment(1.0);
        self.due.push_back(due);
    }

    /// Waits for the next answer; for ever if there will be none.
    ///
    /// # Cancellation
    /// Safe: an answer is given out once, and none is lost.
    pub(super) async fn next(&mut self) -> Answer {
        let reply = match self.due.front_mut() {
            None => pending().await,
            Some(Due { outcome: Outcome::Known(reply), .. }) => reply.clone(),
            // A panic is logged by whoever panics.
            Some(Due { outcome: Outcome::UnderWay(task), .. }) => task.await.unwrap_or_else(|_| defect()),
        };
        self.take(reply)
    }

    /// The next answer, if nobody need wait for it.
    pub(super) async fn next_ready(&mut self) -> Option<Answer> {
        let is_ready = self.due.front().is_some_and(|due| match &due.outcome {
            Outcome::Known(_) => true,
            Outcome::UnderWay(task) => task.is_finished(),
        });
        if is_ready { Some(self.next().await) } else { None }
    }

    fn take(&mut self, reply: Reply) -> Answer {
        self.gauge.decrement(1.0);
        let due = self.due.pop_front();
        let (envelope, began) =
            due.map_or_else(|| (Envelope::unknown(), Instant::now()), |due| (due.envelope, due.began));
        Answer { envelope, reply, began }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.gauge.decrement(self.due.len() as f64);
    }
}

fn defect() -> Reply {
    Reply::retry("a defect of the bridge: send it again; its log says more")
}
