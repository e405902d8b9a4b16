//! Publishes in line: which are sent, which are sent again, and when their answers count.
//!
//! Pure state: no clock, no stream. One for each priority, so that no urgent message stands behind
//! a routine one. Go-back-N over one lane at a time (`Publish.epoch` in message.proto). Invariants:
//! messages are sent in the order in which they were put in line, in every epoch and on every lane;
//! once the broker has asked to wait, nothing is sent until every answer of that epoch is in, so a
//! request id is never in use twice and a message that was taken is never overtaken; each message
//! is answered exactly once.

use std::collections::VecDeque;
use std::time::Duration;

use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::{ClientFrame, Publish};

use crate::error::{Code, Refusal};
use crate::types::{Ack, Priority};

/// Shortest and longest pause before sending again.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Between two request ids: two outboxes may share a lane.
const ID_STEP: u64 = 2;

/// Messages that have no final answer yet, each with whom to tell (`T`).
pub(crate) struct Outbox<T> {
    line: VecDeque<Waiting<T>>,
    /// The first so many of the line were sent on this lane in this epoch.
    sent: usize,
    /// How many of those have no answer.
    unanswered: usize,
    phase: Phase,
    epoch: u32,
    first_request_id: u64,
    next_request_id: u64,
    /// Epochs that ended in a row without a message being taken.
    refused_epochs: u32,
    /// The longest delay that the broker asked for in this epoch.
    retry_after: Duration,
}

struct Waiting<T> {
    publish: Publish,
    request_id: u64,
    answered: bool,
    tell: T,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Whatever is in line may go.
    Sending,
    /// The broker asked to wait; the epoch's other answers are awaited.
    Draining,
    /// All answers are in; waits for [`Outbox::resume`].
    Holding,
}

/// What an answer brought about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered<T> {
    /// A message has its final answer.
    Final(T, Result<Ack, Refusal>),
    /// The message stays in line.
    Kept,
    /// As `Kept`, and it was the epoch's last answer: [`Outbox::resume`] after this pause.
    Pause(Duration),
    /// As `Final`, and it was the last answer of an epoch that the broker had ended.
    FinalThenPause(T, Result<Ack, Refusal>, Duration),
    /// The message may not be urgent any more: it is not in line here any longer. The pause is that
    /// of `FinalThenPause`.
    Spent(Publish, T, Option<Duration>),
    /// Nothing was asked under this id.
    Unknown,
}

impl<T> Outbox<T> {
    /// Of messages of one priority; no other outbox uses its request ids.
    pub(crate) fn new(priority: Priority) -> Self {
        let first_request_id = if priority == Priority::Urgent { 1 } else { 2 };
        Self {
            line: VecDeque::new(),
            sent: 0,
            unanswered: 0,
            phase: Phase::Sending,
            epoch: 0,
            first_request_id,
            next_request_id: first_request_id,
            refused_epochs: 0,
            retry_after: Duration::ZERO,
        }
    }

    /// Puts a message in line.
    pub(crate) fn push(&mut self, publish: Publish, tell: T) {
        self.line.push_back(Waiting { publish, request_id: 0, answered: false, tell });
    }

    /// Whether no message waits for its final answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Gives the next message to send; `None` if there is none, or none may go.
    pub(crate) fn next_to_send(&mut self, unanswered_max: usize) -> Option<ClientFrame> {
        if self.phase != Phase::Sending || self.unanswered >= unanswered_max {
            return None;
        }
        let waiting = self.line.get_mut(self.sent)?;
        waiting.request_id = self.next_request_id;
        waiting.answered = false;
        waiting.publish.epoch = self.epoch;
        self.next_request_id += ID_STEP;
        self.sent += 1;
        self.unanswered += 1;
        Some(ClientFrame {
            request_id: waiting.request_id,
            request: Some(Request::Publish(waiting.publish.clone())),
            ..ClientFrame::default()
        })
    }

    /// Whether a request with this id would be one of these.
    pub(crate) fn asks(&self, request_id: u64) -> bool {
        request_id % ID_STEP == self.first_request_id % ID_STEP && request_id > 0
    }

    /// Takes the broker's answer.
    pub(crate) fn answer(&mut self, request_id: u64, answer: Result<Ack, Refusal>) -> Answered<T> {
        // Answers come nearly in the order of sending: it is near the front.
        let index = self.line.range(..self.sent).position(|waiting| waiting.request_id == request_id);
        let Some(index) = index else { return Answered::Unknown };
        if self.line[index].answered {
            return Answered::Unknown;
        }
        self.unanswered -= 1;
        let told = match answer {
            Err(refusal) if is_passing(refusal.code) => {
                self.line[index].answered = true;
                self.phase = Phase::Draining;
                self.retry_after = self.retry_after.max(refusal.retry_after);
                None
            }
            answer => {
                self.refused_epochs = if answer.is_ok() { 0 } else { self.refused_epochs };
                self.sent -= 1;
                self.line.remove(index).map(|waiting| (waiting, answer))
            }
        };
        let pause = (self.phase == Phase::Draining && self.unanswered == 0).then(|| self.hold());
        match (told, pause) {
            (Some((waiting, Err(refusal))), pause) if refusal.code == Code::UrgencySpent => {
                Answered::Spent(waiting.publish, waiting.tell, pause)
            }
            (Some((waiting, answer)), None) => Answered::Final(waiting.tell, answer),
            (Some((waiting, answer)), Some(pause)) => Answered::FinalThenPause(waiting.tell, answer, pause),
            (None, None) => Answered::Kept,
            (None, Some(pause)) => Answered::Pause(pause),
        }
    }

    /// Ends the pause: what is in line goes again, with a higher epoch.
    pub(crate) fn resume(&mut self) {
        if self.phase == Phase::Holding {
            self.phase = Phase::Sending;
            self.epoch += 1;
            self.sent = 0;
        }
    }

    /// Starts over on a fresh lane: everything in line goes again.
    pub(crate) fn lane_opened(&mut self) {
        self.phase = Phase::Sending;
        self.epoch = 0;
        self.next_request_id = self.first_request_id;
        self.sent = 0;
        self.unanswered = 0;
        self.retry_after = Duration::ZERO;
    }

    /// Empties the line; gives whom to tell that there will be no answer.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.lane_opened();
        std::mem::take(&mut self.line).into_iter().map(|waiting| waiting.tell)
    }

    fn hold(&mut self) -> Duration {
        self.phase = Phase::Holding;
        let doubled = PAUSE_MIN.saturating_mul(1 << self.refused_epochs.min(8)).min(PAUSE_MAX);
        self.refused_epochs = self.refused_epochs.saturating_add(1);
        std::mem::take(&mut self.retry_after).max(doubled)
    }
}

/// Whether a refusal passes by itself, so that the message is sent again.
pub(crate) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Retry
            | Code::ResourceExhausted
            | Code::StorageFull
            | Code::ShuttingDown
            | Code::Unavailable
            | Code::TokenExpired
    )
}

#[cfg(test)]
mod tests;
