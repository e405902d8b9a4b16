//! Judges what arrives at one person's inbox, as it arrives: each message once, in order, nothing
//! else.
//!
//! Pure: it is fed with entries and receipts and tells what they are. It lives as long as the
//! person, across sessions, so a message that comes again after a reconnect is a duplicate. The
//! independent check at the end does not use it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use wardline_client::{Body, ConversationId, Entry, Receipt, ReceiptKind, Sequence, TimeMs};

use super::content::Contents;
use super::trace::{Person, Trace};

/// What an entry turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next message from its sender: the one with this index.
    Message(usize),
    /// A message that the person published themselves, in order.
    Own(usize),
    /// A message that came before.
    Duplicate,
    /// A message with this index, not in the order in which it was published.
    Reordered(usize),
    /// Not a message of the trace to or from this person.
    Foreign,
}

/// What one person has seen so far.
#[derive(Debug)]
pub struct Arrivals {
    me: Person,
    trace: Arc<Trace>,
    contents: Contents,
    /// The last of each sender to each recipient.
    last: HashMap<(Person, Person), usize>,
    seen: HashSet<usize>,
    heads: HashMap<ConversationId, Sequence>,
    receipts: HashMap<(ConversationId, ReceiptKey), (Sequence, TimeMs)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ReceiptKey {
    Delivered,
    Read,
}

impl Arrivals {
    /// Nothing has arrived yet.
    pub fn new(me: Person, trace: Arc<Trace>, contents: Contents) -> Self {
        Self {
            me,
            trace,
            contents,
            last: HashMap::new(),
            seen: HashSet::new(),
            heads: HashMap::new(),
            receipts: HashMap::new(),
        }
    }

    /// Judges an entry.
    pub fn entry(&mut self, entry: &Entry) -> Arrival {
        let Body::Message { payload, .. } = &entry.body else { return Arrival::Foreign };
        let Some(index) = self.contents.identify(payload, &self.trace) else { return Arrival::Foreign };
        let message = self.trace.messages[index];
        let is_from_sender = Person::parse(&entry.sender) == Some(message.sender);
        if !is_from_sender || ![message.sender, message.recipient].contains(&self.me) {
            return Arrival::Foreign;
        }
        if !self.seen.insert(index) {
            return Arrival::Duplicate;
        }
        let head = self.heads.insert(entry.conversation, entry.sequence);
        let last = self.last.insert((message.sender, message.recipient), index);
        if head >= Some(entry.sequence) || last > Some(index) {
            return Arrival::Reordered(index);
        }
        if message.sender == self.me { Arrival::Own(index) } else { Arrival::Message(index) }
    }

    /// Judges a pushed receipt: whether it goes on from the one before, in place and in time.
    pub fn receipt(&mut self, receipt: &Receipt) -> bool {
        let kind = match receipt.kind {
            ReceiptKind::Delivered => ReceiptKey::Delivered,
            ReceiptKind::Read => ReceiptKey::Read,
        };
        let now = (receipt.sequence, receipt.time_ms);
        let before = self.receipts.insert((receipt.conversation, kind), now);
        before.is_none_or(|before| before.0 <= now.0 && before.1 <= now.1)
    }
}
