//! Publishing and reading: each message at one place, there for good, gone when it expires.
//!
//! Owns what is known of each message and of each conversation's places. Invariants: a place, once
//! learnt from an acknowledgement, a delivery or a reading, never changes; a message's fate, once
//! it is settled, never changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wardline_client::{ConversationId, MessageId, Sequence, TimeMs};

use super::governed::Governed;
use super::hearing::{Hearing, Law};
use crate::event::{
    Answer as ControlAnswer, Control, ControlId, Event, Found, Index, Life, Noticed, Reading, Told, User,
};

/// No gap that is longer is gone through place by place.
const GAP_MAX: u64 = 100_000;

/// What is known of all messages and conversations.
#[derive(Default)]
pub(super) struct Messages {
    messages: HashMap<MessageId, Message>,
    rooms: HashMap<ConversationId, Room>,
    governed: Governed,
}

/// What is known of a message.
struct Message {
    room: ConversationId,
    sender: User,
    life: Life,
    /// Its place in the order in which its client published.
    turn: u64,
    digest: u64,
    urgent: bool,
    /// It was sent as urgent, and was found, or acknowledged, as routine.
    is_routine: bool,
    expires_in_ms: Option<u64>,
    invoked_at_ms: TimeMs,
    answer: Answer,
    place: Option<Place>,
}

impl Message {
    /// What it must be found as, if that is known.
    fn is_urgent(&self) -> bool {
        self.urgent && !self.is_routine
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Open,
    Acked,
    Refused,
    /// It will never be answered. The broker may still be at it until it is killed, `settled`.
    Unknown {
        settled: Option<Index>,
    },
    /// It was never answered, and then was not there.
    Absent,
}

#[derive(Clone, Copy)]
struct Place {
    sequence: Sequence,
    time_ms: TimeMs,
    /// Until then it is there; it may be there for longer only where people change that.
    expires_at_ms: TimeMs,
    /// Then it is gone in any case.
    gone_at_ms: TimeMs,
    /// When this was learnt.
    since: Index,
}

/// What is known of a conversation.
#[derive(Default)]
struct Room {
    members: Vec<User>,
    /// The least and the most that messages are kept; both are one where nobody changes it.
    retention_ms: u64,
    retention_ms_max: u64,
    places: BTreeMap<Sequence, MessageId>,
    /// Of each client, its turns by place: urgent messages overtake routine ones, and keep an order
    /// of their own.
    turns: HashMap<(Life, bool), BTreeMap<Sequence, u64>>,
    /// Places at which nothing was found, and no message is known; and the earliest time of not
    /// finding it.
    holes: BTreeMap<Sequence, TimeMs>,
    /// Messages with an expiry of their own whose place is not known.
    fleeting: HashSet<MessageId>,
    /// Messages of unknown fate.
    adrift: Vec<MessageId>,
}

impl Messages {
    pub(super) fn opened(&mut self, room: ConversationId, members: &[User], retention_ms: u64) {
        let (members, retention_ms_max) = (members.to_vec(), retention_ms);
        self.rooms.insert(room, Room { members, retention_ms, retention_ms_max, ..Room::default() });
    }

    /// From now on people change how long is kept here.
    pub(super) fn governed(&mut self, room: ConversationId, floor_ms: u64) {
        self.governed.governed(room, floor_ms);
        let state = self.rooms.entry(room).or_default();
        state.retention_ms = floor_ms.min(state.retention_ms);
    }

    pub(super) fn control_asked(&mut self, id: ControlId, room: ConversationId, control: Control) {
        self.governed.asked(id, room, control);
        if let Control::Keep(kept_ms) = control {
            let state = self.rooms.entry(room).or_default();
            state.retention_ms_max = kept_ms.max(state.retention_ms_max);
        }
    }

    pub(super) fn control_answered(&mut self, hearing: &mut Hearing, id: ControlId, answer: ControlAnswer) {
        self.governed.answered(hearing, id, answer);
    }

    pub(super) fn kept_read(&self, hearing: &mut Hearing, room: ConversationId, since: Index, kept_ms: u64) {
        self.governed.kept_read(hearing, room, since, kept_ms);
    }

    /// See [`Oracle::to_delete`](super::Oracle::to_delete).
    pub(super) fn to_delete(&self, room: ConversationId, up_to: Sequence) -> Option<Sequence> {
        let places = self.rooms.get(&room)?.places.range(..=up_to).rev();
        places
            .map(|(sequence, _)| *sequence)
            .find(|sequence| !self.governed.is_deletion_asked(room, *sequence))
    }

    pub(super) fn invoked(&mut self, hearing: &mut Hearing, event: &Event) {
        let Event::Invoked { id, room, sender, life, digest, urgent, expires_in_ms, at_ms } = event else {
            return;
        };
        hearing.tally.invoked += 1;
        if expires_in_ms.is_some() {
            self.rooms.entry(*room).or_default().fleeting.insert(*id);
        }
        let message = Message {
            room: *room,
            sender: *sender,
            life: *life,
            turn: hearing.tally.invoked,
            digest: *digest,
            urgent: *urgent,
            is_routine: false,
            expires_in_ms: *expires_in_ms,
            invoked_at_ms: *at_ms,
            answer: Answer::Open,
            place: None,
        };
        self.messages.insert(*id, message);
    }

    pub(super) fn acked(
        &mut self,
        hearing: &mut Hearing,
        id: MessageId,
        sequence: Sequence,
        time_ms: TimeMs,
        urgent: bool,
    ) {
        let Some(message) = self.messages.get_mut(&id) else {
            let text = format!("{sequence} is acknowledged, and nobody sent it");
            return hearing.object(Law::Genuine, text);
        };
        if urgent && !message.is_urgent() {
            let text = format!("{sequence} is acknowledged as urgent, and is not");
            hearing.object(Law::Urgent, text);
        }
        // Whoever sent more urgent ones than they may is told so, and it is no silent loss.
        message.is_routine |= message.urgent && !urgent;
        message.answer = Answer::Acked;
        hearing.tally.acked += 1;
        let (room, sender) = (message.room, message.sender);
        if self.rooms.get(&room).is_some_and(|room| !room.members.contains(&sender)) {
            let text = format!("{sender:?} is no member, and {sequence} was acknowledged");
            hearing.object(Law::Genuine, text);
        }
        self.place(hearing, room, id, sequence, time_ms);
    }

    pub(super) fn refused(&mut self, hearing: &mut Hearing, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.answer = Answer::Refused;
            hearing.tally.refused += 1;
            if let Some(place) = message.place {
                let text = format!("{} was found, then refused", place.sequence);
                hearing.object(Law::Genuine, text);
            }
            let room = message.room;
            self.rooms.entry(room).or_default().fleeting.remove(&id);
        }
    }

    pub(super) fn unknown(&mut self, hearing: &mut Hearing, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.answer = Answer::Unknown { settled: None };
            hearing.tally.unknown += 1;
            hearing.tally.unknown_found += u64::from(message.place.is_some());
            self.rooms.entry(message.room).or_default().adrift.push(id);
        }
    }

    pub(super) fn killed(&mut self, hearing: &mut Hearing) {
        hearing.tally.kills += 1;
        let adrift = self.rooms.values().flat_map(|room| &room.adrift);
        for id in adrift {
            if let Some(message) = self.messages.get_mut(id)
                && message.answer == (Answer::Unknown { settled: None })
            {
                message.answer = Answer::Unknown { settled: Some(hearing.heard) };
            }
        }
    }

    pub(super) fn read(&mut self, hearing: &mut Hearing, reading: &Reading) {
        hearing.tally.readings += 1;
        hearing.tally.entries_read += reading.entries.len() as u64;
        let mut last = 0;
        let here = self.noticed_all(hearing, reading);
        let whose = (reading.ended_ms, reading.reader);
        for found in &reading.entries {
            if found.sequence <= last {
                let text = format!("{} was read after {last}", found.sequence);
                hearing.object(Law::Ordered, text);
            }
            self.missing(hearing, reading.room, last + 1..found.sequence, &here, whose);
            last = last.max(found.sequence);
            self.found(hearing, reading.room, found);
            if self.governed.is_deleted(reading.room, found.sequence, reading.since) {
                let text = format!("{} was deleted, and {:?} read it", found.sequence, reading.reader);
                hearing.object(Law::Control, text);
            }
            if found.expires_at_ms <= reading.began_ms {
                let text = format!("{} had expired, and {:?} read it", found.sequence, reading.reader);
                hearing.object(Law::Expiry, text);
            }
        }
        self.missing(hearing, reading.room, last + 1..reading.head + 1, &here, whose);
        self.missing_above(hearing, reading, last.max(reading.head));
        self.settle(reading);
        self.count_holes(hearing, reading.room, reading.ended_ms);
    }

    /// Judges what a reading found that is no message; gives where.
    fn noticed_all(&mut self, hearing: &mut Hearing, reading: &Reading) -> BTreeSet<Sequence> {
        for noticed in &reading.notices {
            self.noticed(hearing, reading.room, noticed);
            if noticed.expires_at_ms <= reading.began_ms {
                let text = format!("the notice at {} had expired, and was read", noticed.sequence);
                hearing.object(Law::Expiry, text);
            }
        }
        reading.notices.iter().map(|noticed| noticed.sequence).collect()
    }

    /// Judges what was found that is no message, and learns its place.
    pub(super) fn noticed(&mut self, hearing: &mut Hearing, room: ConversationId, noticed: &Noticed) {
        let sequence = noticed.sequence;
        let state = self.rooms.entry(room).or_default();
        if state.holes.remove(&sequence).is_some() {
            hearing.object(Law::Kept, format!("{sequence} was not found though a notice is there"));
        }
        let told_of = match noticed.told {
            Told::Deleted(of) => state.places.get(&of),
            Told::Kept(_) => state.places.range(..sequence).next_back().map(|(_, id)| id),
            Told::Tombstone | Told::Other => None,
        };
        let message = told_of.and_then(|id| self.messages.get(id));
        let gone_at_ms = message.and_then(|message| message.place).map(|place| place.gone_at_ms);
        if noticed.told != Told::Tombstone && state.places.contains_key(&sequence) {
            hearing.object(Law::Once, format!("a message and a notice stand at {sequence}"));
        }
        self.governed.noticed(hearing, room, noticed, gone_at_ms);
    }

    /// The highest place in a conversation that is known to be taken.
    pub(super) fn last_place(&self, room: ConversationId) -> Sequence {
        let last = self.rooms.get(&room).and_then(|room| room.places.keys().next_back());
        last.copied().unwrap_or_default()
    }

    /// Judges a message as it was found, and learns its place.
    pub(super) fn found(&mut self, hearing: &mut Hearing, room: ConversationId, found: &Found) {
        let sequence = found.sequence;
        let Some(message) = self.messages.get_mut(&found.id) else {
            let text = format!("nobody sent what stands at {sequence}");
            return hearing.object(Law::Genuine, text);
        };
        if message.sender != found.sender
            || message.digest != found.digest
            || (found.urgent && !message.urgent)
            || message.room != room
        {
            let text = format!("{sequence} is not as it was sent");
            hearing.object(Law::Genuine, text);
        }
        if message.is_urgent() && !found.urgent && message.answer == Answer::Acked {
            let text = format!("{sequence} was acknowledged as urgent, and is not");
            hearing.object(Law::Urgent, text);
        }
        // As long as it has no answer, its sender may be told that it went as routine.
        message.is_routine |= message.urgent && !found.urgent;
        match message.answer {
            Answer::Refused => {
                hearing.object(Law::Genuine, format!("{sequence} was refused, and is there"));
            }
            Answer::Absent => {
                let text = format!("{sequence} was not there after the broker's end, and came back");
                hearing.object(Law::Settled, text);
                message.answer = Answer::Unknown { settled: Some(hearing.heard) };
            }
            Answer::Unknown { .. } if message.place.is_none() => hearing.tally.unknown_found += 1,
            _ => {}
        }
        self.place(hearing, room, found.id, sequence, found.time_ms);
        let expected = self.messages.get(&found.id).and_then(|message| message.place);
        if let Some(place) = expected
            && place.sequence == sequence
            && !(place.expires_at_ms..=place.gone_at_ms).contains(&found.expires_at_ms)
        {
            let text = format!(
                "{sequence} expires {} ms after its time, not {} ms",
                found.expires_at_ms.wrapping_sub(found.time_ms) as i64,
                place.expires_at_ms.wrapping_sub(place.time_ms) as i64
            );
            let is_range = place.expires_at_ms < place.gone_at_ms;
            hearing.object(if is_range { Law::Governed } else { Law::Expiry }, text);
        }
    }

    /// Judges that no message was found at these places, by this time; `here` is where something
    /// else was found.
    pub(super) fn missing(
        &mut self,
        hearing: &mut Hearing,
        room: ConversationId,
        places: std::ops::Range<Sequence>,
        here: &BTreeSet<Sequence>,
        (at_ms, by): (TimeMs, User),
    ) {
        let state = self.rooms.entry(room).or_default();
        if places.end.saturating_sub(places.start) > GAP_MAX {
            let text = format!("{by:?} finds nothing at {} to {}", places.start, places.end);
            return hearing.object(Law::Ordered, text);
        }
        for sequence in places {
            if self.governed.is_notice(hearing, room, sequence, here, (at_ms, by))
                || self.governed.is_deletion_asked(room, sequence)
            {
                continue;
            }
            match state.places.get(&sequence) {
                Some(id) => object_if_due(&self.messages, *id, at_ms, by, hearing),
                None => {
                    let earliest = state.holes.entry(sequence).or_insert(at_ms);
                    *earliest = at_ms.min(*earliest);
                }
            }
        }
    }

    /// What was known before must be found, though nothing above was.
    fn missing_above(&mut self, hearing: &mut Hearing, reading: &Reading, last: Sequence) {
        let Some(room) = self.rooms.get(&reading.room) else { return };
        for (sequence, id) in room.places.range(last + 1..) {
            if self.governed.is_deletion_asked(reading.room, *sequence) {
                continue;
            }
            let known = self.messages.get(id).and_then(|message| message.place);
            if known.is_some_and(|place| place.since < reading.since) {
                object_if_due(&self.messages, *id, reading.ended_ms, reading.reader, hearing);
            }
        }
    }

    /// After the broker's end, who is not there will never be.
    fn settle(&mut self, reading: &Reading) {
        let Some(room) = self.rooms.get_mut(&reading.room) else { return };
        let messages = &mut self.messages;
        room.adrift.retain(|id| {
            let Some(message) = messages.get_mut(id) else { return false };
            let Answer::Unknown { settled } = message.answer else { return false };
            if message.place.is_some() {
                return false;
            }
            // One that expires may have come and gone unseen.
            if settled.is_some_and(|at| at < reading.since) && message.expires_in_ms.is_none() {
                message.answer = Answer::Absent;
                return false;
            }
            true
        });
    }

    /// There are not more empty places than messages that may have expired unseen.
    fn count_holes(&self, hearing: &mut Hearing, room: ConversationId, now_ms: TimeMs) {
        let Some(state) = self.rooms.get(&room) else { return };
        if state.holes.is_empty() {
            return;
        }
        let may_be_gone = |id: &&MessageId| {
            self.messages.get(id).is_some_and(|message| {
                message.invoked_at_ms.saturating_add(message.expires_in_ms.unwrap_or(u64::MAX)) <= now_ms
            })
        };
        let gone = state.fleeting.iter().filter(may_be_gone).count();
        if state.holes.len() > gone {
            let (count, first) = (state.holes.len(), state.holes.keys().next().copied().unwrap_or_default());
            let text = format!(
                "{count} places are empty, {first} the first, and {gone} messages may have expired unseen"
            );
            hearing.object(Law::Ordered, text);
        }
    }

    /// Learns where a message stands.
    fn place(
        &mut self,
        hearing: &mut Hearing,
        room: ConversationId,
        id: MessageId,
        sequence: Sequence,
        time_ms: TimeMs,
    ) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if let Some(place) = message.place {
            if place.sequence != sequence {
                hearing
                    .object(Law::Once, format!("a message stands at {} and at {sequence}", place.sequence));
            } else if place.time_ms != time_ms {
                hearing.object(Law::Genuine, format!("{sequence} has another time than before"));
            }
            return;
        }
        let state = self.rooms.entry(room).or_default();
        let own_ms = message.expires_in_ms.unwrap_or(u64::MAX);
        let after = |kept_ms: u64| time_ms.saturating_add(own_ms.min(kept_ms));
        let (expires_at_ms, gone_at_ms) = (after(state.retention_ms), after(state.retention_ms_max));
        message.place = Some(Place { sequence, time_ms, expires_at_ms, gone_at_ms, since: hearing.heard });
        state.fleeting.remove(&id);
        if state.places.insert(sequence, id).is_some() {
            hearing.object(Law::Once, format!("two messages stand at {sequence}"));
        }
        if let Some(at_ms) = state.holes.remove(&sequence)
            && expires_at_ms > at_ms
        {
            let text = format!("{sequence} was not found though it is there and had not expired");
            hearing.object(Law::Kept, text);
        }
        // What goes as routine in the end goes later than it was sent.
        if message.is_routine {
            return;
        }
        let turns = state.turns.entry((message.life, message.urgent)).or_default();
        let before = turns.range(..sequence).next_back().is_some_and(|(_, turn)| *turn > message.turn);
        let after = turns.range(sequence + 1..).next().is_some_and(|(_, turn)| *turn < message.turn);
        turns.insert(sequence, message.turn);
        if before || after {
            hearing.object(Law::Ordered, format!("{sequence} and another of its publisher changed places"));
        }
    }
}

/// Objects if a message that was not found should have been there at that time.
fn object_if_due(
    messages: &HashMap<MessageId, Message>,
    id: MessageId,
    at_ms: TimeMs,
    by: User,
    hearing: &mut Hearing,
) {
    let Some((message, place)) = messages.get(&id).and_then(|message| Some((message, message.place?))) else {
        return;
    };
    if place.expires_at_ms <= at_ms {
        return;
    }
    let sequence = place.sequence;
    let is_acked = message.answer == Answer::Acked;
    match (is_acked, message.expires_in_ms) {
        (true, None) => {
            let text = format!("{sequence} was acknowledged, and {by:?} does not find it");
            hearing.object(Law::Kept, text);
        }
        (true, Some(_)) => {
            let text = format!("{sequence} has not expired, and {by:?} does not find it");
            hearing.object(Law::Expiry, text);
        }
        (false, _) => {
            let text = format!("{sequence} was found before, and {by:?} does not find it");
            hearing.object(Law::Settled, text);
        }
    }
}
