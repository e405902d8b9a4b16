//! Reading entries: history, delivery, counting, and where a device goes on.
//!
//! One rule of visibility serves all of them: stored, not expired by the true expiry, within the
//! membership. Headers are looked at first, so what is passed over costs no copy of its content.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::engine::{Direction, EngineError, Table};
use crate::id::{ConversationId, DeviceId, Seq, Timestamp, UserId};
use crate::key;
use crate::model::{Body, Cursor, Device, Entry, Notice, Text};
use crate::record::{EntryHeader, Record};

use super::{Access, Chunk, PASSED_OVER_MAX, Placed, UNREAD_MAX, View};

/// What a person takes who is mentioned in an entry: the longest name and what goes with it.
const MENTION_BYTES: usize = 136;

impl View<'_> {
    /// Visible entries beyond `from` in `direction` (for backward, `Seq::MAX` starts at the head),
    /// at most `limit` and, after the first, at most `bytes_max` bytes of what people wrote in them
    /// and of the names that they mention.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn entries(
        &self,
        access: &Access,
        from: Seq,
        direction: Direction,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Chunk, EngineError> {
        let (visible_from, head) = (access.member.visible_from, access.conversation.head);
        let (first, last, end) = match direction {
            Direction::Forward => (visible_from.max(Seq(from.0.saturating_add(1))), head, head),
            Direction::Backward => (visible_from, head.min(from.previous()), visible_from.min(from)),
        };
        let mut found: Vec<(Seq, Entry)> = Vec::new();
        let (mut through, mut more) = (from, false);
        let (mut bytes, mut passed_over) = (0, 0);
        let span = key::messages(access.id, first, last);
        self.each(Table::Message, &span, direction, |key, value| {
            let seq = key::message_seq(key)?;
            let header = EntryHeader::decode(value)?;
            let expires = access.expiry(seq, &header);
            let visible = self.now < expires;
            if (visible && found.len() == limit) || (!visible && passed_over == PASSED_OVER_MAX) {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            if visible {
                let entry = Entry { expires, ..Entry::decode(value)? };
                bytes += length(&entry);
                if !found.is_empty() && bytes > bytes_max {
                    more = true;
                    return Ok(ControlFlow::Break(()));
                }
                found.push((seq, entry));
            } else {
                passed_over += 1;
            }
            through = seq;
            Ok(ControlFlow::Continue(()))
        })?;
        // What has no record up to the end has been looked at, too.
        let through = if more { through } else { end };
        Ok(Chunk { entries: self.place(access.id, found)?, through, more })
    }

    /// Where a device goes on in a conversation: deliver what lies above this.
    ///
    /// Its own acknowledged place, if it has one. Otherwise it is owed all that nobody received
    /// yet, and all that was published since it was registered.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn device_position(&self, access: &Access, device: DeviceId) -> Result<Seq, EngineError> {
        let cursor = self.cursor(access)?;
        self.position(access, &cursor, device)
    }

    pub(super) fn position(
        &self,
        access: &Access,
        cursor: &Cursor,
        device: DeviceId,
    ) -> Result<Seq, EngineError> {
        let floor = access.member.visible_from.previous();
        if let Some(place) = cursor.device(device) {
            return Ok(place.max(floor));
        }
        let registered: Option<Device> = self.record(Table::Device, &key::device(access.user, device))?;
        let position = match registered {
            Some(device) => self.last_before(access.id, floor, cursor.delivered, device.registered)?,
            None => cursor.delivered,
        };
        Ok(position.max(floor))
    }

    /// Visible messages of others above `read`, up to [`UNREAD_MAX`] of them and as far as a read
    /// may go.
    pub(super) fn unread(&self, access: &Access, read: Seq) -> Result<u32, EngineError> {
        let first = access.member.visible_from.max(read.next());
        let span = key::messages(access.id, first, access.conversation.head);
        let (mut unread, mut passed_over) = (0, 0);
        self.each(Table::Message, &span, Direction::Forward, |key, value| {
            let seq = key::message_seq(key)?;
            let header = EntryHeader::decode(value)?;
            let visible = self.now < access.expiry(seq, &header);
            if visible && header.is_message && header.sender != access.user {
                unread += 1;
            } else {
                passed_over += 1;
            }
            let done = unread == UNREAD_MAX || passed_over == PASSED_OVER_MAX;
            Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(unread)
    }

    /// The last sequence up to `last` before the first entry above `floor` that was published at
    /// `time` or later. Times never go back in a conversation, so it is found by halves; where
    /// entries are gone, the next one tells.
    fn last_before(
        &self,
        conversation: ConversationId,
        floor: Seq,
        last: Seq,
        time: Timestamp,
    ) -> Result<Seq, EngineError> {
        let (mut low, mut high, mut found) = (floor.next(), last, last);
        while low <= high {
            let middle = Seq(low.0 + (high.0 - low.0) / 2);
            match self.first_time(conversation, middle, high)? {
                Some((seq, published)) if published < time => low = seq.next(),
                Some((seq, _)) => (found, high) = (seq.previous(), middle.previous()),
                None => high = middle.previous(),
            }
        }
        Ok(found)
    }

    fn first_time(
        &self,
        conversation: ConversationId,
        first: Seq,
        last: Seq,
    ) -> Result<Option<(Seq, Timestamp)>, EngineError> {
        let mut found = None;
        let span = key::messages(conversation, first, last);
        self.each(Table::Message, &span, Direction::Forward, |key, value| {
            found = Some((key::message_seq(key)?, EntryHeader::decode(value)?.time));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Adds the names of the people in entries.
    pub(super) fn place(
        &self,
        conversation: ConversationId,
        found: Vec<(Seq, Entry)>,
    ) -> Result<Vec<Placed>, EngineError> {
        let mut names = BTreeMap::new();
        let mut name = |user: UserId| -> Result<Text, EngineError> {
            if let Some(name) = names.get(&user) {
                return Ok(Text::clone(name));
            }
            let member = self.member(conversation, user)?.ok_or_else(|| EngineError::Corrupt {
                doing: "naming the people of an entry",
                detail: "somebody in it was never a member of its conversation".into(),
            })?;
            names.insert(user, member.name.clone());
            Ok(member.name)
        };
        let mut placed = Vec::with_capacity(found.len());
        for (seq, entry) in found {
            let sender = name(entry.sender)?;
            let mentioned = match &entry.body {
                Body::Tombstone { by, .. } => vec![name(*by)?],
                Body::Notice(Notice::Added(users, _) | Notice::Left(users)) => {
                    users.iter().map(|user| name(*user)).collect::<Result<_, _>>()?
                }
                Body::Notice(Notice::Removed(user) | Notice::Role(user, _)) => vec![name(*user)?],
                Body::Message(_) | Body::Notice(_) => Vec::new(),
            };
            placed.push(Placed { seq, entry, sender, mentioned });
        }
        Ok(placed)
    }
}

/// Bytes of an entry that grow with what somebody put into it.
fn length(entry: &Entry) -> usize {
    match &entry.body {
        Body::Message(message) => message.payload.len(),
        Body::Notice(Notice::Added(users, _) | Notice::Left(users)) => users.len() * MENTION_BYTES,
        Body::Notice(Notice::Renamed(title)) => title.as_str().len(),
        Body::Tombstone { .. } | Body::Notice(_) => 0,
    }
}
