//! Fan-out: what is durable becomes news for the sessions that follow it.
//!
//! Runs on the committer's thread, in the order of the commits, and never blocks: it encodes an
//! entry once if any session follows the conversation, puts it into the tail, and rings bells.
//! Whoever left is cut off before the next event is looked at.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, mpsc, watch};
use wardline_storage::command::Event;
use wardline_storage::engine::EngineError;
use wardline_storage::fail_point::{self, Point};
use wardline_storage::id::{ConversationId, Seq};
use wardline_storage::log::{GroupStats, Observer};
use wardline_storage::model::{Body, Entry, Notice, Priority, ReceiptKind, Text};

use super::tail::Frame;
use super::topics::Topics;
use crate::metrics::Metrics;
use crate::presence::bell::Change;
use crate::presence::registry::Registry;
use crate::wire;

/// Makes news of committed events.
pub(crate) struct Fanout {
    topics: Arc<Topics>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    /// Conversations whose messages' expiry is to be rewritten; a full channel loses nothing, since
    /// the store remembers them too.
    reexpire: mpsc::Sender<ConversationId>,
    /// Told when members of care conversations are to be brought in line with the record. The store
    /// remembers whose.
    regroup: Arc<Notify>,
    /// Where the store's failure is told.
    failed: watch::Sender<Option<String>>,
    /// For encoding.
    scratch: BytesMut,
}

impl Observer for Fanout {
    fn committed(&mut self, group: GroupStats, events: Vec<Event>) {
        self.metrics.applied_position.set(group.applied.position as f64);
        self.metrics.applied_time.set(group.applied.time.0 as f64 / 1000.0);
        self.metrics.group_commands.record(group.commands as f64);
        self.metrics.apply_seconds.record(group.apply.as_secs_f64());
        self.metrics.commit_seconds.record(group.commit.as_secs_f64());
        for (histogram, longest) in
            [(&self.metrics.routine_ack, group.routine), (&self.metrics.urgent_ack, group.urgent)]
        {
            if !longest.is_zero() {
                histogram.record(longest.as_secs_f64());
            }
        }
        for event in events {
            self.tell(event);
        }
    }

    fn failed(&mut self, error: &EngineError) {
        tracing::error!(code = "store-failed", %error, "the store failed: nothing more will be committed");
        self.failed.send_replace(Some(error.to_string()));
    }
}

impl Fanout {
    /// For these conversations and these sessions. `reexpire`: told of conversations whose
    /// messages' expiry is to be rewritten; `regroup`: that members are to be brought in line;
    /// `failed`: of the store's failure.
    pub(super) fn new(
        topics: Arc<Topics>,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        reexpire: mpsc::Sender<ConversationId>,
        regroup: Arc<Notify>,
        failed: watch::Sender<Option<String>>,
    ) -> Self {
        Self { topics, registry, metrics, reexpire, regroup, failed, scratch: BytesMut::new() }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Appended { conversation, seq, entry, sender } => {
                if let Body::Message(message) = &entry.body {
                    match message.priority {
                        Priority::Urgent => self.metrics.published_urgent.increment(1),
                        Priority::Routine => self.metrics.published_routine.increment(1),
                    }
                    self.metrics.published_bytes.increment(message.payload.len() as u64);
                }
                if let Some(topic) = self.topics.find(conversation) {
                    let frame = self.encode(conversation, seq, &entry, &sender);
                    self.topics.append(&topic, seq, frame);
                    fail_point::pass(Point::Rung);
                }
                if is_urgent(&entry) {
                    self.topics.unfollowed.call(conversation);
                }
            }
            Event::Erased { conversation, seq } => {
                if let Some(topic) = self.topics.find(conversation) {
                    topic.erase(seq);
                }
            }
            Event::Receipt { conversation, person, kind, seq, time } => {
                match kind {
                    ReceiptKind::Delivered => self.metrics.receipts_delivered.increment(1),
                    ReceiptKind::Read => self.metrics.receipts_read.increment(1),
                    ReceiptKind::DeliveredOnly => self.metrics.receipts_delivered_only.increment(1),
                    ReceiptKind::ReadOnly => self.metrics.receipts_read_only.increment(1),
                }
                let topic = self.topics.find(conversation);
                if let Some(topic) = topic.filter(|topic| topic.wants_receipts_of(person.user)) {
                    wire::receipt(conversation, &person.name, kind, seq, time, &mut self.scratch);
                    topic.receipt(person.user, kind, Bytes::copy_from_slice(&self.scratch));
                    self.scratch.clear();
                    fail_point::pass(Point::Receipt);
                }
            }
            Event::Joined { conversation, user } => {
                self.registry.tell(user, conversation, Change::Joined);
            }
            Event::Left { conversation, user } => {
                if let Some(topic) = self.topics.find(conversation) {
                    topic.cut(user);
                }
                self.registry.tell(user, conversation, Change::Left);
            }
            Event::RetentionShortened { conversation } => {
                if let Some(topic) = self.topics.find(conversation) {
                    topic.clear();
                }
                if self.reexpire.try_send(conversation).is_err() {
                    tracing::warn!(code = "retention-waits", %conversation, "much retention is being shortened: this one waits for the next look");
                }
            }
            Event::RegroupDue { .. } => self.regroup.notify_one(),
            Event::FirstPublish { conversation, user } => {
                if let Some(topic) = self.topics.find(conversation) {
                    topic.published(user);
                }
            }
        }
    }

    /// `None` for what mentions people beside its sender: their names are read from the engine with
    /// it.
    fn encode(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
        entry: &Entry,
        sender: &Text,
    ) -> Option<Frame> {
        let mentions = match &entry.body {
            Body::Message(_) => false,
            Body::Tombstone { .. } => true,
            Body::Notice(notice) => {
                matches!(notice, Notice::Added(..) | Notice::Removed(_) | Notice::Role(..) | Notice::Left(_))
            }
        };
        if mentions {
            return None;
        }
        let urgent = is_urgent(entry);
        wire::entry(conversation, seq, entry, sender, &[], &mut self.scratch);
        // A copy of its own: frames that shared a buffer would keep it alive after they left the
        // tail.
        let bytes = Bytes::copy_from_slice(&self.scratch);
        self.scratch.clear();
        Some(Frame { bytes, time: entry.time, expires: entry.expires, urgent })
    }
}

fn is_urgent(entry: &Entry) -> bool {
    matches!(&entry.body, Body::Message(message) if message.priority == Priority::Urgent)
}
