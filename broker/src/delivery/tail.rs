//! The tail of a conversation: its most recent entries, encoded once, for all sessions that follow
//! it.
//!
//! A contiguous run of frames up to the head, bounded in bytes on its own; what all tails hold
//! together is counted here, and bounded by [`eviction`](super::eviction). What falls out is read
//! from the engine instead. Expired frames are never copied out, and their bytes are given back
//! wherever they stand; a deleted message is forgotten together with all before it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use wardline_storage::id::{Seq, Timestamp};

/// Bytes that all tails may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    /// Nothing used yet.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max }
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether they are more than may be.
    pub(super) fn is_over(&self) -> bool {
        self.used() > self.bytes_max
    }
}

/// An encoded entry.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// A `PushFrame` with its length, ready to be written.
    pub(crate) bytes: Bytes,
    /// When it was published.
    pub(crate) time: Timestamp,
    /// From when on it must not be sent.
    pub(crate) expires: Timestamp,
    /// Whether it goes on the urgent lane as well.
    pub(crate) urgent: bool,
}

/// When an entry was published, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The broker's time of it.
    pub(crate) time: Timestamp,
    /// Whether it is urgent.
    pub(crate) urgent: bool,
}

/// What was copied out of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Everything up to here has been looked at.
    pub(crate) through: Seq,
    /// Frames copied.
    pub(crate) frames: u64,
}

/// The most recent frames of one conversation.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The sequence of the first frame, or of the next one if there is none.
    first: Seq,
    frames: VecDeque<Frame>,
    bytes: usize,
    bytes_max: usize,
    /// Nothing that is here expires before.
    next_expiry: Timestamp,
    budget: Arc<Budget>,
}

impl Tail {
    /// Empty. Covers nothing until the first push.
    pub(crate) fn new(bytes_max: usize, budget: Arc<Budget>) -> Self {
        let (first, next_expiry) = (Seq::ZERO.next(), Timestamp::NEVER);
        Self { first, frames: VecDeque::new(), bytes: 0, bytes_max, next_expiry, budget }
    }

    /// Appends the entry at `seq`, and forgets the oldest ones that do not fit any more.
    pub(crate) fn push(&mut self, seq: Seq, frame: Frame) {
        if seq != self.end() {
            self.forget_through(seq.previous());
        }
        self.bytes += frame.bytes.len();
        self.budget.used.fetch_add(frame.bytes.len(), Ordering::Relaxed);
        self.next_expiry = self.next_expiry.min(frame.expires);
        self.frames.push_back(frame);
        while self.bytes > self.bytes_max {
            self.drop_oldest();
        }
    }

    /// Forgets the older half of what it has; at least one frame, if there is any.
    pub(super) fn halve(&mut self) {
        for _ in 0..self.frames.len().div_ceil(2) {
            self.drop_oldest();
        }
    }

    /// Whether it has no frame.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Forgets everything up to `seq`: it is read from the engine from now on.
    pub(crate) fn forget_through(&mut self, seq: Seq) {
        while self.first <= seq && !self.frames.is_empty() {
            self.drop_oldest();
        }
        if self.frames.is_empty() {
            self.first = self.first.max(seq.next());
        }
    }

    /// Gives back the bytes of all frames that expired, and forgets those that are the oldest.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        if now < self.next_expiry {
            return;
        }
        let mut freed = 0;
        self.next_expiry = Timestamp::NEVER;
        for frame in &mut self.frames {
            if frame.expires <= now {
                freed += std::mem::take(&mut frame.bytes).len();
            } else {
                self.next_expiry = self.next_expiry.min(frame.expires);
            }
        }
        self.bytes -= freed;
        self.budget.used.fetch_sub(freed, Ordering::Relaxed);
        while self.frames.front().is_some_and(|frame| frame.expires <= now) {
            self.drop_oldest();
        }
    }

    /// Whether everything after `after` is here.
    pub(crate) fn covers(&self, after: Seq) -> bool {
        after.next() >= self.first
    }

    /// Copies frames after `after` to `out` until that holds `fill` bytes; at least one. Starts at
    /// the oldest frame if `after` lies before it.
    pub(crate) fn copy(&self, after: Seq, now: Timestamp, fill: usize, out: &mut BytesMut) -> Copied {
        let mut copied = Copied { through: after, frames: 0 };
        let skip = usize::try_from(after.next().0.saturating_sub(self.first.0)).unwrap_or(usize::MAX);
        let mut seq = Seq(self.first.0.saturating_add(skip as u64));
        for frame in self.frames.iter().skip(skip) {
            if copied.frames > 0 && out.len() >= fill {
                break;
            }
            if frame.expires > now {
                out.extend_from_slice(&frame.bytes);
                copied.frames += 1;
            }
            copied.through = seq;
            seq = seq.next();
        }
        copied
    }

    /// When the entry at `seq` was published, if it is here.
    pub(crate) fn stamp(&self, seq: Seq) -> Option<Stamp> {
        let index = usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?;
        self.frames.get(index).map(|frame| Stamp { time: frame.time, urgent: frame.urgent })
    }

    fn end(&self) -> Seq {
        Seq(self.first.0 + self.frames.len() as u64)
    }

    fn drop_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.first = self.first.next();
            self.bytes -= frame.bytes.len();
            self.budget.used.fetch_sub(frame.bytes.len(), Ordering::Relaxed);
            if self.frames.is_empty() {
                self.frames = VecDeque::new();
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(byte: u8, length: usize, expires: u64, urgent: bool) -> Frame {
        let (bytes, time) = (Bytes::from(vec![byte; length]), Timestamp(u64::from(byte)));
        Frame { bytes, time, expires: Timestamp(expires), urgent }
    }

    #[test]
    fn copies_what_lies_after_and_is_not_expired() {
        let mut tail = Tail::new(100, Arc::new(Budget::new(1000)));
        tail.push(Seq(5), frame(5, 1, 10, false));
        tail.push(Seq(6), frame(6, 1, 3, true));
        tail.push(Seq(7), frame(7, 1, 10, true));
        assert!(!tail.covers(Seq(3)));
        assert!(tail.covers(Seq(4)));
        let mut out = BytesMut::new();
        let copied = tail.copy(Seq(4), Timestamp(3), 100, &mut out);
        assert_eq!((copied, &out[..]), (Copied { through: Seq(7), frames: 2 }, &[5, 7][..]));
        out.clear();
        let copied = tail.copy(Seq(1), Timestamp(0), 2, &mut out);
        assert_eq!((copied, &out[..]), (Copied { through: Seq(6), frames: 2 }, &[5, 6][..]));
        out.clear();
        let copied = tail.copy(Seq(7), Timestamp(0), 100, &mut out);
        assert_eq!((copied, out.len()), (Copied { through: Seq(7), frames: 0 }, 0));
    }

    #[test]
    fn tells_when_an_entry_was_published_while_it_is_here() {
        let mut tail = Tail::new(100, Arc::new(Budget::new(1000)));
        tail.push(Seq(5), frame(50, 1, 99, false));
        tail.push(Seq(6), frame(60, 1, 99, true));
        assert_eq!(tail.stamp(Seq(5)), Some(Stamp { time: Timestamp(50), urgent: false }));
        assert_eq!(tail.stamp(Seq(6)), Some(Stamp { time: Timestamp(60), urgent: true }));
        assert_eq!((tail.stamp(Seq(4)), tail.stamp(Seq(7))), (None, None));
        tail.forget_through(Seq(5));
        assert_eq!(tail.stamp(Seq(5)), None);
    }

    #[test]
    fn forgets_what_was_deleted() {
        let mut tail = Tail::new(100, Arc::new(Budget::new(1000)));
        for seq in 1..=4 {
            tail.push(Seq(seq), frame(0, 10, 9, false));
        }
        tail.forget_through(Seq(3));
        assert!(!tail.covers(Seq(2)));
        assert!(tail.covers(Seq(3)));
        tail.forget_through(Seq(9));
        assert!(!tail.covers(Seq(8)));
        assert_eq!(tail.budget.used(), 0);
    }

    #[test]
    fn what_expired_gives_its_bytes_back_behind_what_has_not() {
        let budget = Arc::new(Budget::new(1000));
        let mut tail = Tail::new(100, Arc::clone(&budget));
        for (seq, expires) in [(1, 99), (2, 5), (3, 7), (4, 99)] {
            tail.push(Seq(seq), frame(seq as u8, 10, expires, false));
        }
        tail.sweep(Timestamp(4));
        assert_eq!(budget.used(), 40);
        tail.sweep(Timestamp(5));
        assert_eq!((budget.used(), tail.bytes), (30, 30));
        tail.sweep(Timestamp(7));
        assert_eq!(budget.used(), 20);
        let mut out = BytesMut::new();
        let copied = tail.copy(Seq(0), Timestamp(7), 100, &mut out);
        assert_eq!((copied, out.len()), (Copied { through: Seq(4), frames: 2 }, 20));
        tail.sweep(Timestamp(99));
        assert_eq!((budget.used(), tail.frames.len()), (0, 0));
        assert!(tail.covers(Seq(4)));
    }

    proptest! {
        #[test]
        fn stays_contiguous_and_within_bounds(
            operations in prop::collection::vec((0u8..10, 1usize..40, 0u64..20), 1..200),
        ) {
            let budget = Arc::new(Budget::new(1000));
            let mut other = Tail::new(100, budget.clone());
            other.push(Seq(1), frame(1, 60, 9, false));
            let mut tail = Tail::new(100, budget.clone());
            let mut head = Seq(0);
            for (what, length, value) in operations {
                match what {
                    0 => tail.forget_through(Seq(head.0.min(value))),
                    1 => tail.sweep(Timestamp(value)),
                    2 => tail.halve(),
                    _ => {
                        head = head.next();
                        tail.push(head, frame(2, length, value, false));
                    }
                }
                prop_assert!(tail.covers(head));
                prop_assert!(tail.bytes <= 100);
                                prop_assert_eq!(budget.used(), tail.bytes + other.bytes);
                let mut out = BytesMut::new();
                let after = tail.first.previous();
                let copied = tail.copy(after, Timestamp(0), usize::MAX, &mut out);
                prop_assert_eq!(copied.through, if tail.frames.is_empty() { after } else { head });
            }
        }
    }
}
