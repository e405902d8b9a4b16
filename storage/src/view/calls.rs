//! Calls: urgent messages that have not reached a device, found by their index, the newest first.
//!
//! What a device received is known by its own place, and by what its user has read. Single receipts
//! say which user has a message, not on which device: they count for the device only if its user
//! has no other one in the conversation. Who wrote a message is not called by it. Nothing here
//! scans what is not urgent.

use std::ops::ControlFlow;

use crate::engine::{Direction, EngineError, Table};
use crate::id::{DeviceId, Seq, Timestamp};
use crate::key;
use crate::model::{Body, Entry, Priority, ReceiptKind};
use crate::record::Record;

use super::{Access, Look, PASSED_OVER_MAX, Placed, Standing, View};

impl View<'_> {
    /// Where a device stands. `position`: where it says that it does, if it knows better.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn standing(
        &self,
        access: &Access,
        device: DeviceId,
        position: Option<Seq>,
    ) -> Result<Standing, EngineError> {
        let cursor = self.cursor(access)?;
        let position = match position {
            Some(position) => position,
            None => self.position(access, &cursor, device)?,
        };
        let is_only_device = cursor.devices.iter().all(|(other, _)| *other == device);
        Ok(Standing { position, read: cursor.read, is_only_device })
    }

    /// Looks for the newest call below `below` and above `floor`.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn call(
        &self,
        access: &Access,
        standing: Standing,
        floor: Seq,
        below: Seq,
    ) -> Result<Look, EngineError> {
        let floor = floor.max(standing.position).max(standing.read);
        let first = floor.next().max(access.member.visible_from);
        let span = key::messages(access.id, first, below.previous().min(access.conversation.head));
        let (mut found, mut passed_over) = (Look::None, 0);
        self.each(Table::Urgent, &span, Direction::Backward, |key, value| {
            let seq = key::message_seq(key)?;
            if !self.is_received_singly(access, standing, seq)? {
                found = Look::Call(seq, Timestamp::decode(value)?);
                return Ok(ControlFlow::Break(()));
            }
            passed_over += 1;
            if passed_over == PASSED_OVER_MAX {
                found = Look::NoneDownTo(seq);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Reads an urgent message of somebody else, if it is there still and the reader may see it.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn called(&self, access: &Access, seq: Seq) -> Result<Option<Placed>, EngineError> {
        if !access.member.sees(seq) {
            return Ok(None);
        }
        let found: Option<Entry> = self.record(Table::Message, &key::message(access.id, seq))?;
        let Some(mut entry) = found else { return Ok(None) };
        entry.expires = access.conversation.expiry(seq, entry.time, entry.expires, entry.is_notice());
        let is_urgent = matches!(&entry.body, Body::Message(message) if message.priority == Priority::Urgent);
        if !is_urgent || entry.sender == access.user || self.now >= entry.expires {
            return Ok(None);
        }
        Ok(self.place(access.id, vec![(seq, entry)])?.pop())
    }

    fn is_received_singly(&self, access: &Access, standing: Standing, seq: Seq) -> Result<bool, EngineError> {
        let has = |kind| {
            let at = key::receipt(access.id, access.user, kind, seq);
            self.get(Table::Receipt, &at).map(|receipt| receipt.is_some())
        };
        Ok(has(ReceiptKind::ReadOnly)? || (standing.is_only_device && has(ReceiptKind::DeliveredOnly)?))
    }
}
