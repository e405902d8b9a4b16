//! Calling: reads the urgent messages that a device has not received, the newest first.
//!
//! Run on blocking threads, within a bound of their own: no backlog stands before them. A
//! conversation is followed, for as long as what was read of it waits to be sent, before membership
//! is looked at: so nothing is sent to somebody who left, and nothing that was withdrawn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use wardline_storage::engine::EngineError;
use wardline_storage::id::{ConversationId, Seq, Timestamp};
use wardline_storage::view::{Access, Look, Standing, View};

use super::calls::{Call, Calls};
use super::catch_up::Follower;
use super::subscription::Subscription;
use super::topic::ChunkCopy;
use super::topics::{Follow, Topics};
use crate::presence::bell::{Bell, Slot};
use crate::wire;

/// Most conversations that one read looks at.
const CONVERSATIONS_MAX: usize = 256;
/// Most messages that one read brings.
const MESSAGES_MAX: usize = 256;
/// Records from which on a read ends: then others who wait for theirs have their turn.
const STEP_RECORDS: u64 = 4_096;

/// What a read brought, the newest message first.
pub(super) struct Called {
    follows: Vec<Follow>,
    messages: VecDeque<Message>,
    /// Where else to look.
    pub(super) rest: Calls,
}

/// An urgent message, encoded.
struct Message {
    call: Call,
    seq: Seq,
    /// Its conversation, among those that are followed for it.
    follow: usize,
    bytes: BytesMut,
    expires: Timestamp,
    /// How often the topic had withdrawn entries before it was read.
    withdrawals: u64,
}

/// What was sent of what a read brought.
pub(super) struct Sent {
    pub(super) conversation: ConversationId,
    pub(super) seq: Seq,
}

/// A conversation that is looked at; `member`: if the user is one.
struct Room {
    follow: usize,
    withdrawals: u64,
    member: Option<(Access, Standing)>,
}

/// Reads the calls that wait, until `bytes_max` are read, or as much was looked at as others should
/// wait for.
///
/// # Errors
/// [`EngineError`] if the storage could not be read.
pub(super) fn read(
    view: View<'_>,
    topics: &Arc<Topics>,
    follower: &Follower,
    calls: Calls,
    bytes_max: usize,
) -> Result<Called, EngineError> {
    let mut reading = Reading {
        view,
        topics,
        follower,
        // Of what else happens there the session hears by its own bell.
        silent: Arc::new(Bell::new(0)),
        rooms: HashMap::new(),
        called: Called { follows: Vec::new(), messages: VecDeque::new(), rest: calls },
    };
    let mut bytes = 0;
    let begun = view.records();
    while bytes < bytes_max
        && reading.called.messages.len() < MESSAGES_MAX
        && view.records() - begun < STEP_RECORDS
    {
        let Some(call) = reading.called.rest.take() else { break };
        if !reading.has_room_for(call.conversation) {
            reading.called.rest.put(call);
            break;
        }
        bytes += reading.look(call)?;
    }
    Ok(reading.called)
}

struct Reading<'a> {
    view: View<'a>,
    topics: &'a Arc<Topics>,
    follower: &'a Follower,
    silent: Arc<Bell>,
    rooms: HashMap<ConversationId, Room>,
    called: Called,
}

impl Reading<'_> {
    fn has_room_for(&self, conversation: ConversationId) -> bool {
        self.rooms.len() < CONVERSATIONS_MAX || self.rooms.contains_key(&conversation)
    }

    /// Looks a call up, or reads it if that was done; gives the bytes that were read.
    fn look(&mut self, call: Call) -> Result<usize, EngineError> {
        self.enter(call)?;
        let room = &self.rooms[&call.conversation];
        let Some((access, standing)) = &room.member else { return Ok(0) };
        if let Some(seq) = call.seq {
            return self.take(call, seq);
        }
        match self.view.call(access, *standing, call.floor, call.below)? {
            Look::Call(seq, time) => self.called.rest.put(call.found(seq, time)),
            Look::NoneDownTo(seq) => self.called.rest.put(Call { below: seq, ..call }),
            Look::None => {}
        }
        Ok(0)
    }

    fn take(&mut self, call: Call, seq: Seq) -> Result<usize, EngineError> {
        let Room { follow, withdrawals, member } = &self.rooms[&call.conversation];
        let placed = match member {
            Some((access, _)) => self.view.called(access, seq)?,
            None => None,
        };
        let older =
            if placed.is_some() { call.older(seq) } else { Some(Call { seq: None, below: seq, ..call }) };
        let mut read = 0;
        if let Some(placed) = placed {
            let (mut bytes, expires) = (BytesMut::new(), placed.entry.expires);
            wire::entry(call.conversation, seq, &placed.entry, &placed.sender, &placed.mentioned, &mut bytes);
            read = bytes.len();
            let (follow, withdrawals) = (*follow, *withdrawals);
            self.called.messages.push_back(Message { call, seq, follow, bytes, expires, withdrawals });
        }
        if let Some(older) = older {
            self.called.rest.put(older);
        }
        Ok(read)
    }

    fn enter(&mut self, call: Call) -> Result<(), EngineError> {
        if self.rooms.contains_key(&call.conversation) {
            return Ok(());
        }
        let subscription = Subscription::new(self.follower.user, Slot(0), Arc::clone(&self.silent));
        let follow = self.topics.follow(call.conversation, Arc::new(subscription));
        let withdrawals = follow.withdrawals();
        let member = match self.view.access(self.follower.user, call.conversation)? {
            Some(access) => {
                let standing = self.view.standing(&access, self.follower.device, call.resume)?;
                Some((access, standing))
            }
            None => None,
        };
        self.called.follows.push(follow);
        let follow = self.called.follows.len() - 1;
        self.rooms.insert(call.conversation, Room { follow, withdrawals, member });
        Ok(())
    }
}

impl Called {
    /// Whether all that was read is sent.
    pub(super) fn is_sent(&self) -> bool {
        self.messages.is_empty()
    }

    /// Copies the next message to `out`. What cannot be sent as it was read is looked for again.
    pub(super) fn copy_next(&mut self, now: Timestamp, out: &mut BytesMut) -> Option<Sent> {
        let Message { call, seq, follow, bytes, expires, withdrawals } = self.messages.pop_front()?;
        let conversation = call.conversation;
        match self.follows[follow].copy_read(&bytes, expires, withdrawals, now, out) {
            ChunkCopy::Copied => return Some(Sent { conversation, seq }),
            ChunkCopy::Stale => {
                let again = Call { seq: None, below: seq.next(), floor: seq.previous(), left: 1, ..call };
                self.rest.put(again);
            }
            ChunkCopy::Left => {}
        }
        None
    }
}
