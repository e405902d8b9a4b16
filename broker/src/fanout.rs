//! Fan-out: what is durable becomes news for the sessions that follow it.
//!
//! Runs on the committer's thread, in the order of the commits, and never blocks: it encodes an entry once if any
//! session follows the conversation, puts it into the tail, and rings bells. Whoever left is cut off before the next
//! event is looked at.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use wardline_storage::command::Event;
use wardline_storage::engine::EngineError;
use wardline_storage::id::{ConversationId, Seq};
use wardline_storage::log::{GroupStats, Observer};
use wardline_storage::model::{Body, Entry, Notice, Priority, Text};

use crate::bell::Change;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::tail::Frame;
use crate::topic::Topics;
use crate::wire;

/// Makes news of committed events.
pub(crate) struct Fanout {
    /// The followed conversations.
    pub(crate) topics: Arc<Topics>,
    /// The connected sessions.
    pub(crate) registry: Arc<Registry>,
    /// Handles.
    pub(crate) metrics: Arc<Metrics>,
    /// Conversations whose messages' expiry is to be rewritten; a full channel loses nothing, since the store
    /// remembers them too.
    pub(crate) reexpire: mpsc::Sender<ConversationId>,
    /// Where the store's failure is told.
    pub(crate) failed: watch::Sender<Option<String>>,
    /// For encoding.
    pub(crate) scratch: BytesMut,
}

impl Observer for Fanout {
    fn committed(&mut self, group: GroupStats, events: Vec<Event>) {
        self.metrics.group_commands.record(group.commands as f64);
        self.metrics.apply_seconds.record(group.apply.as_secs_f64());
        self.metrics.commit_seconds.record(group.commit.as_secs_f64());
        for event in events {
            self.tell(event);
        }
    }

    fn failed(&mut self, error: &EngineError) {
        tracing::error!(%error, "the store failed: nothing more will be committed");
        self.failed.send_replace(Some(error.to_string()));
    }
}

impl Fanout {
    fn tell(&mut self, event: Event) {
        match event {
            Event::Appended { conversation, seq, entry, sender } => {
                if matches!(entry.body, Body::Message(_)) {
                    self.metrics.published.increment(1);
                }
                if let Some(topic) = self.topics.find(conversation) {
                    topic.append(seq, self.encode(conversation, seq, &entry, &sender));
                }
            }
            Event::Erased { conversation, seq } => {
                if let Some(topic) = self.topics.find(conversation) {
                    topic.erase(seq);
                }
            }
            Event::Receipt { conversation, person, kind, seq, time } => {
                self.metrics.acknowledged.increment(1);
                let topic = self.topics.find(conversation);
                if let Some(topic) = topic.filter(|topic| topic.wants_receipts_of(person.user)) {
                    wire::receipt(conversation, &person.name, kind, seq, time, &mut self.scratch);
                    topic.receipt(person.user, kind, Bytes::copy_from_slice(&self.scratch));
                    self.scratch.clear();
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
                    tracing::warn!(%conversation, "much retention is being shortened: this one waits for the next look");
                }
            }
            Event::FirstPublish { conversation, user } => {
                if let Some(topic) = self.topics.find(conversation) {
                    topic.published(user);
                }
            }
        }
    }

    /// `None` for what mentions people beside its sender: their names are read from the engine with it.
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
            Body::Notice(notice) => matches!(notice, Notice::Added(..) | Notice::Removed(_)),
        };
        if mentions {
            return None;
        }
        let urgent = matches!(&entry.body, Body::Message(message) if message.priority == Priority::Urgent);
        wire::entry(conversation, seq, entry, sender, &[], &mut self.scratch);
        // A copy of its own: frames that shared a buffer would keep it alive after they left the tail.
        let bytes = Bytes::copy_from_slice(&self.scratch);
        self.scratch.clear();
        Some(Frame { bytes, expires: entry.expires, urgent })
    }
}
