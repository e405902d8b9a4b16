//! What goes onto a device's lanes next: gathered into one buffer a lane, when that is empty.
//!
//! Urgent first, from memory and from the store; then, in turns, what is in the tails and what was
//! read for conversations that are behind; receipts ride along.

use std::collections::HashMap;

use tokio::time::Instant;
use wardline_storage::id::{ConversationId, Seq};

use super::super::calls::Call;
use super::super::progress::{Extent, Next};
use super::super::topic::{ChunkCopy, TailCopy, UrgentCopy};
use super::Delivery;
use crate::presence::bell::Slot;
use crate::wire;

/// Most bytes of one conversation's tail before the next conversation has its turn.
const TURN_BYTES: usize = 8 * 1024;
/// Most conversations that are not followed of which it is remembered up to where they were called.
const CALLED_MAX: usize = 1024;

impl Delivery {
    /// Gathers what can be written now.
    pub(super) fn fill(&mut self) {
        if !self.urgent.is_pending() {
            self.fill_urgent();
        }
        let is_called = self.calls.is_empty() && self.called.is_none() && self.call_job.is_none();
        self.called_first |= self.begun && is_called && !self.urgent.is_pending();
        if self.called_first && !self.ordered.is_pending() {
            self.fill_ordered();
        }
        self.fill_receipts();
        if is_called && let Some(entries) = self.progress.caught_up() {
            wire::caught_up(entries, self.following.not_followed(), self.ordered.buffer());
        }
        self.urgent.shrink();
        self.ordered.shrink();
    }

    fn fill_urgent(&mut self) {
        let (all, fill) = (&self.all, self.all.limits.write_bytes);
        let out = self.urgent.buffer();
        while out.len() < fill {
            let Some(slot) = self.urgent_news.pop_first() else { break };
            let (Some(follow), Some(after)) = (self.following.get(slot), self.progress.urgent_after(slot))
            else {
                continue;
            };
            let UrgentCopy { copied, lost } = follow.copy_urgent(after, all.reads.now(), fill, out);
            self.progress.urgent_sent(slot, copied.through);
            all.metrics.deliveries_urgent.increment(copied.frames);
            if let Some(lost) = lost {
                self.calls.put(Call::between(follow.conversation(), after, lost.next()));
            }
            if out.len() >= fill {
                self.urgent_news.insert(slot);
            }
        }
        self.fill_called();
        if self.urgent.is_pending() {
            self.driver.hurry();
        }
    }

    /// Urgent messages that were read from the store.
    fn fill_called(&mut self) {
        let Some(called) = &mut self.called else { return };
        let (all, out) = (&self.all, self.urgent.buffer());
        while !called.is_sent() && out.len() < all.limits.write_bytes {
            let Some(sent) = called.copy_next(all.reads.now(), out) else { continue };
            all.metrics.deliveries_urgent.increment(1);
            if self.following.of(sent.conversation).is_none() {
                note_called(&mut self.called_through, sent.conversation, sent.seq);
            }
        }
        if called.is_sent() {
            self.calls.append(std::mem::take(&mut called.rest));
            self.called = None;
        }
    }

    fn fill_ordered(&mut self) {
        let fill = self.all.limits.write_bytes;
        loop {
            match self.progress.next(self.chunk.is_some()) {
                Next::Nothing => break,
                Next::Chunk => self.put_chunk(),
                Next::Tail(slot, after) => self.put_tail(slot, after, fill),
            }
            if self.ordered.buffer().len() >= fill {
                break;
            }
        }
    }

    fn put_tail(&mut self, slot: Slot, after: Seq, fill: usize) {
        let Some(follow) = self.following.get(slot) else { return };
        let (all, out) = (&self.all, self.ordered.buffer());
        let before = out.len();
        let fill = fill.min(before + TURN_BYTES);
        match follow.copy(after, all.reads.now(), fill, out) {
            // The bell tells of it as well.
            TailCopy::Left => {}
            TailCopy::Behind => self.progress.copied(slot, after, 0, 0, Extent::Behind),
            TailCopy::Copied { copied, more } => {
                all.metrics.deliveries_tail.increment(copied.frames);
                let extent = if more { Extent::More } else { Extent::All };
                self.progress.copied(slot, copied.through, copied.frames, out.len() - before, extent);
            }
        }
    }

    fn put_chunk(&mut self) {
        let Some(chunk) = self.chunk.take() else { return };
        let Some(follow) = self.following.get(chunk.slot) else { return };
        let all = &self.all;
        match follow.copy_chunk(&chunk, all.reads.now(), self.ordered.buffer()) {
            ChunkCopy::Copied => {
                all.metrics.deliveries_engine.increment(chunk.frames);
                self.progress.chunk_sent(chunk.slot, chunk.through, chunk.frames, chunk.more);
            }
            ChunkCopy::Stale => self.progress.read_again(chunk.slot),
            ChunkCopy::Left => {}
        }
    }

    /// Receipts ride along with entries, or go when they have waited long enough.
    fn fill_receipts(&mut self) {
        let due = self.receipts_due.is_some_and(|due| due <= Instant::now());
        if self.receipt_news.is_empty() || !(due || self.ordered.is_pending()) {
            return;
        }
        let fill = self.all.limits.write_bytes;
        let out = self.ordered.buffer();
        while out.len() < fill {
            let Some(slot) = self.receipt_news.pop_first() else { break };
            let Some(follow) = self.following.get_mut(slot) else { continue };
            let copied = follow.copy_receipts(fill, out);
            self.all.metrics.receipts_pushed.increment(copied);
            if out.len() >= fill {
                self.receipt_news.insert(slot);
            }
        }
        if self.receipt_news.is_empty() {
            self.receipts_due = None;
        }
    }
}

fn note_called(called_through: &mut HashMap<ConversationId, Seq>, conversation: ConversationId, seq: Seq) {
    if called_through.len() >= CALLED_MAX {
        called_through.clear();
    }
    let through = called_through.entry(conversation).or_insert(seq);
    *through = seq.max(*through);
}
