//! Receipts on their way: what is wanted, what is in flight, what is settled.
//!
//! Pure state. Watermarks are coalesced per conversation; one `Acknowledge` per conversation is in
//! flight at a time. Invariants: what was handed in is sent until the broker has it, has more, or
//! will never take it; watermarks of a conversation never go back on the wire; after a lost
//! connection everything unanswered is wanted again. A refusal that may be about only one part of a
//! request makes the parts go one by one, so that no part is lost to another.

use std::collections::{BTreeSet, HashMap, VecDeque};

use wardline_proto::v1::Acknowledge;

use crate::core::hash::ByConversation;
use crate::core::outbox::is_passing;
use crate::error::Code;
use crate::types::{ConversationId, Sequence};

/// Most single messages in one `Acknowledge` of each kind, as message.proto says.
const SINGLES_MAX: usize = 16;

/// Most single messages that wait per conversation and kind; the lowest give way, the watermark
/// will cover them.
const SINGLES_WAITING_MAX: usize = 1024;

/// Settled conversations whose watermarks are remembered, to not send lower ones.
const SETTLED_MAX: usize = 4096;

/// Most conversations with unsettled receipts; a broker lets a user have far fewer conversations.
const UNSETTLED_MAX: usize = 65_536;

/// What one message or a run of them was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// This device has everything up to here.
    Delivered(Sequence),
    /// The user has read everything up to here.
    Read(Sequence),
    /// This device has this one, ahead of the others.
    DeliveredOnly(Sequence),
    /// The user has read this one, ahead of the others.
    ReadOnly(Sequence),
}

/// Receipts of all conversations.
#[derive(Default)]
pub(crate) struct Receipts {
    conversations: ByConversation<OfConversation>,
    /// Conversations that have something to send and nothing in flight.
    ready: VecDeque<ConversationId>,
    /// Which conversation a request is about.
    requests: HashMap<u64, ConversationId>,
    unsettled: usize,
    /// Counts the marks handed in.
    stamp: u64,
}

/// Receipts of one conversation.
#[derive(Default)]
struct OfConversation {
    wanted: Marks,
    in_flight: Option<Marks>,
    /// Watermarks that the broker has, as far as this process knows.
    settled_delivered: Sequence,
    settled_read: Sequence,
    queued: bool,
    /// Send the parts one by one.
    split: bool,
}

#[derive(Clone, Default)]
struct Marks {
    delivered: Sequence,
    read: Sequence,
    delivered_only: BTreeSet<Sequence>,
    read_only: BTreeSet<Sequence>,
    /// The stamp of the oldest mark within; 0: none.
    since: u64,
}

impl Receipts {
    /// Takes a mark. Whether there is something to send that was not there before.
    pub(crate) fn note(&mut self, conversation: ConversationId, mark: Mark) -> bool {
        if self.unsettled >= UNSETTLED_MAX && !self.conversations.contains_key(&conversation) {
            return false;
        }
        let state = self.conversations.entry(conversation).or_default();
        if !state.adds(mark) {
            return false;
        }
        self.stamp += 1;
        let was_settled = state.is_settled();
        state.wanted.add(mark, self.stamp);
        self.unsettled += usize::from(was_settled);
        let is_ready = state.becomes_ready();
        if is_ready {
            self.ready.push_back(conversation);
        }
        is_ready
    }

    /// Whether something could be sent.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Gives the next request to send, under `request_id`.
    pub(crate) fn next_to_send(&mut self, request_id: u64) -> Option<Acknowledge> {
        let conversation = self.ready.pop_front()?;
        let state = self.conversations.get_mut(&conversation)?;
        state.queued = false;
        let part = if state.split { state.wanted.take_one() } else { state.wanted.take_some() };
        let request = part.to_wire(conversation);
        state.in_flight = Some(part);
        self.requests.insert(request_id, conversation);
        Some(request)
    }

    /// Takes the broker's answer. `None` if nothing was sent under this id; otherwise whether to
    /// pause before sending on.
    pub(crate) fn answered(&mut self, request_id: u64, answer: Result<(), Code>) -> Option<bool> {
        let conversation = self.requests.remove(&request_id)?;
        let state = self.conversations.get_mut(&conversation)?;
        let part = state.in_flight.take()?;
        let passing = matches!(answer, Err(code) if is_passing(code));
        match answer {
            Ok(()) => state.settle(&part),
            Err(_) if passing => state.wanted.merge(part),
            // Behind what is on record: the broker has it already.
            Err(Code::ReceiptBackwards) if part.parts() == 1 => state.settle(&part),
            Err(code) if part.parts() > 1 && code != Code::NotFound => {
                state.split = true;
                state.wanted.merge(part);
            }
            Err(code) => tracing::debug!(%conversation, ?code, "receipt refused"),
        }
        if state.is_settled() {
            state.split = false;
            self.unsettled -= 1;
            self.forget_settled();
        } else {
            self.queue(conversation);
        }
        Some(passing)
    }

    /// Wants everything again that was in flight on a lost connection.
    pub(crate) fn lost(&mut self) {
        for (_, conversation) in std::mem::take(&mut self.requests) {
            if let Some(state) = self.conversations.get_mut(&conversation)
                && let Some(part) = state.in_flight.take()
            {
                state.wanted.merge(part);
            }
            self.queue(conversation);
        }
    }

    /// The stamp of the latest mark.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Whether every mark up to `stamp` is settled.
    pub(crate) fn is_settled_up_to(&self, stamp: u64) -> bool {
        self.unsettled == 0
            || self.conversations.values().all(|state| {
                let parts = [Some(&state.wanted), state.in_flight.as_ref()];
                parts.into_iter().flatten().all(|marks| marks.since == 0 || marks.since > stamp)
            })
    }

    fn queue(&mut self, conversation: ConversationId) -> bool {
        let Some(state) = self.conversations.get_mut(&conversation) else { return false };
        let is_ready = state.becomes_ready();
        if is_ready {
            self.ready.push_back(conversation);
        }
        is_ready
    }

    fn forget_settled(&mut self) {
        if self.conversations.len() - self.unsettled > SETTLED_MAX {
            self.conversations.retain(|_, state| !state.is_settled());
        }
    }
}

impl OfConversation {
    fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.wanted.parts() == 0
    }

    /// Whether it has something to send that is in no line yet; from now on it is in one.
    fn becomes_ready(&mut self) -> bool {
        let becomes = !self.queued && self.in_flight.is_none() && self.wanted.parts() > 0;
        self.queued |= becomes;
        becomes
    }

    /// Whether a mark says something that is not said yet.
    fn adds(&self, mark: Mark) -> bool {
        let flying = self.in_flight.as_ref();
        let delivered = self.wanted.delivered.max(flying.map_or(0, |marks| marks.delivered));
        let read = self.wanted.read.max(flying.map_or(0, |marks| marks.read));
        match mark {
            Mark::Delivered(sequence) => sequence > delivered.max(self.settled_delivered),
            Mark::Read(sequence) => sequence > read.max(self.settled_read),
            Mark::DeliveredOnly(sequence) => sequence > delivered.max(self.settled_delivered),
            Mark::ReadOnly(sequence) => sequence > read.max(self.settled_read),
        }
    }

    fn settle(&mut self, part: &Marks) {
        self.settled_delivered = self.settled_delivered.max(part.delivered);
        self.settled_read = self.settled_read.max(part.read);
    }
}

impl Marks {
    fn add(&mut self, mark: Mark, stamp: u64) {
        match mark {
            Mark::Delivered(sequence) => self.delivered = self.delivered.max(sequence),
            Mark::Read(sequence) => self.read = self.read.max(sequence),
            Mark::DeliveredOnly(sequence) => add_single(&mut self.delivered_only, sequence),
            Mark::ReadOnly(sequence) => add_single(&mut self.read_only, sequence),
        }
        self.since = if self.since == 0 { stamp } else { self.since.min(stamp) };
        self.drop_covered();
    }

    /// How many statements it makes.
    fn parts(&self) -> usize {
        usize::from(self.delivered > 0)
            + usize::from(self.read > 0)
            + self.delivered_only.len()
            + self.read_only.len()
    }

    /// Takes as much as one request may say.
    fn take_some(&mut self) -> Self {
        let part = Self {
            delivered: std::mem::take(&mut self.delivered),
            read: std::mem::take(&mut self.read),
            delivered_only: take_singles(&mut self.delivered_only, SINGLES_MAX),
            read_only: take_singles(&mut self.read_only, SINGLES_MAX),
            since: self.since,
        };
        self.after_take();
        part
    }

    /// Takes a single statement.
    fn take_one(&mut self) -> Self {
        let mut part = Self { since: self.since, ..Self::default() };
        if self.delivered > 0 {
            part.delivered = std::mem::take(&mut self.delivered);
        } else if self.read > 0 {
            part.read = std::mem::take(&mut self.read);
        } else if !self.delivered_only.is_empty() {
            part.delivered_only = take_singles(&mut self.delivered_only, 1);
        } else {
            part.read_only = take_singles(&mut self.read_only, 1);
        }
        self.after_take();
        part
    }

    fn after_take(&mut self) {
        if self.parts() == 0 {
            self.since = 0;
        }
    }

    fn merge(&mut self, other: Self) {
        self.delivered = self.delivered.max(other.delivered);
        self.read = self.read.max(other.read);
        self.delivered_only.extend(other.delivered_only);
        self.read_only.extend(other.read_only);
        self.since = if self.since == 0 { other.since } else { self.since.min(other.since) };
        self.drop_covered();
    }

    /// Drops single marks that a watermark says as well.
    fn drop_covered(&mut self) {
        // Nearly always there are none, and this is done for each entry.
        if !self.delivered_only.is_empty() {
            self.delivered_only.retain(|sequence| *sequence > self.delivered);
        }
        if !self.read_only.is_empty() {
            self.read_only.retain(|sequence| *sequence > self.read);
        }
    }

    fn to_wire(&self, conversation: ConversationId) -> Acknowledge {
        Acknowledge {
            conversation_id: conversation.0.to_vec().into(),
            delivered_up_to: self.delivered,
            read_up_to: self.read,
            delivered_only: self.delivered_only.iter().copied().collect(),
            read_only: self.read_only.iter().copied().collect(),
        }
    }
}

fn add_single(singles: &mut BTreeSet<Sequence>, sequence: Sequence) {
    singles.insert(sequence);
    if singles.len() > SINGLES_WAITING_MAX {
        singles.pop_first();
    }
}

fn take_singles(singles: &mut BTreeSet<Sequence>, count: usize) -> BTreeSet<Sequence> {
    std::iter::from_fn(|| singles.pop_first()).take(count).collect()
}

#[cfg(test)]
mod tests;
