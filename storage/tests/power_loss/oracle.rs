//! Remembers what was asked and what was acknowledged, and objects when the store disagrees.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use wardline_storage::id::{ClientMessageId, ConversationId, Seq, UserId};

/// A message as it was submitted.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) conversation: ConversationId,
    pub(crate) sender: UserId,
    /// Its place in the order in which its sender submitted.
    pub(crate) turn: u64,
    pub(crate) payload: Bytes,
    /// Its sequence, once it was acknowledged.
    pub(crate) acked: Option<Seq>,
}

/// A message as the store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) seq: Seq,
    pub(crate) sender: UserId,
    pub(crate) id: ClientMessageId,
    pub(crate) payload: Bytes,
}

/// What the store did wrong, for people.
pub(crate) type Objection = String;

/// What was asked and what was acknowledged.
#[derive(Default)]
pub(crate) struct Oracle {
    sent: BTreeMap<ClientMessageId, Sent>,
    read: HashMap<(ConversationId, UserId), Seq>,
    turns: u64,
}

impl Oracle {
    /// Notes a message that is submitted for the first time.
    pub(crate) fn submitted(
        &mut self,
        id: ClientMessageId,
        conversation: ConversationId,
        sender: UserId,
        payload: Bytes,
    ) {
        self.turns += 1;
        let sent = Sent { conversation, sender, turn: self.turns, payload, acked: None };
        let before = self.sent.insert(id, sent);
        assert!(before.is_none(), "ids are drawn once");
    }

    /// Notes an acknowledgement; a message has one place for ever.
    pub(crate) fn acknowledged(&mut self, id: ClientMessageId, seq: Seq) -> Result<(), Objection> {
        let sent = self.sent.get_mut(&id).ok_or("acknowledged what nobody sent")?;
        match sent.acked.replace(seq) {
            Some(before) if before != seq => Err(format!("acknowledged first at {before}, then at {seq}")),
            _ => Ok(()),
        }
    }

    /// Notes that a read watermark was acknowledged.
    pub(crate) fn has_read(&mut self, conversation: ConversationId, user: UserId, seq: Seq) {
        let known = self.read.entry((conversation, user)).or_default();
        *known = (*known).max(seq);
    }

    /// Everything that was ever submitted, in that order of ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ClientMessageId, &Sent)> {
        self.sent.iter().map(|(id, sent)| (*id, sent))
    }

    /// Judges the messages of a conversation, in order of sequence.
    pub(crate) fn check(&self, conversation: ConversationId, found: &[Found]) -> Result<(), Objection> {
        let mut seen = HashSet::new();
        let mut turns: HashMap<UserId, u64> = HashMap::new();
        let mut last = Seq::ZERO;
        for message in found {
            let seq = message.seq;
            if seq <= last {
                return Err(format!("{seq} stands after {last}"));
            }
            last = seq;
            let sent = self.sent.get(&message.id).ok_or(format!("nobody sent what stands at {seq}"))?;
            if (sent.conversation, sent.sender) != (conversation, message.sender)
                || sent.payload != message.payload
            {
                return Err(format!("{seq} is not as it was sent"));
            }
            if !seen.insert(message.id) {
                return Err(format!("{seq} is there twice"));
            }
            if sent.acked.is_some_and(|acked| acked != seq) {
                return Err(format!("{seq} was acknowledged at another place"));
            }
            let turn = turns.entry(message.sender).or_default();
            if sent.turn < *turn {
                return Err(format!("{seq} overtook an earlier message of its sender"));
            }
            *turn = sent.turn;
        }
        let lost = self.sent.iter().find(|(id, sent)| {
            sent.conversation == conversation && sent.acked.is_some() && !seen.contains(*id)
        });
        match lost {
            Some((_, sent)) => Err(format!("acknowledged and lost: {:?}", sent.acked)),
            None => Ok(()),
        }
    }

    /// Judges somebody's read watermark.
    pub(crate) fn check_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        found: Seq,
    ) -> Result<(), Objection> {
        let acked = self.read.get(&(conversation, user)).copied().unwrap_or_default();
        if found < acked { Err(format!("read up to {acked}, then only to {found}")) } else { Ok(()) }
    }
}
