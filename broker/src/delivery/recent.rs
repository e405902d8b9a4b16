//! Recent: how many urgent messages are in memory over all topics, and which gives way.
//!
//! Their bytes are bounded apart from those of the tails: routine traffic cannot use them up. The
//! oldest gives way, whosever it is. One that its topic let go of earlier counts until its turn, so
//! the line is bounded too.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wardline_storage::id::Seq;

use super::topic::Topic;

/// What an urgent message counts beside its frame.
const OVERHEAD_BYTES: usize = 64;

/// All urgent messages in memory, the oldest first.
pub(super) struct Recent {
    line: Mutex<Line>,
    bytes_max: usize,
}

#[derive(Default)]
struct Line {
    /// One for each that was pushed, until it gives way: whether its topic still has it or not.
    messages: VecDeque<(Weak<Topic>, Seq, usize)>,
    bytes: usize,
}

impl Recent {
    /// None yet.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { line: Mutex::default(), bytes_max }
    }

    /// Notes one that a topic was given; the oldest ones give way to it.
    pub(super) fn note(&self, topic: &Arc<Topic>, seq: Seq, frame_bytes: usize) {
        let bytes = frame_bytes + OVERHEAD_BYTES;
        let mut line = self.line.lock();
        line.messages.push_back((Arc::downgrade(topic), seq, bytes));
        line.bytes += bytes;
        while line.bytes > self.bytes_max {
            let Some((topic, seq, bytes)) = line.messages.pop_front() else { return };
            line.bytes -= bytes;
            if let Some(topic) = topic.upgrade() {
                topic.forget_ahead(seq);
            }
        }
    }
}
