//! The result of a replay: what was counted, what the check found, and whether that is right.
//!
//! One JSON object; its field names are stable, since `cargo xtask demo` and later comparisons read
//! them. The verdict is made here and nowhere else.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::Replay;
use super::check::Found;
use super::people::Plan;
use super::record::{Latencies, Outage, Record};

/// The result of a replay.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether everything is right.
    pub passed: bool,
    /// Draws everything that is drawn.
    pub seed: u64,
    /// People.
    pub people: usize,
    /// Of them, who went offline and came back.
    pub people_away: usize,
    /// Conversations.
    pub conversations: usize,
    /// Messages in the trace.
    pub messages: usize,
    /// Messages acknowledged.
    pub acked: usize,
    /// Messages that the SDK gave up.
    pub failed: usize,
    /// Acknowledged messages that somebody does not have, in their inbox or at the check.
    pub lost: usize,
    /// Messages that somebody got or has more than once.
    pub duplicated: usize,
    /// Messages that somebody got or has out of order.
    pub reordered: usize,
    /// Entries that should not be there.
    pub foreign: usize,
    /// Receipts that should be there.
    pub receipts_missing: usize,
    /// Receipts that went back or contradict each other.
    pub receipts_regressed: usize,
    /// Receipts pushed to senders.
    pub receipts_pushed: usize,
    /// Messages that waited for a recipient who was away.
    pub to_absent: usize,
    /// Sessions that the SDK opened again by itself.
    pub reconnects: usize,
    /// Sessions that ended for good without being asked to.
    pub sessions_refused: usize,
    /// How many times faster than life the replay was.
    pub speed: f64,
    /// How long the publishing was planned to take.
    pub planned_s: f64,
    /// From the first message to the last person's going.
    pub replay_s: f64,
    /// How long the check took.
    pub check_s: f64,
    /// Histories read by the check.
    pub histories_checked: usize,
    /// Messages whose receipt times the check asked for.
    pub receipts_checked: usize,
    /// Latencies.
    pub latency: Latencies,
    /// What the kill looked like to the clients; `null`: there was none.
    pub outage: Option<Outage>,
}

impl Report {
    /// Sums up and judges.
    pub fn new(replay: &Replay, record: &Record, found: &Found, replay_s: f64, check_s: f64) -> Self {
        let counts = record.counts();
        let messages = replay.trace.messages.len();
        let acked = counts.acked.load(Relaxed);
        let arrived = counts.arrived.load(Relaxed).min(counts.echoed.load(Relaxed));
        let mut report = Self {
            passed: false,
            seed: replay.seed,
            people: replay.plans.len(),
            people_away: replay.plans.iter().filter(is_away).count(),
            conversations: found.histories / 2,
            messages,
            acked,
            failed: counts.failed.load(Relaxed),
            lost: found.lost.len().max(acked.saturating_sub(arrived)),
            duplicated: found.duplicated.len() + found.redelivered + counts.duplicated.load(Relaxed),
            reordered: found.reordered.len() + counts.reordered.load(Relaxed),
            foreign: found.foreign + counts.foreign.load(Relaxed),
            receipts_missing: found.receipts_missing,
            receipts_regressed: found.receipts_regressed + counts.receipts_regressed.load(Relaxed),
            receipts_pushed: counts.receipts.load(Relaxed),
            to_absent: record.to_absent(),
            reconnects: counts.reconnects.load(Relaxed),
            sessions_refused: counts.sessions_refused.load(Relaxed),
            speed: replay.schedule.speed(),
            planned_s: replay.schedule.duration().as_secs_f64(),
            replay_s,
            check_s,
            histories_checked: found.histories,
            receipts_checked: found.receipts_asked,
            latency: record.latencies(&replay.schedule),
            outage: record.outage(),
        };
        report.passed = report.is_right();
        report
    }

    fn is_right(&self) -> bool {
        let wrong = self.failed
            + self.lost
            + self.duplicated
            + self.reordered
            + self.foreign
            + self.receipts_missing
            + self.receipts_regressed
            + self.sessions_refused;
        // Of no message nobody can say that it arrived.
        wrong == 0 && self.messages > 0 && self.acked == self.messages
    }
}

fn is_away(plan: &&Plan) -> bool {
    !plan.absences.is_empty()
}
