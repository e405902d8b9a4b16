//! What arrives, exactly once and in order per conversation.
//!
//! Owns the queue between the session, which fills it, and the application, which empties it, and the exactly-once
//! filter in front of it. It never reads a stream. Invariants: bounded in entries and bytes, per lane class, so that
//! urgent messages never wait behind routine ones; an entry that passed the filter stays in the queue, through
//! reconnects, until the application takes it; receipts are noted when the application takes an entry, not before.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wardline_proto::v1::push_frame::Push;

use crate::options::Acknowledging;
use crate::order::{Order, Verdict};
use crate::receipts::Mark;
use crate::shared::Shared;
use crate::types::{Conversation, ConversationId, Entry, Receipt, Sequence};
use crate::wire::{self, Malformed};

/// Most payload bytes that wait for the application on each lane class, beside the entry that crosses the line.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an arrival counts beside its payload.
const ARRIVAL_BYTES: usize = 256;

/// Something that arrived.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// An entry. An urgent message comes once, as soon as it is there, ahead of its turn.
    Entry(Entry),
    /// Somebody received or read what the user published.
    Receipt(Receipt),
    /// The user became a member of this conversation.
    Joined(Conversation),
    /// The user is a member no longer.
    Left(ConversationId),
    /// The backlog that was waiting when the (first) session began has been delivered.
    CaughtUp,
}

/// Yields what arrives. Dropping it stops deliveries for good.
pub struct Inbox {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Inbox {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits for the next thing; `None` once the client is closed and everything that had arrived was taken.
    ///
    /// # Cancellation
    /// Safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            match self.shared.mailbox.take() {
                Taken::Arrival(arrival) => {
                    if self.shared.acknowledging == Acknowledging::Automatic
                        && let Some((conversation, mark)) = arrival.mark
                    {
                        self.shared.note(conversation, mark);
                    }
                    if arrival.incoming.is_some() {
                        return arrival.incoming;
                    }
                }
                Taken::Nothing => self.shared.mailbox.arrived.notified().await,
                Taken::Closed => return None,
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.mailbox.abandon();
    }
}

/// Which lane something came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Ordered,
    Urgent,
}

/// The queue before the application.
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    entries_max: usize,
    arrived: Notify,
    room: Notify,
}

#[derive(Default)]
struct Queues {
    order: Order,
    ordered: Queue,
    urgent: Queue,
    caught_up: bool,
    /// Nothing more will arrive.
    closed: bool,
    /// Nobody takes any more.
    abandoned: bool,
}

#[derive(Default)]
struct Queue {
    arrivals: VecDeque<Arrival>,
    bytes: usize,
}

struct Arrival {
    /// `None`: the application has it already, or does not know its kind; only the mark counts.
    incoming: Option<Incoming>,
    /// What to acknowledge once it is taken.
    mark: Option<(ConversationId, Mark)>,
    bytes: usize,
}

enum Taken {
    Arrival(Arrival),
    Nothing,
    Closed,
}

impl Mailbox {
    pub(crate) fn new(entries_max: usize, resume: &[(ConversationId, Sequence)]) -> Self {
        let queues = Queues { order: Order::starting_at(resume), ..Queues::default() };
        Self {
            queues: Mutex::new(queues),
            entries_max: entries_max.max(1),
            arrived: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Waits until something of this class may be put in.
    ///
    /// # Cancellation
    /// Safe.
    pub(crate) async fn has_room(&self, class: Class) {
        loop {
            // Made before the check, so that room made in between is noticed.
            let room = self.room.notified();
            if self.queues.lock().has_room(class, self.entries_max) {
                return;
            }
            room.await;
        }
    }

    /// Filters what came and puts it in.
    ///
    /// # Errors
    /// [`Malformed`] if the broker broke the protocol.
    pub(crate) fn put(&self, class: Class, push: Push) -> Result<(), Malformed> {
        if self.queues.lock().put(class, push)? {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Gives the positions to resume at.
    pub(crate) fn resume(&self, positions_max: usize) -> Vec<(ConversationId, Sequence)> {
        self.queues.lock().order.resume(positions_max)
    }

    /// Says that nothing more will arrive.
    pub(crate) fn close(&self) {
        self.queues.lock().closed = true;
        self.arrived.notify_one();
    }

    fn abandon(&self) {
        let mut queues = self.queues.lock();
        queues.abandoned = true;
        queues.ordered = Queue::default();
        queues.urgent = Queue::default();
        drop(queues);
        self.room.notify_waiters();
    }

    fn take(&self) -> Taken {
        let mut queues = self.queues.lock();
        let Some((arrival, was_full)) = queues.pop(self.entries_max) else {
            return if queues.closed { Taken::Closed } else { Taken::Nothing };
        };
        drop(queues);
        if was_full {
            self.room.notify_waiters();
        }
        Taken::Arrival(arrival)
    }
}

impl Queues {
    fn queue(&mut self, class: Class) -> &mut Queue {
        match class {
            Class::Ordered => &mut self.ordered,
            Class::Urgent => &mut self.urgent,
        }
    }

    fn has_room(&mut self, class: Class, entries_max: usize) -> bool {
        self.abandoned || !self.queue(class).is_full(entries_max)
    }

    /// Takes the next arrival, urgent ones first; and whether its queue was full.
    fn pop(&mut self, entries_max: usize) -> Option<(Arrival, bool)> {
        let class = if self.urgent.arrivals.is_empty() { Class::Ordered } else { Class::Urgent };
        let queue = self.queue(class);
        let was_full = queue.is_full(entries_max);
        let arrival = queue.arrivals.pop_front()?;
        queue.bytes -= arrival.bytes;
        if queue.arrivals.is_empty() {
            // A burst's memory goes back; thousands of idle clients hold nothing.
            *queue = Queue::default();
        }
        Some((arrival, was_full))
    }

    /// Whether something was put in.
    fn put(&mut self, class: Class, push: Push) -> Result<bool, Malformed> {
        if self.abandoned {
            return Ok(false);
        }
        let (incoming, mark) = match push {
            Push::Entry(entry) => {
                let conversation = wire::conversation_id(&entry.conversation_id)?;
                let Some((incoming, mark)) = self.judge(class, conversation, entry)? else {
                    return Ok(false);
                };
                (incoming, Some((conversation, mark)))
            }
            Push::Receipt(receipt) => match wire::receipt(receipt)? {
                Some(receipt) => (Some(Incoming::Receipt(receipt)), None),
                None => return Ok(false),
            },
            Push::Joined(joined) => {
                let joined = wire::conversation(joined)?;
                self.order.joined(joined.id);
                (Some(Incoming::Joined(joined)), None)
            }
            Push::LeftConversationId(id) => {
                let left = wire::conversation_id(&id)?;
                self.order.left(left);
                (Some(Incoming::Left(left)), None)
            }
            Push::CaughtUp(_) if self.caught_up => return Ok(false),
            Push::CaughtUp(_) => {
                self.caught_up = true;
                (Some(Incoming::CaughtUp), None)
            }
            Push::Header(_) => return Err(Malformed("lane: a second header")),
        };
        let bytes = ARRIVAL_BYTES + incoming.as_ref().map_or(0, payload_bytes);
        let queue = self.queue(class);
        queue.bytes += bytes;
        queue.arrivals.push_back(Arrival { incoming, mark, bytes });
        Ok(true)
    }

    /// Judges an entry by what the application had already; `None`: drop it.
    fn judge(
        &mut self,
        class: Class,
        conversation: ConversationId,
        entry: wardline_proto::v1::Entry,
    ) -> Result<Option<(Option<Incoming>, Mark)>, Malformed> {
        let sequence = entry.sequence;
        let (verdict, mark) = match class {
            Class::Ordered => (self.order.in_turn(conversation, sequence), Mark::Delivered(sequence)),
            Class::Urgent => (self.order.ahead(conversation, sequence), Mark::DeliveredOnly(sequence)),
        };
        let incoming = match verdict {
            Verdict::New => wire::entry(conversation, entry)?.map(Incoming::Entry),
            Verdict::HadAhead => None,
            Verdict::Duplicate => return Ok(None),
        };
        Ok(Some((incoming, mark)))
    }
}

impl Queue {
    fn is_full(&self, entries_max: usize) -> bool {
        self.arrivals.len() >= entries_max || self.bytes >= WAITING_BYTES_MAX
    }
}

fn payload_bytes(incoming: &Incoming) -> usize {
    match incoming {
        Incoming::Entry(Entry { body: crate::types::Body::Message { payload, .. }, .. }) => payload.len(),
        _ => 0,
    }
}
