//! What was published, what was acknowledged, and what each recipient has of it.
//!
//! Exact, in memory that does not grow with the number of messages: per recipient and publisher it
//! keeps the next counter and, in the bad case, the counters that were skipped. Acks and deliveries
//! are also added up into a sum per member that does not depend on their order, so that an ack
//! which names another message's place shows at the end. Pure. Invariant: nothing here depends on
//! the order in which different recipients are served.

use std::collections::BTreeSet;

use super::stamp::{Stamp, fold};
use crate::plan::{Plan, Room, Target};
use crate::result::Integrity;
use crate::workload::Priority;

/// Most skipped counters that are remembered for one recipient and publisher; those beyond are lost
/// for good.
const SKIPPED_MAX: usize = 65_536;

/// The books of one repetition.
#[derive(Debug)]
pub struct Ledger {
    run: u64,
    rooms: Vec<RoomBooks>,
    /// By conversation, publisher and priority.
    streams: Vec<Stream>,
    /// By conversation, member, publisher and priority.
    tracks: Vec<Track>,
    /// By conversation and member.
    seats: Vec<SeatBooks>,
    /// By conversation: what every member's sum should be.
    sums: Vec<u64>,
    found: Integrity,
    expected: u64,
    received: u64,
}

/// Where a conversation's books begin.
#[derive(Clone, Copy, Debug)]
struct RoomBooks {
    streams: usize,
    tracks: usize,
    seats: usize,
    members: u32,
    publishers: u32,
    priorities: u32,
}

/// What one publisher did in one conversation and priority.
#[derive(Debug, Default)]
struct Stream {
    sent: u64,
    acked: Track,
    acked_count: u64,
    last_sequence: u64,
    failed: u64,
}

/// Which counters were seen.
#[derive(Debug, Default)]
struct Track {
    /// All below were seen, but for those skipped.
    next: u64,
    #[allow(clippy::box_collection, reason = "it is nearly always absent, and there are millions of tracks")]
    skipped: Option<Box<BTreeSet<u64>>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Next,
    /// Skipped before.
    Late,
    Again,
    /// Some before it are missing, the last so many of them beyond what is remembered.
    Ahead(u64),
}

#[derive(Debug, Default)]
struct SeatBooks {
    /// Of the last routine message.
    last_sequence: u64,
    sum: u64,
}

/// What a delivery turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message for this member, for the first time.
    Good,
    /// One that came before.
    Duplicate,
    /// Not one that was published here.
    Foreign,
}

impl Ledger {
    /// Opens the books.
    pub fn new(plan: &Plan, run: u64) -> Self {
        let (mut streams, mut tracks, mut seats) = (0, 0, 0);
        let rooms = plan.rooms.iter().map(|room| {
            let members = room.members.len() as u32;
            let priorities = if room.has_urgent { 2 } else { 1 };
            let books =
                RoomBooks { streams, tracks, seats, members, publishers: room.publishers, priorities };
            streams += (room.publishers * priorities) as usize;
            tracks += members as usize * (room.publishers * priorities) as usize;
            seats += members as usize;
            books
        });
        let rooms: Vec<_> = rooms.collect();
        Self {
            run,
            sums: vec![0; rooms.len()],
            rooms,
            streams: (0..streams).map(|_| Stream::default()).collect(),
            tracks: (0..tracks).map(|_| Track::default()).collect(),
            seats: (0..seats).map(|_| SeatBooks::default()).collect(),
            found: Integrity::default(),
            expected: 0,
            received: 0,
        }
    }

    /// Publishes the next message of a target: gives what it carries.
    pub fn publish(&mut self, target: Target, intended_ns: u64, sent_ns: u64) -> Stamp {
        let room = self.rooms[target.room.0 as usize];
        let stream = (target.publisher << 1) | u32::from(target.priority == Priority::Urgent);
        let books = &mut self.streams[room.stream(stream).expect("the plan's targets are within its rooms")];
        let counter = books.sent;
        books.sent += 1;
        self.expected += u64::from(room.members);
        Stamp { run: self.run, room: target.room.0, stream, counter, intended_ns, sent_ns }
    }

    /// The broker acknowledged it.
    pub fn acked(&mut self, stamp: &Stamp, sequence: u64) {
        let Some(room) = self.rooms.get(stamp.room as usize).copied() else { return };
        let Some(place) = room.stream(stamp.stream) else { return };
        let books = &mut self.streams[place];
        books.acked.see(stamp.counter);
        books.acked_count += 1;
        // Acks are taken in the order of publishing, and a publisher's messages are numbered in it.
        if sequence <= books.last_sequence {
            self.found.misnumbered += 1;
        }
        books.last_sequence = books.last_sequence.max(sequence);
        let sum = entry(stamp, sequence);
        let all = &mut self.sums[stamp.room as usize];
        *all = all.wrapping_add(sum);
    }

    /// The SDK gave it up: nobody need have it.
    pub fn failed(&mut self, stamp: &Stamp) {
        let room = self.rooms[stamp.room as usize];
        let place = room.stream(stamp.stream).expect("only what was published fails");
        self.streams[place].failed += 1;
        self.expected -= u64::from(room.members);
    }

    /// A member took a message from its inbox. `stamp`: what it carries, if it can be read.
    pub fn delivered(&mut self, room: Room, member: u32, stamp: Option<&Stamp>, sequence: u64) -> Delivery {
        let Some((books, stamp)) = stamp.and_then(|stamp| Some((self.books(room, stamp)?, stamp))) else {
            self.found.foreign += 1;
            return Delivery::Foreign;
        };
        let track = books.tracks
            + (member * books.publishers * books.priorities) as usize
            + (books.stream(stamp.stream).expect("checked with the books") - books.streams);
        let seen = self.tracks[track].see(stamp.counter);
        if seen == Seen::Again {
            self.found.duplicated += 1;
            return Delivery::Duplicate;
        }
        let seat = &mut self.seats[books.seats + member as usize];
        seat.sum = seat.sum.wrapping_add(entry(stamp, sequence));
        let is_behind = !stamp.is_urgent() && sequence <= seat.last_sequence;
        if !stamp.is_urgent() {
            seat.last_sequence = seat.last_sequence.max(sequence);
        }
        // An urgent message may come ahead of another urgent one; what comes after all is not lost.
        self.found.reordered += u64::from(is_behind || (seen == Seen::Late && !stamp.is_urgent()));
        if let Seen::Ahead(forgotten) = seen {
            self.found.lost += forgotten;
        }
        self.received += 1;
        Delivery::Good
    }

    /// A member has something that is no message, or of a conversation in which it is not.
    pub fn foreign(&mut self) {
        self.found.foreign += 1;
    }

    /// How many deliveries are still to come if nothing goes wrong.
    pub fn outstanding(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    /// Messages without an answer.
    pub fn unanswered(&self) -> u64 {
        self.streams.iter().map(|stream| stream.sent - stream.acked_count - stream.failed).sum()
    }

    /// What is wrong. `is_over`: nothing more will come, so what a recipient lacks at the end is
    /// lost; otherwise only routine messages that later ones have overtaken: an urgent one may
    /// still come in its turn.
    pub fn finish(&self, is_over: bool) -> Integrity {
        let mut found = self.found;
        for (room, expected) in self.rooms.iter().zip(&self.sums) {
            let streams = (room.publishers * room.priorities) as usize;
            let mut is_settled = true;
            for stream in &self.streams[room.streams..room.streams + streams] {
                is_settled &= stream.sent == stream.acked_count && stream.failed == 0;
            }
            for member in 0..room.members as usize {
                let tracks = &self.tracks[room.tracks + member * streams..][..streams];
                let (mut skipped, mut rest) = (0, 0);
                for (place, (track, stream)) in tracks.iter().zip(&self.streams[room.streams..]).enumerate() {
                    let is_urgent = place % room.priorities as usize == 1;
                    let passed_over = track.skipped_of(&stream.acked);
                    skipped += if is_urgent { 0 } else { passed_over };
                    rest += track.rest_of(&stream.acked) + if is_urgent { passed_over } else { 0 };
                }
                found.lost += skipped + if is_over { rest } else { 0 };
                let sum = self.seats[room.seats + member].sum;
                found.misnumbered += u64::from(is_settled && skipped + rest == 0 && sum != *expected);
            }
        }
        found
    }

    fn books(&self, room: Room, stamp: &Stamp) -> Option<RoomBooks> {
        if stamp.run != self.run || stamp.room != room.0 {
            return None;
        }
        let books = *self.rooms.get(stamp.room as usize)?;
        let stream = &self.streams[books.stream(stamp.stream)?];
        (stamp.counter < stream.sent).then_some(books)
    }
}

impl RoomBooks {
    fn stream(&self, stream: u32) -> Option<usize> {
        let (publisher, priority) = (stream >> 1, stream & 1);
        let is_there = publisher < self.publishers && priority < self.priorities;
        is_there.then(|| self.streams + (publisher * self.priorities + priority) as usize)
    }
}

impl Track {
    fn see(&mut self, counter: u64) -> Seen {
        if counter == self.next {
            self.next += 1;
            return Seen::Next;
        }
        if counter < self.next {
            let was_skipped = self.skipped.as_mut().is_some_and(|skipped| skipped.remove(&counter));
            return if was_skipped { Seen::Late } else { Seen::Again };
        }
        let skipped = self.skipped.get_or_insert_default();
        let room = (SKIPPED_MAX.saturating_sub(skipped.len()) as u64).min(counter - self.next);
        skipped.extend(self.next..self.next + room);
        let forgotten = counter - self.next - room;
        self.next = counter + 1;
        Seen::Ahead(forgotten)
    }

    /// How many that `acked` has seen were skipped here.
    fn skipped_of(&self, acked: &Self) -> u64 {
        let skipped = self.skipped.iter().flat_map(|skipped| skipped.iter());
        skipped.filter(|counter| acked.has(**counter)).count() as u64
    }

    /// How many that `acked` has seen lie beyond the last one here.
    fn rest_of(&self, acked: &Self) -> u64 {
        (self.next..acked.next).filter(|counter| acked.has(*counter)).count() as u64
    }

    fn has(&self, counter: u64) -> bool {
        counter < self.next && !self.skipped.as_ref().is_some_and(|skipped| skipped.contains(&counter))
    }
}

/// What a message at its place adds to the sums.
fn entry(stamp: &Stamp, sequence: u64) -> u64 {
    fold(fold(u64::from(stamp.stream) ^ sequence.rotate_left(32), stamp.counter), sequence)
}
