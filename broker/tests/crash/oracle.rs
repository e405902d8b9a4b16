//! What was asked, what was answered, and what must therefore be found. Objects to everything else.
//!
//! An operation is invoked, then acknowledged, refused, or unknown (its answer has not come). What
//! is acknowledged must be found for ever; what is refused never; what is unknown may be found or
//! not, but once found it stays.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use wardline_client::{ConversationId, MessageId, Sequence};

/// A message as somebody finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) sequence: Sequence,
    pub(crate) sender: String,
    pub(crate) id: MessageId,
    pub(crate) payload: Bytes,
}

struct Sent {
    conversation: ConversationId,
    sender: String,
    /// Its place in the order in which its sender published.
    turn: u64,
    payload: Bytes,
    /// Where it must be found: it was acknowledged or found there.
    place: Option<Sequence>,
    is_acked: bool,
    is_refused: bool,
}

/// What must be found by whoever begins to read now.
pub(crate) struct Expected {
    conversation: ConversationId,
    places: Vec<(MessageId, Sequence)>,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Oracle {
    sent: HashMap<MessageId, Sent>,
    /// Watermarks that were acknowledged or found.
    read: HashMap<(ConversationId, String), Sequence>,
    delivered: HashMap<(ConversationId, String), Sequence>,
    turns: u64,
    objections: Vec<String>,
}

impl Oracle {
    /// Notes a message before it is published for the first time.
    pub(crate) fn invoked(
        &mut self,
        id: MessageId,
        conversation: ConversationId,
        sender: &str,
        payload: Bytes,
    ) {
        self.turns += 1;
        let sender = sender.to_owned();
        let sent = Sent {
            conversation,
            sender,
            turn: self.turns,
            payload,
            place: None,
            is_acked: false,
            is_refused: false,
        };
        self.sent.insert(id, sent);
    }

    /// Notes that a message was acknowledged.
    pub(crate) fn acked(&mut self, id: MessageId, sequence: Sequence) {
        let Some(sent) = self.sent.get_mut(&id) else {
            return self.object(format!("{sequence} acknowledges what nobody sent"));
        };
        sent.is_acked = true;
        match sent.place.replace(sequence) {
            Some(place) if place != sequence => {
                self.object(format!("found at {place}, then acknowledged at {sequence}"));
            }
            _ => {}
        }
    }

    /// Notes that a message was refused.
    pub(crate) fn refused(&mut self, id: MessageId) {
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.is_refused = true;
        }
    }

    /// Notes that a read watermark was acknowledged.
    pub(crate) fn acked_read(&mut self, conversation: ConversationId, user: &str, sequence: Sequence) {
        let known = self.read.entry((conversation, user.to_owned())).or_default();
        *known = (*known).max(sequence);
    }

    /// What must be found by whoever begins to read a conversation now.
    pub(crate) fn expect(&self, conversation: ConversationId) -> Expected {
        let here = self.sent.iter().filter(|(_, sent)| sent.conversation == conversation);
        Expected { conversation, places: here.filter_map(|(id, sent)| Some((*id, sent.place?))).collect() }
    }

    /// The least that somebody who begins to look now must find as a read watermark.
    pub(crate) fn expect_read(&self, conversation: ConversationId, user: &str) -> Sequence {
        self.read.get(&(conversation, user.to_owned())).copied().unwrap_or_default()
    }

    /// Judges all messages of a conversation as they were read, from the first on.
    pub(crate) fn check_history(&mut self, expected: &Expected, found: &[Found]) {
        let mut ids = HashSet::new();
        let mut turns: HashMap<&str, u64> = HashMap::new();
        for (index, message) in found.iter().enumerate() {
            if message.sequence != index as Sequence + 1 {
                self.object(format!("{} stands at place {}", message.sequence, index + 1));
            }
            if !ids.insert(message.id) {
                self.object(format!("{} is there twice", message.sequence));
            }
            self.check(expected.conversation, message);
            if let Some(sent) = self.sent.get(&message.id) {
                let turn = turns.entry(&message.sender).or_default();
                let overtook = sent.turn < *turn;
                *turn = sent.turn;
                if overtook {
                    self.object(format!("{} overtook an earlier message of its sender", message.sequence));
                }
            }
        }
        for (id, place) in &expected.places {
            if !ids.contains(id) {
                self.object(format!("{place} was acknowledged or found, and is lost"));
            }
        }
    }

    /// Judges a delivery: each message once, in order, without holes.
    pub(crate) fn delivered(&mut self, conversation: ConversationId, to: &str, message: &Found) {
        let latest = self.delivered.entry((conversation, to.to_owned())).or_default();
        let before = std::mem::replace(latest, message.sequence);
        if message.sequence != before + 1 {
            self.object(format!("{} was delivered after {before}", message.sequence));
        }
        self.check(conversation, message);
    }

    /// How far the deliveries to somebody have come.
    pub(crate) fn delivered_up_to(&self, conversation: ConversationId, to: &str) -> Sequence {
        self.delivered.get(&(conversation, to.to_owned())).copied().unwrap_or_default()
    }

    /// Judges a read watermark, given what was expected before it was looked up.
    pub(crate) fn check_read(
        &mut self,
        conversation: ConversationId,
        user: &str,
        expected: Sequence,
        found: Sequence,
    ) {
        if found < expected {
            self.object(format!("read up to {expected}, then only to {found}"));
        }
        self.acked_read(conversation, user, found);
    }

    /// Messages that are neither acknowledged nor refused.
    pub(crate) fn unknown(&self) -> usize {
        self.sent.values().filter(|sent| !sent.is_acked && !sent.is_refused).count()
    }

    /// Messages that are acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.sent.values().filter(|sent| sent.is_acked).count()
    }

    /// What was wrong so far.
    pub(crate) fn objections(&self) -> &[String] {
        &self.objections
    }

    /// Judges one message by itself, and notes that it was found.
    fn check(&mut self, conversation: ConversationId, message: &Found) {
        let sequence = message.sequence;
        let Some(sent) = self.sent.get_mut(&message.id) else {
            return self.object(format!("nobody sent what stands at {sequence}"));
        };
        let is_same = sent.conversation == conversation
            && sent.sender == message.sender
            && sent.payload == message.payload;
        let (place, is_refused) = (*sent.place.get_or_insert(sequence), sent.is_refused);
        if !is_same {
            self.object(format!("{sequence} is not as it was sent"));
        }
        if place != sequence {
            self.object(format!("{sequence} was acknowledged or found at {place}"));
        }
        if is_refused {
            self.object(format!("{sequence} was refused, and is there"));
        }
    }

    fn object(&mut self, objection: String) {
        self.objections.push(objection);
    }
}
