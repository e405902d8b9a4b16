//! The queue between the session, which fills it, and the inbox, which empties it; and the
//! exactly-once filter before it.
//!
//! Owns what passed the filter until the application takes it, through reconnects: some of it may
//! lie in the inbox's [`Hand`], which takes over all that waits at once, so that a lock is taken
//! per run of entries and not for each. It never waits for a stream. Invariants: bounded in entries
//! and bytes, per lane class, and what lies in the hand counts; urgent messages never wait behind
//! routine ones, not even those in the hand; an idle client holds no queue.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use wardline_proto::message_entry::MessageEntry;
use wardline_proto::v1::PushFrame;
use wardline_proto::v1::push_frame::Push;

use crate::core::order::{Order, Passage};
use crate::core::receipts::Mark;
use crate::end::End;
use crate::frames::{Frame, FrameReader, StreamError};
use crate::text::Texts;
use crate::types::{Body, ConversationId, Entry, Incoming, NotFollowed, Sequence};
use crate::wire::{self, Malformed};

/// Most payload bytes that wait for the application on each lane class, beside the entry that
/// crosses the line.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an arrival counts beside its payload.
const ARRIVAL_BYTES: usize = 256;

/// Most entries, and bytes, that the application took from the hand before the room that they made
/// is given back.
const TAKEN_MAX: usize = 32;
const TAKEN_BYTES_MAX: usize = WAITING_BYTES_MAX / 16;

/// Room made for a queue when something arrives: what a few packets hold.
const QUEUE_ENTRIES: usize = 32;

/// Which lane something came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Ordered,
    Urgent,
}

/// Something that waits for the application.
pub(crate) enum Arrival {
    /// An entry, and the lane that it came on.
    Entry(Entry, Class),
    /// An entry that the application has already, or whose kind it does not know: only its mark
    /// counts.
    Passed(ConversationId, Mark),
    /// Anything else.
    Other(Incoming),
}

/// What the inbox took over and the application did not take yet.
#[derive(Default)]
pub(crate) struct Hand {
    /// From the ordered lane.
    arrivals: VecDeque<Arrival>,
    /// Taken by the application since the mailbox was last told.
    taken: usize,
    taken_bytes: usize,
}

/// What came of looking for an arrival.
pub(crate) enum Taken {
    Arrival(Arrival),
    Nothing,
    Closed,
}

/// Why no more was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Everything that was read has been taken in.
    AllTaken,
    /// There is no room.
    Full,
}

/// The queue before the application.
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    entries_max: usize,
    /// Whether something waits on the urgent queue; changes under the lock.
    urgent_waits: AtomicBool,
    /// Rings for the inbox.
    pub(crate) arrived: Notify,
    room: Notify,
}

#[derive(Default)]
struct Queues {
    order: Order,
    texts: Texts,
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
    /// In the hand, as far as this knows.
    lent: usize,
    /// Of both.
    bytes: usize,
}

impl Mailbox {
    pub(crate) fn new(entries_max: usize, resume: &[(ConversationId, Sequence)]) -> Self {
        let queues = Queues { order: Order::starting_at(resume), ..Queues::default() };
        Self {
            queues: Mutex::new(queues),
            entries_max: entries_max.max(1),
            urgent_waits: AtomicBool::new(false),
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

    /// Filters and puts in the frames that were read, as long as there is room.
    ///
    /// # Errors
    /// If the broker broke the protocol.
    pub(crate) fn take_in(&self, class: Class, frames: &mut FrameReader) -> Result<Filled, End> {
        let mut queues = self.queues.lock();
        let before = queues.queue(class).arrivals.len();
        let filled = queues.take_in(class, frames, self.entries_max);
        let is_news = queues.queue(class).arrivals.len() > before;
        if is_news && class == Class::Urgent {
            self.urgent_waits.store(true, Ordering::Release);
        }
        drop(queues);
        if is_news {
            self.arrived.notify_one();
        }
        filled
    }

    /// Takes the next arrival, urgent ones first.
    #[inline]
    pub(crate) fn take(&self, hand: &mut Hand) -> Taken {
        if !self.urgent_waits.load(Ordering::Acquire)
            && hand.taken < TAKEN_MAX
            && hand.taken_bytes < TAKEN_BYTES_MAX
            && let Some(arrival) = hand.pop()
        {
            return Taken::Arrival(arrival);
        }
        self.refill(hand)
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

    /// Says that nothing more will be taken.
    pub(crate) fn abandon(&self) {
        let mut queues = self.queues.lock();
        queues.abandoned = true;
        queues.ordered = Queue::default();
        queues.urgent = Queue::default();
        drop(queues);
        self.room.notify_waiters();
    }

    /// Settles what was taken from the hand, fills it again if it is empty, and takes the next
    /// arrival.
    fn refill(&self, hand: &mut Hand) -> Taken {
        let mut queues = self.queues.lock();
        let [was_full, urgent_was_full] = queues.are_full(self.entries_max);
        queues.ordered.settle(hand);
        let arrival = match queues.urgent.pop() {
            Some(arrival) => Some(arrival),
            None => {
                if hand.arrivals.is_empty() {
                    queues.ordered.lend(hand);
                }
                let arrival = hand.pop();
                queues.ordered.settle(hand);
                arrival
            }
        };
        self.urgent_waits.store(!queues.urgent.arrivals.is_empty(), Ordering::Release);
        let [is_full, urgent_is_full] = queues.are_full(self.entries_max);
        let is_closed = queues.closed;
        drop(queues);
        if (was_full && !is_full) || (urgent_was_full && !urgent_is_full) {
            self.room.notify_waiters();
        }
        match arrival {
            Some(arrival) => Taken::Arrival(arrival),
            None if is_closed => Taken::Closed,
            None => Taken::Nothing,
        }
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

    fn take_in(&mut self, class: Class, frames: &mut FrameReader, entries_max: usize) -> Result<Filled, End> {
        while self.has_room(class, entries_max) {
            let Some(frame) = frames.take().map_err(StreamError::from)? else {
                return Ok(Filled::AllTaken);
            };
            if !self.abandoned {
                self.put(class, &frame)?;
            }
        }
        Ok(Filled::Full)
    }

    fn put(&mut self, class: Class, frame: &Frame<'_>) -> Result<(), End> {
        let read = MessageEntry::read(frame.content());
        let shared = read.and_then(|read| {
            Some((read, self.texts.share(read.sender)?, self.texts.share(read.content_type)?))
        });
        let Some((read, sender, content_type)) = shared else {
            let push: PushFrame = frame.decode().map_err(StreamError::from)?;
            // A push of a kind that this version does not know is skipped.
            if let Some(push) = push.push
                && let Some(arrival) = self.translate(class, push)?
            {
                self.queue(class).push(arrival);
            }
            return Ok(());
        };
        let conversation = wire::conversation_id(read.conversation_id)?;
        let arrival = match self.judge(class, conversation, read.sequence) {
            Passage::New => {
                let payload = frame.share(read.payload);
                let entry = wire::message_entry(conversation, &read, sender, content_type, payload)?;
                Arrival::Entry(entry, class)
            }
            Passage::HadAhead => Arrival::Passed(conversation, class.mark(read.sequence)),
            Passage::Duplicate => return Ok(()),
        };
        self.queue(class).push(arrival);
        Ok(())
    }

    /// Judges and translates any push; `None`: drop it.
    fn translate(&mut self, class: Class, push: Push) -> Result<Option<Arrival>, Malformed> {
        Ok(match push {
            Push::Entry(entry) => {
                let conversation = wire::conversation_id(&entry.conversation_id)?;
                let sequence = entry.sequence;
                let entry = match self.judge(class, conversation, sequence) {
                    Passage::New => wire::entry(conversation, entry)?,
                    Passage::HadAhead => None,
                    Passage::Duplicate => return Ok(None),
                };
                let passed = Arrival::Passed(conversation, class.mark(sequence));
                Some(entry.map_or(passed, |entry| Arrival::Entry(entry, class)))
            }
            Push::Receipt(receipt) => wire::receipt(receipt)?.map(|it| Arrival::Other(Incoming::Receipt(it))),
            Push::Joined(joined) => {
                let joined = wire::conversation(joined)?;
                self.order.joined(joined.id);
                Some(Arrival::Other(Incoming::Joined(joined)))
            }
            Push::LeftConversationId(id) => {
                let left = wire::conversation_id(&id)?;
                self.order.left(left);
                Some(Arrival::Other(Incoming::Left(left)))
            }
            Push::NotFollowedConversationId(id) => {
                self.order.partial();
                let one = NotFollowed::One(wire::conversation_id(&id)?);
                Some(Arrival::Other(Incoming::NotFollowed(one)))
            }
            Push::CaughtUp(caught_up) => {
                if caught_up.not_followed > 0 {
                    self.order.partial();
                    let some = NotFollowed::Some(caught_up.not_followed);
                    self.queue(class).push(Arrival::Other(Incoming::NotFollowed(some)));
                }
                let is_first = !std::mem::replace(&mut self.caught_up, true);
                is_first.then_some(Arrival::Other(Incoming::CaughtUp))
            }
            Push::Header(_) => return Err(Malformed("lane: a second header")),
        })
    }

    /// Judges an entry by what the application had already.
    fn judge(&mut self, class: Class, conversation: ConversationId, sequence: Sequence) -> Passage {
        match class {
            Class::Ordered => self.order.in_turn(conversation, sequence),
            Class::Urgent => self.order.ahead(conversation, sequence),
        }
    }

    fn are_full(&self, entries_max: usize) -> [bool; 2] {
        [self.ordered.is_full(entries_max), self.urgent.is_full(entries_max)]
    }
}

impl Queue {
    fn is_full(&self, entries_max: usize) -> bool {
        self.arrivals.len() + self.lent >= entries_max || self.bytes >= WAITING_BYTES_MAX
    }

    fn push(&mut self, arrival: Arrival) {
        self.bytes += arrival.bytes();
        if self.arrivals.is_empty() {
            self.arrivals.reserve(QUEUE_ENTRIES);
        }
        self.arrivals.push_back(arrival);
    }

    fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.pop_front()?;
        self.bytes -= arrival.bytes();
        if self.arrivals.is_empty() {
            self.arrivals = VecDeque::new();
        }
        Some(arrival)
    }

    /// Hands over all that waits. If nothing does, memory goes back: thousands of idle clients hold
    /// nothing.
    fn lend(&mut self, hand: &mut Hand) {
        std::mem::swap(&mut self.arrivals, &mut hand.arrivals);
        self.lent += hand.arrivals.len();
        if hand.arrivals.is_empty() {
            self.arrivals = VecDeque::new();
            hand.arrivals = VecDeque::new();
        }
    }

    /// Takes note of what the application took from the hand.
    fn settle(&mut self, hand: &mut Hand) {
        self.lent -= std::mem::take(&mut hand.taken);
        self.bytes -= std::mem::take(&mut hand.taken_bytes);
    }
}

impl Hand {
    #[inline]
    fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.pop_front()?;
        self.taken += 1;
        self.taken_bytes += arrival.bytes();
        Some(arrival)
    }
}

impl Arrival {
    fn bytes(&self) -> usize {
        ARRIVAL_BYTES
            + match self {
                Self::Entry(Entry { body: Body::Message { payload, .. }, .. }, _) => payload.len(),
                _ => 0,
            }
    }
}

impl Class {
    /// What to acknowledge once an entry that came on it is taken.
    pub(crate) fn mark(self, sequence: Sequence) -> Mark {
        match self {
            Self::Ordered => Mark::Delivered(sequence),
            Self::Urgent => Mark::DeliveredOnly(sequence),
        }
    }
}

#[cfg(test)]
mod tests;
