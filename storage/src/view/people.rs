//! Reading people: who is in a conversation, and who has received and read a message.
//!
//! Those who left stay recipients of what was theirs to see. Receipts are asked for one seek per
//! person and kind; who has read a message has received it, also where no receipt says so by
//! itself.

use std::ops::ControlFlow;

use crate::engine::{Direction, EngineError, Table};
use crate::id::{ConversationId, Seq, Timestamp, UserId};
use crate::key;
use crate::model::{Member, ReceiptKind, Text};
use crate::record::{EntryHeader, Record};

use super::{Access, Listed, Page, Recipient, View};

impl View<'_> {
    /// Active members by id, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Page<Listed, UserId>, EngineError> {
        let span = key::members(conversation, after);
        self.page(Table::Member, &span, limit, |key, value| {
            let (user, member) = (key::member_user(key)?, Member::decode(value)?);
            let active = member.is_active();
            let listed = Listed { user, name: member.name, role: member.role, joined: member.joined };
            Ok((user, active.then_some(listed)))
        })
    }

    /// The recipients of a visible message, by id, after `after`, at most `limit`; `None` if the
    /// message is not visible to the reader.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn recipients(
        &self,
        access: &Access,
        seq: Seq,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Option<Page<Recipient, UserId>>, EngineError> {
        let Some(sender) = self.visible_sender(access, seq)? else { return Ok(None) };
        let span = key::members(access.id, after);
        let mut page = self.page(Table::Member, &span, limit, |key, value| {
            let (user, member) = (key::member_user(key)?, Member::decode(value)?);
            let received = user != sender && member.sees(seq);
            let recipient = Recipient { user, name: member.name, delivered: None, read: None };
            Ok((user, received.then_some(recipient)))
        })?;
        for recipient in &mut page.items {
            let receipt = |kind, single| self.receipt_time(access.id, recipient.user, kind, single, seq);
            recipient.read = receipt(ReceiptKind::Read, ReceiptKind::ReadOnly)?;
            let delivered = receipt(ReceiptKind::Delivered, ReceiptKind::DeliveredOnly)?;
            // Who has read it has received it.
            recipient.delivered = earliest(delivered, recipient.read);
        }
        Ok(Some(page))
    }

    /// The sender of an entry, if the reader may see it.
    fn visible_sender(&self, access: &Access, seq: Seq) -> Result<Option<UserId>, EngineError> {
        if !access.member.sees(seq) {
            return Ok(None);
        }
        let Some(bytes) = self.get(Table::Message, &key::message(access.id, seq))? else {
            return Ok(None);
        };
        let header = EntryHeader::decode(&bytes)?;
        let expires = access.expiry(seq, &header);
        Ok((self.now < expires).then_some(header.sender))
    }

    /// When a message was certified: singly, or by the first watermark that covers it.
    fn receipt_time(
        &self,
        conversation: ConversationId,
        user: UserId,
        watermark: ReceiptKind,
        single: ReceiptKind,
        seq: Seq,
    ) -> Result<Option<Timestamp>, EngineError> {
        let singly = self.record(Table::Receipt, &key::receipt(conversation, user, single, seq))?;
        let mut covered = None;
        let span = key::receipts_from(conversation, user, watermark, seq);
        self.each(Table::Receipt, &span, Direction::Forward, |_, value| {
            covered = Some(Timestamp::decode(value)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(earliest(singly, covered))
    }

    /// The name of the other person in a direct conversation.
    pub(super) fn peer(&self, access: &Access) -> Result<Option<Text>, EngineError> {
        let mut peer = None;
        self.each(Table::Member, &key::members(access.id, None), Direction::Forward, |key, value| {
            if key::member_user(key)? == access.user {
                return Ok(ControlFlow::Continue(()));
            }
            peer = Some(Member::decode(value)?.name);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(peer)
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
