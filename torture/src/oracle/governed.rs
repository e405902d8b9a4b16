//! What is taken from others: nothing below the operator's floor, nothing without a trace, and what
//! was answered with yes is true.
//!
//! Owns what was asked in the conversations where something is taken, and what was told of it. One
//! person asks there, one thing after the other. Invariant: a place that was found to be a notice
//! is one until its time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wardline_client::{ConversationId, Sequence, TimeMs};

use super::hearing::{Hearing, Law};
use crate::event::{Answer, Control, ControlId, Index, Noticed, Told, User};

/// What is known of all such conversations.
#[derive(Default)]
pub(super) struct Governed {
    rooms: HashMap<ConversationId, Room>,
    asked: HashMap<ControlId, (ConversationId, Control)>,
}

/// What is known of one.
#[derive(Default)]
struct Room {
    floor_ms: u64,
    /// How long messages were to be kept, in the order in which it was asked.
    changes: Vec<Change>,
    deletions: HashMap<Sequence, Fate>,
    notices: BTreeMap<Sequence, Noticed>,
}

struct Change {
    id: ControlId,
    kept_ms: u64,
    fate: Fate,
}

/// What is known of something that was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    /// Since this was heard.
    Done(Index),
    Refused,
    Unknown,
}

impl Fate {
    /// What came of it, as of now; what was done stays so.
    fn hears(&mut self, answer: Answer, now: Index) {
        *self = match (answer, *self) {
            (_, Self::Done(since)) => Self::Done(since),
            (Answer::Done, _) => Self::Done(now),
            (Answer::Forbidden | Answer::Crowded, _) => Self::Refused,
            (Answer::Unknown, _) => Self::Unknown,
        };
    }

    fn may_be(self) -> bool {
        self != Self::Refused
    }

    fn was_done_by(self, since: Index) -> bool {
        matches!(self, Self::Done(at) if at < since)
    }
}

impl Governed {
    pub(super) fn governed(&mut self, room: ConversationId, floor_ms: u64) {
        self.rooms.insert(room, Room { floor_ms, ..Room::default() });
    }

    pub(super) fn asked(&mut self, id: ControlId, room: ConversationId, control: Control) {
        self.asked.insert(id, (room, control));
        let room = self.rooms.entry(room).or_default();
        match control {
            Control::Delete(sequence) => _ = room.deletions.entry(sequence).or_insert(Fate::Open),
            Control::Keep(kept_ms) => room.changes.push(Change { id, kept_ms, fate: Fate::Open }),
        }
    }

    pub(super) fn answered(&mut self, hearing: &mut Hearing, id: ControlId, answer: Answer) {
        hearing.tally.controls += 1;
        let Some((at, control)) = self.asked.get(&id).copied() else { return };
        let room = self.rooms.entry(at).or_default();
        if answer == Answer::Crowded {
            hearing.object(Law::Control, format!("{control:?} was refused for want of room"));
        }
        match control {
            Control::Delete(sequence) => {
                room.deletions.entry(sequence).or_insert(Fate::Open).hears(answer, hearing.heard);
            }
            Control::Keep(kept_ms) => {
                let change = room.changes.iter_mut().rev().find(|change| change.id == id);
                change.into_iter().for_each(|change| change.fate.hears(answer, hearing.heard));
                let is_below = kept_ms < room.floor_ms;
                match answer {
                    Answer::Done if is_below => {
                        let text = format!("{kept_ms} ms is below the floor of {} ms", room.floor_ms);
                        hearing.object(Law::Governed, text);
                    }
                    Answer::Forbidden if !is_below => {
                        let text = format!("{kept_ms} ms is above the floor, and was refused");
                        hearing.object(Law::Control, text);
                    }
                    _ => {}
                }
            }
        }
    }

    /// A member's list shows how long messages are kept: as was last said, or is being said.
    pub(super) fn kept_read(&self, hearing: &mut Hearing, at: ConversationId, since: Index, kept_ms: u64) {
        let Some(room) = self.rooms.get(&at) else { return };
        if kept_ms < room.floor_ms {
            let text = format!("messages are kept for {kept_ms} ms, and the floor is {} ms", room.floor_ms);
            hearing.object(Law::Governed, text);
        }
        let done = room.changes.iter().rposition(|change| change.fate.was_done_by(since));
        let Some(done) = done else { return };
        let may_hold = |(number, change): (usize, &Change)| {
            change.kept_ms == kept_ms
                && change.fate.may_be()
                && (number >= done || change.fate == Fate::Unknown)
        };
        if !room.changes.iter().enumerate().any(may_hold) {
            let text =
                format!("messages are kept for {kept_ms} ms, and something else was answered with yes");
            hearing.object(Law::Control, text);
        }
    }

    /// Whether somebody asked to delete what stands there.
    pub(super) fn is_deletion_asked(&self, room: ConversationId, sequence: Sequence) -> bool {
        self.deletion(room, sequence).is_some_and(Fate::may_be)
    }

    /// Whether it was deleted, and whoever asked then should know.
    pub(super) fn is_deleted(&self, room: ConversationId, sequence: Sequence, since: Index) -> bool {
        self.deletion(room, sequence).is_some_and(|fate| fate.was_done_by(since))
    }

    fn deletion(&self, room: ConversationId, sequence: Sequence) -> Option<Fate> {
        self.rooms.get(&room)?.deletions.get(&sequence).copied()
    }

    /// Judges what was found that is no message, and learns its place. `gone_at_ms` is when
    /// what it tells of is gone in any case.
    pub(super) fn noticed(
        &mut self,
        hearing: &mut Hearing,
        at: ConversationId,
        noticed: &Noticed,
        gone_at_ms: Option<TimeMs>,
    ) {
        let room = self.rooms.entry(at).or_default();
        let sequence = noticed.sequence;
        let may_be = |of: &Sequence| room.deletions.get(of).is_some_and(|fate| fate.may_be());
        let was_asked = match noticed.told {
            Told::Tombstone => may_be(&sequence),
            Told::Deleted(of) => may_be(&of),
            Told::Kept(kept_ms) => {
                room.changes.iter().any(|change| change.kept_ms == kept_ms && change.fate.may_be())
            }
            Told::Other => true,
        };
        if !was_asked {
            hearing.object(Law::Genuine, format!("{:?} at {sequence}, and nobody did it", noticed.told));
        }
        if let Some(gone_at_ms) = gone_at_ms
            && noticed.expires_at_ms < gone_at_ms
        {
            let text = format!("the notice at {sequence} goes before the message that it tells of");
            hearing.object(Law::Governed, text);
        }
        // A tombstone has the time of the message that stood there.
        if noticed.told == Told::Tombstone {
            return;
        }
        match room.notices.insert(sequence, *noticed) {
            Some(before) if before != *noticed => {
                let text = format!("the notice at {sequence} was another, or was to last longer");
                hearing.object(Law::Governed, text);
            }
            _ => {}
        }
    }

    /// Whether a place is that of a notice. If it is not found though its time has not come, that
    /// is objected to; `here` are those that were.
    pub(super) fn is_notice(
        &self,
        hearing: &mut Hearing,
        room: ConversationId,
        sequence: Sequence,
        here: &BTreeSet<Sequence>,
        (at_ms, by): (TimeMs, User),
    ) -> bool {
        let Some(known) = self.rooms.get(&room).and_then(|room| room.notices.get(&sequence)) else {
            return false;
        };
        if !here.contains(&sequence) && known.expires_at_ms > at_ms {
            let text = format!("{by:?} does not find the notice at {sequence}, and others did");
            hearing.object(Law::Governed, text);
        }
        true
    }
}
