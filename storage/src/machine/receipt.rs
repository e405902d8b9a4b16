//! Who has received and read what, and on which devices.
//!
//! Watermarks never go back. What they certify for others is a receipt, written when the *user's*
//! watermark advances; a device that catches up with its user's others is nobody else's business.

use std::collections::BTreeSet;

use crate::command::{Acknowledge, Event, Outcome, Rejection};
use crate::engine::{Direction, Table};
use crate::id::{DeviceId, Seq, Timestamp, UserId};
use crate::key;
use crate::model::{Cursor, Device, Person, Policy, ReceiptKind};
use crate::record::Record;
use crate::scan;

use super::{Change, Scene, Step, Stepped, Stop};

/// `last_seen` is written at most so often, to save writes when devices come and go. Part of the
/// machine's version: another number gives another state.
const SEEN_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

impl Step<'_> {
    pub(super) fn acknowledge(&mut self, acknowledge: &Acknowledge) -> Stepped {
        let scene = self.enter(acknowledge.conversation)?;
        let before = self.state.cursor(scene.id, self.actor.user)?.unwrap_or_default();
        self.check_watermarks(&scene, &before, acknowledge)?;

        let read = acknowledge.read.unwrap_or(Seq::ZERO);
        // Who has read it has received it, and on this device.
        let delivered = acknowledge.delivered.unwrap_or(Seq::ZERO).max(read);
        let mut cursor = before.clone();
        cursor.delivered = cursor.delivered.max(delivered);
        cursor.read = cursor.read.max(read);
        self.advance_device(&mut cursor, delivered, scene.policy);
        if cursor != before {
            self.effects.changes.push(Change::Cursor(scene.id, self.actor.user, cursor.clone()));
        }

        // Every entry that a watermark covers is older than now, so it is gone when the receipt
        // goes.
        let expires = self.now.after(scene.policy.retention_max);
        if cursor.delivered > before.delivered {
            self.certify(&scene, ReceiptKind::Delivered, cursor.delivered, expires);
        }
        if cursor.read > before.read {
            self.certify(&scene, ReceiptKind::Read, cursor.read, expires);
        }
        let singly = [
            (ReceiptKind::DeliveredOnly, &acknowledge.delivered_only, cursor.delivered),
            (ReceiptKind::ReadOnly, &acknowledge.read_only, cursor.read),
        ];
        for (kind, sequences, watermark) in singly {
            for seq in sequences.iter().copied().collect::<BTreeSet<_>>() {
                self.certify_singly(&scene, kind, seq, watermark)?;
            }
        }
        Ok(Outcome::Acknowledged { delivered: cursor.delivered, read: cursor.read })
    }

    fn check_watermarks(&self, scene: &Scene, before: &Cursor, asked: &Acknowledge) -> Result<(), Stop> {
        let head = scene.conversation.head;
        if asked.delivered.max(asked.read).is_some_and(|seq| seq > head) {
            return Err(Rejection::ReceiptBeyondHead { head }.into());
        }
        let place = before.device(self.actor.device);
        if let (Some(delivered), Some(current)) = (asked.delivered, place)
            && delivered < current
        {
            return Err(Rejection::ReceiptBackwards { current }.into());
        }
        let current = before.read;
        if asked.read.is_some_and(|read| read < current) {
            return Err(Rejection::ReceiptBackwards { current }.into());
        }
        Ok(())
    }

    /// Moves this device's place on. It goes to the end of the list, and the one at its start gives
    /// way.
    fn advance_device(&self, cursor: &mut Cursor, delivered: Seq, policy: Policy) {
        let device = self.actor.device;
        if delivered <= cursor.device(device).unwrap_or(Seq::ZERO) {
            return;
        }
        cursor.devices.retain(|(id, _)| *id != device);
        cursor.devices.push((device, delivered));
        let excess = cursor.devices.len().saturating_sub(policy.devices_max as usize);
        cursor.devices.drain(..excess);
    }

    /// A receipt for one urgent message that overtook the watermark. A message that is gone or was
    /// deleted between its delivery and this is passed over: there is nothing left to certify, and
    /// the watermarks that came with it must hold.
    fn certify_singly(
        &mut self,
        scene: &Scene,
        kind: ReceiptKind,
        seq: Seq,
        watermark: Seq,
    ) -> Result<(), Stop> {
        let head = scene.conversation.head;
        if seq > head {
            return Err(Rejection::ReceiptBeyondHead { head }.into());
        }
        let Some((header, is_urgent, expires)) = self.header(scene, seq)? else { return Ok(()) };
        if header.is_tombstone {
            return Ok(());
        }
        if !is_urgent {
            return Err(Rejection::NotUrgent.into());
        }
        let at = key::receipt(scene.id, self.actor.user, kind, seq);
        let known = seq <= watermark || self.state.get(Table::Receipt, &at, self.now)?.is_some();
        if !known {
            self.certify(scene, kind, seq, expires);
        }
        Ok(())
    }

    fn certify(&mut self, scene: &Scene, kind: ReceiptKind, seq: Seq, expires: Timestamp) {
        let (actor, time) = (self.actor, self.now);
        let at = key::receipt(scene.id, actor.user, kind, seq);
        // New: a watermark that advanced was never certified before, and single ones were looked
        // up.
        self.insert_until(Table::Receipt, &at, &time, expires);
        self.tell(Event::Receipt {
            conversation: scene.id,
            person: Person { user: actor.user, name: actor.name.clone() },
            kind,
            seq,
            time,
        });
    }

    pub(super) fn register_device(&mut self) -> Stepped {
        let (user, device, now) = (self.actor.user, self.actor.device, self.now);
        let at = key::device(user, device);
        let known: Option<Device> = self.record(Table::Device, &at)?;
        // What is not on record may have been, if any of the user's devices ever gave way: it is
        // owed what the earliest of those would be.
        let gone: Option<Device> = match known {
            Some(_) => None,
            None => self.record(Table::Meta, &key::gave_way(user))?,
        };
        if known.is_none() {
            self.make_room_for_device(user, gone)?;
        }
        let since = known.or(gone).map_or(now, |device| device.registered);
        if known.is_none_or(|known| now >= known.last_seen.after(SEEN_EVERY)) {
            self.put(Table::Device, &at, &Device { registered: since, last_seen: now });
        }
        Ok(Outcome::DeviceRegistered { since, gave_way: gone.is_some() })
    }

    /// Forgets the devices that were not seen for longest, so that one more fits, and remembers
    /// since when what gave way is owed messages. Reads no more than a user may have devices.
    fn make_room_for_device(&mut self, user: UserId, gone: Option<Device>) -> Result<(), Stop> {
        let devices_max = (self.policy()?.devices_max as usize).max(1);
        let mut known: Vec<(Timestamp, DeviceId, Timestamp)> = Vec::new();
        let all = key::devices(user);
        scan::each(self.state, Table::Device, &all, Direction::Forward, self.now, |key, value| {
            let device = Device::decode(value)?;
            known.push((device.last_seen, key::device_id(key)?, device.registered));
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        known.sort_unstable();
        let excess = (known.len() + 1).saturating_sub(devices_max);
        let mut since = gone.map(|gone| gone.registered);
        for (_, device, registered) in known.into_iter().take(excess) {
            since = Some(since.map_or(registered, |since| since.min(registered)));
            self.delete(Table::Device, &key::device(user, device));
        }
        if let Some(registered) = since.filter(|since| gone.is_none_or(|gone| *since < gone.registered)) {
            self.put(Table::Meta, &key::gave_way(user), &Device { registered, last_seen: self.now });
        }
        Ok(())
    }
}
