//! Times a device's receipts: how long messages took to it, and how long until their user read
//! them.
//!
//! Pure, but for what it records: time comes with the receipts, and when a message was published
//! from its conversation's tail. Samples, so that it costs next to nothing: at most one watermark a
//! tenth of a second is looked at, and a bounded number of messages is waited for to be read. A
//! message from before the session counts for nothing: how long somebody was away says nothing
//! about the broker.

use std::time::Duration;

use wardline_storage::command::Acknowledge;
use wardline_storage::id::{ConversationId, Seq, Timestamp};

use crate::delivery::tail::Stamp;
use crate::metrics::Metrics;

/// Least time between two watermarks that are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Most messages that are waited for to be read.
const UNREAD_MAX: usize = 8;
/// A message that was not read for so long makes room for another one.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Times the receipts of one lane.
#[derive(Debug)]
pub(super) struct Timing {
    opened: Timestamp,
    next_look: Timestamp,
    /// The last urgent message that a receipt of its own came for.
    told_singly: Option<(ConversationId, Seq)>,
    unread: Vec<Unread>,
}

/// A message that was received and not read yet.
#[derive(Clone, Copy, Debug)]
struct Unread {
    conversation: ConversationId,
    seq: Seq,
    received: Timestamp,
    is_urgent: bool,
}

impl Timing {
    /// For a session that was opened at this time.
    pub(super) fn new(opened: Timestamp) -> Self {
        Self { opened, next_look: Timestamp(0), told_singly: None, unread: Vec::new() }
    }

    /// Whether there is anything to be had from a receipt that came at `now`: cheap, for every
    /// receipt.
    pub(super) fn wants(&self, acknowledge: &Acknowledge, now: Timestamp) -> bool {
        let looks = acknowledge.delivered.is_some() && now >= self.next_look;
        let reads = acknowledge.read.is_some() || !acknowledge.read_only.is_empty();
        looks || !acknowledge.delivered_only.is_empty() || (reads && !self.unread.is_empty())
    }

    /// Records what a receipt tells. `stamp`: when an entry of its conversation was published.
    pub(super) fn hear(
        &mut self,
        acknowledge: &Acknowledge,
        now: Timestamp,
        stamp: impl Fn(Seq) -> Option<Stamp>,
        metrics: &Metrics,
    ) {
        let conversation = acknowledge.conversation;
        for seq in &acknowledge.delivered_only {
            self.received(conversation, *seq, now, stamp(*seq), metrics);
            self.told_singly = Some((conversation, *seq));
        }
        if let Some(seq) = acknowledge.delivered.filter(|_| now >= self.next_look) {
            self.next_look = now.after(LOOK_EVERY);
            // An urgent message that was told of singly comes again in its turn.
            if self.told_singly != Some((conversation, seq)) {
                self.received(conversation, seq, now, stamp(seq), metrics);
            }
        }
        let watermark = acknowledge.read.unwrap_or(Seq::ZERO);
        self.unread.retain(|unread| {
            let is_read = unread.conversation == conversation
                && (unread.seq <= watermark || acknowledge.read_only.contains(&unread.seq));
            if is_read {
                metrics.read(now.since(unread.received).as_secs_f64(), unread.is_urgent);
            }
            !is_read
        });
    }

    fn received(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
        now: Timestamp,
        stamp: Option<Stamp>,
        metrics: &Metrics,
    ) {
        let Some(stamp) = stamp.filter(|stamp| stamp.time >= self.opened) else { return };
        metrics.delivered(now.since(stamp.time).as_secs_f64(), stamp.urgent);
        if self.unread.len() == UNREAD_MAX {
            self.unread.retain(|unread| now.since(unread.received) < UNREAD_TIME_MAX);
        }
        if self.unread.len() < UNREAD_MAX {
            self.unread.push(Unread { conversation, seq, received: now, is_urgent: stamp.urgent });
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

    use super::*;

    const CONVERSATION: ConversationId = ConversationId::new([7; 16]);

    /// A lane of a session that was opened at 1,000 ms, in a conversation with a message each 10
    /// ms; each tenth is urgent.
    struct Lane {
        timing: Timing,
        metrics: Metrics,
        recorded: PrometheusHandle,
    }

    impl Lane {
        fn new() -> Self {
            let recorder = PrometheusBuilder::new().build_recorder();
            let metrics = metrics::with_local_recorder(&recorder, Metrics::new);
            Self { timing: Timing::new(Timestamp(1_000)), metrics, recorded: recorder.handle() }
        }

        fn hear(&mut self, at: u64, acknowledge: &Acknowledge) {
            let stamp =
                |seq: Seq| Some(Stamp { time: Timestamp(seq.0 * 10), urgent: seq.0.is_multiple_of(10) });
            if self.timing.wants(acknowledge, Timestamp(at)) {
                self.timing.hear(acknowledge, Timestamp(at), stamp, &self.metrics);
            }
        }

        /// How many were recorded, and their sum in milliseconds.
        fn recorded(&self, metric: &str, priority: &str) -> (u64, u64) {
            let page = self.recorded.render();
            let value = |part: &str| -> f64 {
                let series = format!("wardline_{metric}_seconds_{part}{{priority=\"{priority}\"}} ");
                let line = page.lines().find_map(|line| line.strip_prefix(&series));
                line.expect("the series is there").parse().expect("a number")
            };
            (value("count") as u64, (value("sum") * 1000.0).round() as u64)
        }
    }

    fn nothing() -> Acknowledge {
        Acknowledge {
            conversation: CONVERSATION,
            delivered: None,
            read: None,
            delivered_only: Vec::new(),
            read_only: Vec::new(),
        }
    }

    fn delivered(seq: u64) -> Acknowledge {
        Acknowledge { delivered: Some(Seq(seq)), ..nothing() }
    }

    fn urgent(seq: u64) -> Acknowledge {
        Acknowledge { delivered_only: vec![Seq(seq)], ..nothing() }
    }

    fn read(seq: u64) -> Acknowledge {
        Acknowledge { read: Some(Seq(seq)), ..nothing() }
    }

    #[test]
    fn messages_from_before_the_session_count_for_nothing() {
        let mut lane = Lane::new();
        lane.hear(1_005, &delivered(99));
        lane.hear(1_005, &urgent(90));
        assert_eq!(lane.recorded("publish_to_delivered", "routine"), (0, 0));
        lane.hear(1_205, &delivered(101));
        lane.hear(1_205, &urgent(110));
        assert_eq!(lane.recorded("publish_to_delivered", "routine"), (1, 195));
        assert_eq!(lane.recorded("publish_to_delivered", "urgent"), (1, 105));
    }

    #[test]
    fn of_watermarks_ten_a_second_are_looked_at_and_of_urgent_messages_all() {
        let mut lane = Lane::new();
        for step in 0..100 {
            // One each 10 ms, 5 ms after it was published.
            lane.hear(1_005 + step * 10, &delivered(100 + step));
        }
        let (routine, _) = lane.recorded("publish_to_delivered", "routine");
        let (covered, _) = lane.recorded("publish_to_delivered", "urgent");
        assert_eq!(routine + covered, 10);
        for step in 0..20 {
            lane.hear(3_000, &urgent(100 + step * 10));
        }
        assert_eq!(lane.recorded("publish_to_delivered", "urgent").0, covered + 20);
        // The last of them comes again in its turn.
        lane.hear(4_000, &delivered(290));
        assert_eq!(lane.recorded("publish_to_delivered", "urgent").0, covered + 20);
    }

    #[test]
    fn a_message_is_read_once() {
        let mut lane = Lane::new();
        lane.hear(2_000, &delivered(151));
        lane.hear(2_050, &urgent(160));
        lane.hear(2_500, &read(150));
        assert_eq!(lane.recorded("delivered_to_read", "routine"), (0, 0));
        lane.hear(3_000, &read(151));
        lane.hear(3_001, &read(152));
        assert_eq!(lane.recorded("delivered_to_read", "routine"), (1, 1_000));
        lane.hear(3_050, &Acknowledge { read_only: vec![Seq(160)], ..nothing() });
        assert_eq!(lane.recorded("delivered_to_read", "urgent"), (1, 1_000));
        // Another conversation's watermark says nothing.
        lane.hear(4_000, &delivered(171));
        lane.hear(4_100, &Acknowledge { conversation: ConversationId::new([8; 16]), ..read(171) });
        assert_eq!(lane.recorded("delivered_to_read", "routine").0, 1);
    }

    #[test]
    fn what_waits_to_be_read_is_bounded() {
        let mut lane = Lane::new();
        for step in 0..100 {
            lane.hear(2_000 + step * 100, &delivered(101 + step * 10));
        }
        assert_eq!(lane.timing.unread.len(), UNREAD_MAX);
    }
}
