//! Receipts: watermarks never go back, nobody read what they did not say, and a time once told
//! stays.
//!
//! Owns how far each member was known to be, and since when: whoever asked before that may have
//! been told less.

use std::collections::HashMap;

use wardline_client::{ConversationId, Sequence, TimeMs};

use super::hearing::{Hearing, Law};
use crate::event::{Index, Recipient, User};

/// What is known of all members' receipts.
#[derive(Default)]
pub(super) struct Receipts {
    marks: HashMap<(ConversationId, User), Marks>,
    times: Times,
}

/// A member's watermarks in a conversation.
#[derive(Default)]
struct Marks {
    asked: Sequence,
    read: Watermark,
    delivered: Watermark,
}

/// When a recipient received and read a message, as it was told first, and when that was.
type Times = HashMap<(ConversationId, Sequence, User), [Option<(Index, TimeMs)>; 2]>;

/// How far somebody was known to be, and since when.
#[derive(Default)]
struct Watermark {
    known: Vec<(Index, Sequence)>,
}

impl Watermark {
    fn raise(&mut self, now: Index, sequence: Sequence) {
        if self.known.last().is_none_or(|(_, known)| *known < sequence) {
            self.known.push((now, sequence));
        }
    }

    /// What was known by then.
    fn at(&self, since: Index) -> Sequence {
        let later = self.known.partition_point(|(index, _)| *index <= since);
        later.checked_sub(1).map_or(0, |index| self.known[index].1)
    }
}

impl Receipts {
    pub(super) fn mark_asked(&mut self, user: User, room: ConversationId, read: Sequence) {
        let marks = self.marks.entry((room, user)).or_default();
        marks.asked = marks.asked.max(read);
    }

    pub(super) fn mark_acked(
        &mut self,
        hearing: &mut Hearing,
        whose: (ConversationId, User),
        since: Index,
        asked: Sequence,
        delivered: Sequence,
        read: Sequence,
    ) {
        if read < asked {
            let text = format!("{:?} read up to {asked}, and {read} is on record", whose.1);
            hearing.object(Law::ReceiptsStay, text);
        }
        self.marks_read(hearing, whose, since, delivered, read);
    }

    pub(super) fn marks_read(
        &mut self,
        hearing: &mut Hearing,
        whose: (ConversationId, User),
        since: Index,
        delivered: Sequence,
        read: Sequence,
    ) {
        hearing.tally.receipts += 1;
        let user = whose.1;
        let marks = self.marks.entry(whose).or_default();
        for (what, mark, found) in
            [("read", &mut marks.read, read), ("received", &mut marks.delivered, delivered)]
        {
            let known = mark.at(since);
            if found < known {
                let text = format!("{user:?} had {what} up to {known}, then only up to {found}");
                hearing.object(Law::ReceiptsStay, text);
            }
            mark.raise(hearing.heard, found);
        }
        if read > marks.asked {
            let text = format!("{user:?} read up to {read}, and had said so only up to {}", marks.asked);
            hearing.object(Law::Genuine, text);
        }
    }

    pub(super) fn recipients_read(
        &mut self,
        hearing: &mut Hearing,
        room: ConversationId,
        sequence: Sequence,
        since: Index,
        recipients: &[Recipient],
    ) {
        for Recipient { user, delivered_at_ms, read_at_ms } in recipients {
            hearing.tally.receipts += 1;
            let known = self.marks.get(&(room, *user)).map_or(0, |marks| marks.read.at(since));
            if known >= sequence && (read_at_ms.is_none() || delivered_at_ms > read_at_ms) {
                let text = format!("{user:?} had read up to {known}, and {sequence} has no such receipt");
                hearing.object(Law::ReceiptsStay, text);
            }
            let times = self.times.entry((room, sequence, *user)).or_default();
            for (told, now) in times.iter_mut().zip([delivered_at_ms, read_at_ms]) {
                // Who asked before it was told may have been told less, but nothing else.
                let has_stayed =
                    told.is_none_or(|(heard, time)| now.map_or(heard > since, |now| now == time));
                if !has_stayed {
                    let text = format!("a time in {user:?}'s receipt of {sequence} changed");
                    hearing.object(Law::ReceiptsStay, text);
                }
                *told = told.or(now.map(|time| (hearing.heard, time)));
            }
        }
    }
}
