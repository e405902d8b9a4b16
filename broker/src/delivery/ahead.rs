//! Ahead: the recent urgent messages of a topic, in memory, so that they go ahead whatever else has
//! used up the tails.
//!
//! Their bound, over all topics, is [`recent`](super::recent)'s business. What gave way is not lost
//! to the urgent lane: a session that had not looked at it yet is told, and reads it from the store
//! ([`calls`](super::calls)).

use std::collections::VecDeque;

use bytes::BytesMut;
use wardline_storage::id::{Seq, Timestamp};

use super::tail::{Copied, Frame};

/// The recent urgent messages of one topic.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    frames: VecDeque<(Seq, Frame)>,
    /// Those up to here gave way.
    lost: Seq,
}

impl Ahead {
    pub(super) fn push(&mut self, seq: Seq, frame: Frame) {
        self.frames.push_back((seq, frame));
    }

    /// Forgets everything up to `seq`.
    pub(super) fn forget_through(&mut self, seq: Seq) {
        while let Some((first, _)) = self.frames.front().filter(|(first, _)| *first <= seq) {
            self.lost = self.lost.max(*first);
            self.frames.pop_front();
        }
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }

    /// The last one that is missing here, if one after `after` is.
    pub(super) fn lost_after(&self, after: Seq) -> Option<Seq> {
        Some(self.lost).filter(|lost| *lost > after)
    }

    /// Copies what lies after `after` to `out` until that holds `fill` bytes; at least one. `head`:
    /// the last entry of the conversation.
    pub(super) fn copy(
        &self,
        after: Seq,
        head: Seq,
        now: Timestamp,
        fill: usize,
        out: &mut BytesMut,
    ) -> Copied {
        let mut copied = Copied { through: after, frames: 0 };
        for (seq, frame) in self.frames.iter().filter(|(seq, _)| *seq > after) {
            if copied.frames > 0 && out.len() >= fill {
                return copied;
            }
            if frame.expires > now {
                out.extend_from_slice(&frame.bytes);
                copied.frames += 1;
            }
            copied.through = *seq;
        }
        copied.through = head.max(after);
        copied
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(byte: u8, expires: u64) -> Frame {
        let bytes = Bytes::from(vec![byte; 10]);
        Frame { bytes, time: Timestamp(0), expires: Timestamp(expires), urgent: true }
    }

    #[test]
    fn what_gave_way_is_told_to_those_who_had_not_looked() {
        let mut ahead = Ahead::default();
        for seq in [3, 7, 9] {
            ahead.push(Seq(seq), frame(seq as u8, 10));
        }
        let mut out = BytesMut::new();
        let copied = ahead.copy(Seq(3), Seq(12), Timestamp(0), 1000, &mut out);
        assert_eq!((copied, out.len(), out[0]), (Copied { through: Seq(12), frames: 2 }, 20, 7));
        assert_eq!(ahead.lost_after(Seq::ZERO), None);
        ahead.forget_through(Seq(8));
        assert_eq!((ahead.lost_after(Seq(5)), ahead.lost_after(Seq(7))), (Some(Seq(7)), None));
        out.clear();
        assert_eq!(ahead.copy(Seq::ZERO, Seq(12), Timestamp(10), 1000, &mut out).frames, 0, "expired");
    }

    #[test]
    fn what_does_not_fit_goes_on_where_it_stopped() {
        let mut ahead = Ahead::default();
        for seq in 1..=3 {
            ahead.push(Seq(seq), frame(seq as u8, 10));
        }
        let mut out = BytesMut::new();
        let copied = ahead.copy(Seq::ZERO, Seq(5), Timestamp(0), 20, &mut out);
        assert_eq!(copied, Copied { through: Seq(2), frames: 2 });
        out.clear();
        let copied = ahead.copy(copied.through, Seq(5), Timestamp(0), 20, &mut out);
        assert_eq!(copied, Copied { through: Seq(5), frames: 1 });
    }
}
