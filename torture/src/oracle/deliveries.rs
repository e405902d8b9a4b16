//! Deliveries to a device: each message once, in order, without holes; urgent ones ahead of their
//! turn.
//!
//! A device that begins anew (its application was started again) gets again what it had not
//! acknowledged, never less.

use std::collections::{BTreeSet, HashMap};

use wardline_client::{ConversationId, DeviceId, Sequence, TimeMs};

use super::hearing::{Hearing, Law};
use super::messages::Messages;
use crate::event::{Found, Noticed, User};

/// What all devices have received.
#[derive(Default)]
pub(super) struct Deliveries {
    devices: HashMap<DeviceId, Device>,
}

/// What a device has received.
#[derive(Default)]
struct Device {
    began_ms: TimeMs,
    runs: HashMap<ConversationId, Run>,
}

/// Deliveries of one conversation.
#[derive(Default)]
struct Run {
    /// The highest that came in its turn.
    last: Sequence,
    /// Came ahead of their turn, ever.
    ahead: BTreeSet<Sequence>,
    /// Came ahead of their turn since the device began.
    ahead_since: BTreeSet<Sequence>,
    /// It began anew, and nothing has come in its turn yet.
    anew: bool,
}

/// How a delivery fits in.
enum Fit {
    Ahead,
    Again,
    /// In its turn, after everything up to this place.
    After(Sequence),
}

impl Run {
    fn fit(&mut self, sequence: Sequence, urgent: bool) -> Fit {
        if urgent && (self.anew || sequence > self.last + 1) {
            self.ahead.insert(sequence);
            return if self.ahead_since.insert(sequence) { Fit::Ahead } else { Fit::Again };
        }
        if !self.anew && (sequence <= self.last || self.ahead_since.contains(&sequence)) {
            return Fit::Again;
        }
        self.anew = false;
        let last = std::mem::replace(&mut self.last, sequence);
        Fit::After(last)
    }

    /// Takes a delivery, and judges what it passes over.
    fn take(
        &mut self,
        hearing: &mut Hearing,
        messages: &mut Messages,
        room: ConversationId,
        (sequence, urgent): (Sequence, bool),
        at_ms: TimeMs,
    ) {
        const SOMEBODY: User = User("a device");
        match self.fit(sequence, urgent) {
            Fit::Ahead => {}
            Fit::Again => {
                let text = format!("{sequence} was delivered again, or after {}", self.last);
                hearing.object(Law::Once, text);
            }
            Fit::After(last) => {
                let skipped: Vec<_> =
                    (last + 1..sequence).filter(|sequence| !self.ahead.contains(sequence)).collect();
                self.ahead.retain(|ahead| *ahead > sequence);
                for place in skipped {
                    messages.missing(hearing, room, place..place + 1, &BTreeSet::new(), (at_ms, SOMEBODY));
                }
            }
        }
    }

    /// Up to where everything came: in its turn, or ahead of it and not again.
    fn up_to(&self) -> Sequence {
        let ahead = (self.last + 1..).take_while(|sequence| self.ahead.contains(sequence));
        ahead.last().unwrap_or(self.last)
    }
}

impl Deliveries {
    pub(super) fn connected(&mut self, device: DeviceId, at_ms: TimeMs) {
        let device = self.devices.entry(device).or_default();
        device.began_ms = at_ms;
        for run in device.runs.values_mut() {
            run.anew = true;
            run.ahead_since.clear();
        }
    }

    pub(super) fn delivered(
        &mut self,
        hearing: &mut Hearing,
        messages: &mut Messages,
        device: DeviceId,
        room: ConversationId,
        at_ms: TimeMs,
        found: &Found,
    ) {
        hearing.tally.deliveries += 1;
        messages.found(hearing, room, found);
        let device = self.devices.entry(device).or_default();
        let run = device.runs.entry(room).or_default();
        let sequence = found.sequence;
        if found.expires_at_ms <= device.began_ms {
            let text = format!("{sequence} had expired before the device began, and was delivered");
            hearing.object(Law::Expiry, text);
        }
        run.take(hearing, messages, room, (sequence, found.urgent), at_ms);
    }

    /// What is no message comes in its turn, once.
    pub(super) fn noticed(
        &mut self,
        hearing: &mut Hearing,
        messages: &mut Messages,
        device: DeviceId,
        room: ConversationId,
        at_ms: TimeMs,
        noticed: &Noticed,
    ) {
        hearing.tally.deliveries += 1;
        messages.noticed(hearing, room, noticed);
        let device = self.devices.entry(device).or_default();
        device.runs.entry(room).or_default().take(hearing, messages, room, (noticed.sequence, false), at_ms);
    }

    pub(super) fn up_to(&self, device: DeviceId, room: ConversationId) -> Sequence {
        self.devices.get(&device).and_then(|device| device.runs.get(&room)).map_or(0, Run::up_to)
    }
}
