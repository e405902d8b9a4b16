//! Every read, with expiry and membership applied. The broker reads state through this and nothing
//! else.
//!
//! An entry is visible if it is stored, its time has not come (by its record, or by a shortening of
//! retention that has not reached its record yet), and it is within the reader's membership.
//! Nothing here writes. No read visits more than a bounded number of records that it does not
//! return; a page may therefore be short and still have a next.

mod calls;
mod entries;
mod people;
mod record;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::{Direction, Engine, EngineError, Table};
use crate::id::{ConversationId, Seq, Timestamp, UserId};
use crate::key::{self, Span};
use crate::model::{Conversation, Cursor, Entry, Kind, Member, Revocation, Role, Subject, Text};
use crate::record::{EntryHeader, Record};
use crate::retention::Rules;
use crate::scan;
use crate::state;

/// Unread messages are counted up to here.
pub const UNREAD_MAX: u32 = 1000;

/// Most records that one read visits without returning them: a step that others can wait for.
pub const PASSED_OVER_MAX: usize = 1024;

/// A conversation and the reader's membership in it: proof that the reader may see it, as of the
/// moment it was made. Ask for a new one for every read: what was added, removed or shortened since
/// is not in an old one.
#[derive(Clone, Debug)]
pub struct Access {
    /// Which.
    pub id: ConversationId,
    /// Its record.
    pub conversation: Conversation,
    /// Who reads.
    pub user: UserId,
    /// Their membership, active.
    pub member: Member,
}

impl Access {
    /// When an entry is gone.
    fn expiry(&self, seq: Seq, header: &EntryHeader) -> Timestamp {
        self.conversation.expiry(seq, header.time, header.expires, header.is_notice)
    }
}

/// A conversation as a member sees it in a list.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The conversation and the reader's membership.
    pub access: Access,
    /// The reader's watermarks.
    pub cursor: Cursor,
    /// Visible messages of others above the read watermark, up to [`UNREAD_MAX`].
    pub unread: u32,
    /// In a direct conversation, the other person's name.
    pub peer: Option<Text>,
    /// How long messages are kept, by what it says and what the operator says.
    pub kept: Duration,
}

/// One page of a listing that goes on after a key.
#[derive(Clone, Debug)]
pub struct Page<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page goes on; `None`: this was the last.
    pub next: Option<K>,
}

/// An entry at its place, with the sender's name.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its place.
    pub seq: Seq,
    /// The entry.
    pub entry: Entry,
    /// The sender's name.
    pub sender: Text,
    /// The name of everybody else that the body mentions (who deleted, who was added or removed),
    /// in its order.
    pub mentioned: Vec<Text>,
}

/// Consecutive visible entries.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The entries, in the direction of reading.
    pub entries: Vec<Placed>,
    /// Everything up to and including this place has been looked at, in the direction of reading.
    pub through: Seq,
    /// Whether there is more in that direction.
    pub more: bool,
}

/// A recipient of a message and what they did with it.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: Text,
    /// When a device of theirs had it.
    pub delivered: Option<Timestamp>,
    /// When they had read it.
    pub read: Option<Timestamp>,
}

/// A member as a listing shows them.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: Text,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined: Timestamp,
}

/// Where a device stands in a conversation, as for its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What lies above this is to be delivered, in order.
    pub position: Seq,
    /// What its user has read.
    pub read: Seq,
    /// Whether no other device of its user ever acknowledged here.
    pub is_only_device: bool,
}

/// What came of looking for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The newest one, and when it was published.
    Call(Seq, Timestamp),
    /// None was found down to here, included: as far as one look may go.
    NoneDownTo(Seq),
    /// There is none.
    None,
}

/// What reads came to: what they cost whoever else waits for the store.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    records: Cell<u64>,
    bytes: Cell<u64>,
}

impl Spent {
    /// Records looked up or visited, there or not.
    pub fn records(&self) -> u64 {
        self.records.get()
    }

    /// Bytes of their keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    fn add(&self, bytes: usize) {
        self.records.set(self.records.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
    }
}

/// Reads state as of one instant.
#[derive(Clone, Copy)]
pub struct View<'a> {
    engine: &'a dyn Engine,
    now: Timestamp,
    spent: Option<&'a Spent>,
}

impl<'a> View<'a> {
    /// Reads `engine` as of `now`.
    pub fn new(engine: &'a dyn Engine, now: Timestamp) -> Self {
        Self { engine, now, spent: None }
    }

    /// The same, noting what it costs.
    pub fn metered(engine: &'a dyn Engine, now: Timestamp, spent: &'a Spent) -> Self {
        Self { engine, now, spent: Some(spent) }
    }

    /// What this has cost so far; nothing, if nobody asked for it.
    pub fn records(&self) -> u64 {
        self.spent.map_or(0, Spent::records)
    }

    /// Finds a conversation for a reader; `None` if it does not exist or they are no active member.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn access(&self, user: UserId, conversation: ConversationId) -> Result<Option<Access>, EngineError> {
        let id = conversation;
        let Some(member) = self.member(id, user)?.filter(Member::is_active) else { return Ok(None) };
        let conversation = self.record(Table::Conversation, &key::conversation(id))?;
        Ok(conversation.map(|conversation| Access { id, conversation, user, member }))
    }

    /// The ids of the conversations that a user is a member of, ascending, after `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn memberships(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Page<ConversationId, ConversationId>, EngineError> {
        let span = key::memberships(user, after);
        self.page(Table::Membership, &span, limit, |key, _| {
            let id = key::membership_conversation(key)?;
            Ok((id, Some(id)))
        })
    }

    /// What the operator has put in force. Before that there is no conversation to ask about.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read, or there is no policy.
    pub fn rules(&self) -> Result<Rules, EngineError> {
        state::rules(self.engine)?.ok_or_else(|| EngineError::Corrupt {
            doing: "reading the policy",
            detail: "there are conversations, and no policy".into(),
        })
    }

    /// What a list shows of a conversation under these rules.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn summary(&self, access: Access, rules: &Rules) -> Result<Summary, EngineError> {
        let cursor = self.cursor(&access)?;
        let unread = self.unread(&access, cursor.read)?;
        let peer = if access.conversation.kind == Kind::Direct { self.peer(&access)? } else { None };
        let kept = rules.kept(&access.conversation);
        Ok(Summary { access, cursor, unread, peer, kept })
    }

    /// The conversations whose messages wait for
    /// [`Command::Reexpire`](crate::command::Command::Reexpire), ascending, after `after`, at most
    /// `limit`: what a broker goes on with after a restart.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn reexpiring(
        &self,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Page<ConversationId, ConversationId>, EngineError> {
        self.page(Table::Meta, &key::reexpires(after), limit, |key, _| {
            let id = key::reexpire_conversation(key)?;
            Ok((id, Some(id)))
        })
    }

    /// All revocations: an operator makes each by hand, and the broker keeps them in memory.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn revocations(&self) -> Result<Vec<(Subject, Revocation)>, EngineError> {
        let mut all = Vec::new();
        self.each(Table::Meta, &key::revocations(), Direction::Forward, |key, value| {
            all.push((key::revoked_subject(key)?, Revocation::decode(value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    fn record<R: Record>(&self, table: Table, key: &[u8]) -> Result<Option<R>, EngineError> {
        self.get(table, key)?.map(|bytes| R::decode(&bytes)).transpose()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.engine.get(table, key, self.now)?;
        self.note(key.len() + found.as_ref().map_or(0, Bytes::len));
        Ok(found)
    }

    fn note(&self, bytes: usize) {
        if let Some(spent) = self.spent {
            spent.add(bytes);
        }
    }

    fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, EngineError> {
        self.record(Table::Member, &key::member(conversation, user))
    }

    fn cursor(&self, access: &Access) -> Result<Cursor, EngineError> {
        let cursor = self.record(Table::Cursor, &key::cursor(access.id, access.user))?;
        Ok(cursor.unwrap_or_default())
    }

    /// Visits a span in order.
    fn each(
        &self,
        table: Table,
        span: &Span,
        direction: Direction,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<(), EngineError> {
        scan::each(self.engine, table, span, direction, self.now, |key, value| {
            self.note(key.len() + value.len());
            visit(key, value)
        })
    }

    /// One page of a span, in ascending order. `read` gives a record's place, and the item unless
    /// it is passed over.
    fn page<T, K: Copy>(
        &self,
        table: Table,
        span: &Span,
        limit: usize,
        mut read: impl FnMut(&[u8], &[u8]) -> Result<(K, Option<T>), EngineError>,
    ) -> Result<Page<T, K>, EngineError> {
        let mut page = Page { items: Vec::new(), next: None };
        let (mut last, mut passed_over) = (None, 0);
        self.each(table, span, Direction::Forward, |key, value| {
            let (place, item) = read(key, value)?;
            match item {
                Some(item) if page.items.len() < limit.max(1) => page.items.push(item),
                None if passed_over < PASSED_OVER_MAX => passed_over += 1,
                _ => {
                    page.next = last;
                    return Ok(ControlFlow::Break(()));
                }
            }
            last = Some(place);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }
}
