//! Compares what one person sees of one conversation with the trace. Pure, so that planted faults
//! can test it.
//!
//! A checker is only worth what it catches: `tests/compare.rs` removes, repeats, swaps and forges
//! entries and receipts and expects each to be named.

use std::collections::HashSet;

use wardline_client::{Sequence, TimeMs};

use super::trace::{Person, Trace};

/// A conversation as one of its two people sees it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Its history, in the order given.
    pub entries: Vec<Seen>,
    /// The highest sequence, as listed.
    pub head: Sequence,
    /// Unread messages, as listed.
    pub unread: u32,
    /// The viewer's delivered watermark, as listed.
    pub delivered_up_to: Sequence,
    /// The viewer's read watermark, as listed.
    pub read_up_to: Sequence,
}

/// An entry of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its place.
    pub sequence: Sequence,
    /// Who sent it, if it is somebody of the trace.
    pub sender: Option<Person>,
    /// Which message of the trace its content is, byte for byte.
    pub message: Option<usize>,
    /// When.
    pub time_ms: TimeMs,
}

/// When the peer had a message, as `receipts` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// The message's place.
    pub sequence: Sequence,
    /// When the message was published.
    pub time_ms: TimeMs,
    /// When the peer had it.
    pub delivered_at_ms: Option<TimeMs>,
    /// When the peer had read it.
    pub read_at_ms: Option<TimeMs>,
}

/// What the trace says should be there.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// What the viewer wrote to the peer, in order.
    pub mine: &'a [usize],
    /// What the peer wrote to the viewer, in order.
    pub theirs: &'a [usize],
}

/// What is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged messages that are not there.
    pub lost: Vec<usize>,
    /// Messages that are there more than once.
    pub duplicated: Vec<usize>,
    /// Messages that stand before one of the same sender that was published earlier, or not where
    /// the ack said.
    pub reordered: Vec<usize>,
    /// Entries that are not a message between the two, or not from whom they say.
    pub foreign: usize,
    /// Messages that the viewer has received and read, and that the record does not show so.
    pub receipts_missing: usize,
    /// Watermarks or receipt times that contradict their order.
    pub receipts_regressed: usize,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares a view with the trace. `acked` tells where a message was acknowledged to stand.
pub fn compare(
    view: &View,
    expected: Expected<'_>,
    trace: &Trace,
    acked: impl Fn(usize) -> Option<Sequence>,
) -> Findings {
    let mut findings = Findings::default();
    let mut seen = HashSet::new();
    let mut last_mine = None;
    let mut last_theirs = None;
    let mut last_sequence = 0;
    for entry in &view.entries {
        let index = entry.message.filter(|index| {
            let is_ours =
                expected.mine.binary_search(index).is_ok() || expected.theirs.binary_search(index).is_ok();
            is_ours && entry.sender == Some(trace.messages[*index].sender)
        });
        let Some(index) = index else {
            findings.foreign += 1;
            continue;
        };
        if !seen.insert(index) {
            findings.duplicated.push(index);
            continue;
        }
        let is_mine = expected.mine.binary_search(&index).is_ok();
        let last = if is_mine { &mut last_mine } else { &mut last_theirs };
        let is_moved = acked(index).is_some_and(|sequence| sequence != entry.sequence);
        if last.is_some_and(|last| last > index) || entry.sequence <= last_sequence || is_moved {
            findings.reordered.push(index);
        }
        *last = Some(index);
        last_sequence = entry.sequence;
    }
    let all = expected.mine.iter().chain(expected.theirs);
    findings.lost = all.copied().filter(|&index| acked(index).is_some() && !seen.contains(&index)).collect();
    watermarks(view, expected, &mut findings);
    findings
}

/// Checks the viewer's own watermarks: they cover what the peer wrote, and fit each other.
fn watermarks(view: &View, expected: Expected<'_>, findings: &mut Findings) {
    let is_theirs =
        |entry: &&Seen| entry.message.is_some_and(|index| expected.theirs.binary_search(&index).is_ok());
    let covered = view.delivered_up_to.min(view.read_up_to);
    let missing = view.entries.iter().filter(is_theirs).filter(|entry| entry.sequence > covered).count();
    findings.receipts_missing += missing.max(view.unread as usize);
    let head = view.entries.iter().map(|entry| entry.sequence).max().unwrap_or_default();
    let is_ordered = view.read_up_to <= view.delivered_up_to && view.delivered_up_to <= view.head;
    if !is_ordered || view.head != head {
        findings.receipts_regressed += 1;
    }
}

/// Checks what the record says about messages that the viewer published, ascending: each was
/// received and then read, and nothing before what stands above it.
pub fn compare_receipts(receipts: &[Receipts], findings: &mut Findings) {
    let mut before = Receipts::default();
    for receipt in receipts {
        let (Some(delivered), Some(read)) = (receipt.delivered_at_ms, receipt.read_at_ms) else {
            findings.receipts_missing += 1;
            continue;
        };
        let follows = Some(delivered) >= before.delivered_at_ms && Some(read) >= before.read_at_ms;
        if receipt.time_ms > delivered || delivered > read || !follows {
            findings.receipts_regressed += 1;
        }
        before = *receipt;
    }
}
