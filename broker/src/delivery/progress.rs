//! The pure part of delivery: where a device is in each conversation, and what comes next on the
//! ordered lane.
//!
//! No I/O, no clock, no task. A conversation is *live* when what comes next is expected in its
//! tail, and *behind* when it has to be read from the engine. Live ones go first, in turns; but
//! after `share_bytes` of live frames a chunk that was read for one that is behind goes, so that
//! neither starves the other. Within a conversation everything goes in the order of its sequence,
//! since a conversation is in one queue at a time.

use std::collections::{HashMap, VecDeque};

use wardline_storage::id::Seq;

use crate::presence::bell::Slot;

/// What to put on the ordered lane next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Copy from the tail of this conversation what lies after the sequence; then call
    /// [`Progress::copied`].
    Tail(Slot, Seq),
    /// The chunk that was read; then call [`Progress::chunk_sent`].
    Chunk,
    /// Nothing is left.
    Nothing,
}

/// How much of what comes next a tail had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything up to its end.
    All,
    /// More than there was room for.
    More,
    /// It does not reach back so far.
    Behind,
}

/// Where a conversation waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queued {
    No,
    Live,
    Behind,
    /// Its chunk is being read, or waits to be sent.
    Reading,
}

#[derive(Debug)]
struct Reach {
    /// Everything up to here was sent on the ordered lane, or is not for this device.
    cursor: Seq,
    /// Everything up to here was looked at for the urgent lane.
    urgent: Seq,
    /// Up to here it is the backlog of the session's beginning; zero when that is done.
    backlog: Seq,
    queued: Queued,
}

/// Where one device is in all its conversations.
#[derive(Debug)]
pub(super) struct Progress {
    reaches: HashMap<Slot, Reach>,
    live: VecDeque<Slot>,
    behind: VecDeque<Slot>,
    reading: Option<Slot>,
    share_bytes: usize,
    live_bytes: usize,
    /// Conversations whose backlog of the beginning is not all sent.
    in_backlog: usize,
    backlog_entries: u64,
    loaded: bool,
    told_caught_up: bool,
}

impl Progress {
    /// Follows nothing yet. At most `share_bytes` of live frames go before a chunk that is ready.
    pub(super) fn new(share_bytes: usize) -> Self {
        Self {
            reaches: HashMap::new(),
            live: VecDeque::new(),
            behind: VecDeque::new(),
            reading: None,
            share_bytes,
            live_bytes: 0,
            in_backlog: 0,
            backlog_entries: 0,
            loaded: false,
            told_caught_up: false,
        }
    }

    /// Follows a conversation from after `cursor`; it had got to `head` then.
    pub(super) fn follow(&mut self, slot: Slot, cursor: Seq, head: Seq) {
        let waiting = cursor < head;
        let of_beginning = waiting && !self.loaded;
        let backlog = if of_beginning { head } else { Seq::ZERO };
        let reach = Reach { cursor, urgent: cursor.max(head), backlog, queued: Queued::No };
        let before = self.reaches.insert(slot, reach);
        debug_assert!(before.is_none(), "a slot is used once");
        self.in_backlog += usize::from(of_beginning);
        if waiting {
            self.queue(slot, Queued::Behind);
        } else {
            // What was committed since it is followed may have rung already.
            self.queue(slot, Queued::Live);
        }
    }

    /// Lets go of a conversation.
    pub(super) fn unfollow(&mut self, slot: Slot) {
        if let Some(reach) = self.reaches.remove(&slot) {
            self.in_backlog -= usize::from(reach.backlog > Seq::ZERO);
            match reach.queued {
                Queued::No | Queued::Reading => {}
                Queued::Live => self.live.retain(|other| *other != slot),
                Queued::Behind => self.behind.retain(|other| *other != slot),
            }
        }
        if self.reading == Some(slot) {
            self.reading = None;
        }
    }

    /// Every conversation of the session's beginning is followed now.
    pub(super) fn loaded(&mut self) {
        self.loaded = true;
    }

    /// There are new entries in a conversation.
    pub(super) fn news(&mut self, slot: Slot) {
        if self.reaches.get(&slot).is_some_and(|reach| reach.queued == Queued::No) {
            self.queue(slot, Queued::Live);
        }
    }

    /// What goes next; `chunk_ready`: a chunk was read and waits.
    pub(super) fn next(&mut self, chunk_ready: bool) -> Next {
        if chunk_ready && (self.live.is_empty() || self.live_bytes >= self.share_bytes) {
            self.live_bytes = 0;
            return Next::Chunk;
        }
        match self.live.pop_front() {
            Some(slot) => {
                let reach = self.reaches.get_mut(&slot).expect("what is queued is followed");
                reach.queued = Queued::No;
                Next::Tail(slot, reach.cursor)
            }
            None => Next::Nothing,
        }
    }

    /// Frames were copied from a tail up to `through`: so many, with so many bytes.
    pub(super) fn copied(&mut self, slot: Slot, through: Seq, frames: u64, bytes: usize, extent: Extent) {
        self.live_bytes = self.live_bytes.saturating_add(bytes);
        self.advance(slot, through, frames);
        match extent {
            Extent::All => {}
            Extent::More => self.queue(slot, Queued::Live),
            Extent::Behind => self.queue(slot, Queued::Behind),
        }
    }

    /// The conversation to read a chunk of, after which sequence; until that is sent or given up,
    /// no other.
    pub(super) fn next_read(&mut self) -> Option<(Slot, Seq)> {
        if self.reading.is_some() {
            return None;
        }
        let slot = self.behind.pop_front()?;
        let reach = self.reaches.get_mut(&slot).expect("what is queued is followed");
        reach.queued = Queued::Reading;
        self.reading = Some(slot);
        Some((slot, reach.cursor))
    }

    /// The chunk of `slot` is on its way, up to `through`. `more`: the engine has more for it.
    pub(super) fn chunk_sent(&mut self, slot: Slot, through: Seq, frames: u64, more: bool) {
        if self.reading == Some(slot) {
            self.reading = None;
        }
        let Some(reach) = self.reaches.get_mut(&slot) else { return };
        reach.queued = Queued::No;
        self.advance(slot, through, frames);
        // If the engine had no more, the tail has the rest, or tells that there is a gap still.
        self.queue(slot, if more { Queued::Behind } else { Queued::Live });
    }

    /// The chunk of `slot` could not be used: it is read again.
    pub(super) fn read_again(&mut self, slot: Slot) {
        let cursor = self.reaches.get(&slot).map_or(Seq::ZERO, |reach| reach.cursor);
        self.chunk_sent(slot, cursor, 0, true);
    }

    /// From where on to look for urgent entries.
    pub(super) fn urgent_after(&self, slot: Slot) -> Option<Seq> {
        self.reaches.get(&slot).map(|reach| reach.urgent.max(reach.cursor))
    }

    /// Looked for urgent entries up to `through`.
    pub(super) fn urgent_sent(&mut self, slot: Slot, through: Seq) {
        if let Some(reach) = self.reaches.get_mut(&slot) {
            reach.urgent = reach.urgent.max(through);
        }
    }

    /// Whether anything is to be read from the engine.
    pub(super) fn is_behind(&self) -> bool {
        self.reading.is_some() || !self.behind.is_empty()
    }

    /// Once, when the backlog of the session's beginning was sent: how many entries it had.
    pub(super) fn caught_up(&mut self) -> Option<u64> {
        let now = self.loaded && self.in_backlog == 0 && !self.told_caught_up;
        self.told_caught_up |= now;
        now.then_some(self.backlog_entries)
    }

    fn advance(&mut self, slot: Slot, through: Seq, frames: u64) {
        let Some(reach) = self.reaches.get_mut(&slot) else { return };
        reach.cursor = reach.cursor.max(through);
        if reach.backlog > Seq::ZERO {
            self.backlog_entries += frames;
            if reach.cursor >= reach.backlog {
                reach.backlog = Seq::ZERO;
                self.in_backlog -= 1;
            }
        }
    }

    fn queue(&mut self, slot: Slot, queued: Queued) {
        let Some(reach) = self.reaches.get_mut(&slot) else { return };
        reach.queued = queued;
        match queued {
            Queued::Live => self.live.push_back(slot),
            Queued::Behind => self.behind.push_back(slot),
            Queued::No | Queued::Reading => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A conversation as the engine and its tail have it.
    struct Source {
        head: u64,
        tail_from: u64,
        sent: u64,
    }

    /// Drives a progress against sources, one frame a byte; a chunk has up to 3 entries, a turn of
    /// the tail up to 2.
    struct Harness {
        progress: Progress,
        sources: Vec<Source>,
        chunk: Option<(Slot, u64, u64)>,
        live_since_chunk: usize,
    }

    impl Harness {
        fn new(positions: &[(u64, u64)]) -> Self {
            let mut progress = Progress::new(4);
            let mut sources = Vec::new();
            for (index, (cursor, head)) in positions.iter().enumerate() {
                let cursor = (*cursor).min(*head);
                progress.follow(Slot(index as u64), Seq(cursor), Seq(*head));
                sources.push(Source { head: *head, tail_from: head + 1, sent: cursor });
            }
            progress.loaded();
            Self { progress, sources, chunk: None, live_since_chunk: 0 }
        }

        fn publish(&mut self, index: usize, forget: bool) {
            let source = &mut self.sources[index];
            source.head += 1;
            if forget {
                source.tail_from = source.head + 1;
            }
            self.progress.news(Slot(index as u64));
        }

        fn read(&mut self) {
            if self.chunk.is_none()
                && let Some((slot, after)) = self.progress.next_read()
            {
                let source = &self.sources[slot.0 as usize];
                assert_eq!(after.0, source.sent, "reads go on where sending stopped");
                self.chunk = Some((slot, after.0, (after.0 + 3).min(source.head)));
            }
        }

        /// One step; false when nothing is left to send.
        fn send(&mut self) -> bool {
            match self.progress.next(self.chunk.is_some()) {
                Next::Nothing => false,
                Next::Chunk => {
                    let (slot, after, through) = self.chunk.take().expect("only when ready");
                    let source = &mut self.sources[slot.0 as usize];
                    assert_eq!(source.sent, after, "in order, without holes or repetition");
                    source.sent = through;
                    self.live_since_chunk = 0;
                    let more = through < source.head;
                    self.progress.chunk_sent(slot, Seq(through), through - after, more);
                    true
                }
                Next::Tail(slot, after) => {
                    let source = &mut self.sources[slot.0 as usize];
                    assert_eq!(source.sent, after.0, "in order, without holes or repetition");
                    if after.0 < source.head && after.0 + 1 < source.tail_from {
                        self.progress.copied(slot, after, 0, 0, Extent::Behind);
                        return true;
                    }
                    let through = (after.0 + 2).min(source.head);
                    source.sent = through;
                    let bytes = (through - after.0) as usize;
                    if self.chunk.is_some() {
                        self.live_since_chunk += bytes;
                        assert!(self.live_since_chunk <= 4 + 2, "a ready chunk waits for its share only");
                    }
                    let extent = if through < source.head { Extent::More } else { Extent::All };
                    self.progress.copied(slot, Seq(through), through - after.0, bytes, extent);
                    true
                }
            }
        }
    }

    proptest! {
        #[test]
        fn everything_is_sent_once_and_in_order(
            positions in prop::collection::vec((0u64..20, 0u64..20), 1..8),
            steps in prop::collection::vec((0u8..4, 0usize..8, any::<bool>()), 0..200),
        ) {
            let mut harness = Harness::new(&positions);
            let backlog: u64 = positions.iter().map(|(cursor, head)| head - cursor.min(head)).sum();
            let mut caught_up = Vec::new();
            for (what, index, forget) in steps {
                match what {
                    0 | 1 => harness.publish(index % positions.len(), forget),
                    2 => harness.read(),
                    _ => { harness.send(); }
                }
                caught_up.extend(harness.progress.caught_up());
            }
            let mut rounds = 0;
            loop {
                harness.read();
                let sent = harness.send();
                caught_up.extend(harness.progress.caught_up());
                if !sent && harness.chunk.is_none() && harness.progress.behind.is_empty() {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds < 10_000, "it comes to an end");
            }
            for source in &harness.sources {
                prop_assert_eq!(source.sent, source.head);
            }
            prop_assert_eq!(caught_up.len(), 1, "told once");
            prop_assert!(caught_up[0] >= backlog, "the backlog was sent before it was told");
        }
    }

    #[test]
    fn live_traffic_does_not_wait_for_a_huge_backlog() {
        let mut harness = Harness::new(&[(0, 1_000_000), (0, 0)]);
        while harness.send() {}
        for round in 1..=50 {
            harness.publish(1, false);
            harness.read();
            harness.send();
            harness.send();
            assert_eq!(harness.sources[1].sent, round, "sent within two turns");
            assert_eq!(harness.sources[0].sent, round * 3, "and the backlog goes on");
        }
    }

    #[test]
    fn what_is_let_go_of_is_not_sent() {
        let mut progress = Progress::new(4);
        progress.follow(Slot(0), Seq(0), Seq(9));
        progress.follow(Slot(1), Seq(3), Seq(3));
        progress.loaded();
        assert_eq!(progress.next_read(), Some((Slot(0), Seq(0))));
        progress.unfollow(Slot(0));
        progress.unfollow(Slot(1));
        progress.chunk_sent(Slot(0), Seq(9), 9, true);
        assert_eq!(progress.next(false), Next::Nothing);
        assert_eq!(progress.next_read(), None);
        assert_eq!(progress.caught_up(), Some(0));
    }
}
