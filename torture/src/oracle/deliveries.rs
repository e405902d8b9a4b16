//! Deliveries to a device: each message once, in order, without holes; urgent ones ahead of their
//! turn.
//!
//! A device that begins anew (its application was started again) gets again what it had not
//! acknowledged, never less.

use std::collections::{BTreeSet, HashMap};

use wardline_client::{ConversationId, DeviceId, Sequence, TimeMs};

use super::{Law, Oracle};
use crate::event::{Found, User};

/// What a device has received.
#[derive(Default)]
pub(super) struct Device {
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

impl Device {
    pub(super) fn connected(&mut self, at_ms: TimeMs) {
        self.began_ms = at_ms;
        for run in self.runs.values_mut() {
            run.anew = true;
            run.ahead_since.clear();
        }
    }
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
}

impl Oracle {
    pub(super) fn delivered(&mut self, device: DeviceId, room: ConversationId, at_ms: TimeMs, found: &Found) {
        const SOMEBODY: User = User("a device");
        self.tally.deliveries += 1;
        self.found(room, found);
        let state = self.devices.entry(device).or_default();
        let run = state.runs.entry(room).or_default();
        let sequence = found.sequence;
        if found.expires_at_ms <= state.began_ms {
            let text = format!("{sequence} had expired before the device began, and was delivered");
            self.objections.object(Law::Expiry, text);
        }
        match run.fit(sequence, found.urgent) {
            Fit::Ahead => {}
            Fit::Again => {
                let text = format!("{sequence} was delivered again, or after {}", run.last);
                self.objections.object(Law::Once, text);
            }
            Fit::After(last) => {
                let skipped: Vec<_> =
                    (last + 1..sequence).filter(|sequence| !run.ahead.contains(sequence)).collect();
                run.ahead.retain(|ahead| *ahead > sequence);
                for place in skipped {
                    self.missing(room, place..place + 1, at_ms, SOMEBODY);
                }
            }
        }
    }

    /// How far the deliveries to a device have come, in their turn.
    pub fn delivered_up_to(&self, device: DeviceId, room: ConversationId) -> Sequence {
        self.devices.get(&device).and_then(|state| state.runs.get(&room)).map_or(0, |run| run.last)
    }
}
