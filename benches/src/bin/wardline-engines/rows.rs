//! The rows that the broker writes for publishes of the typical message: for each the entry and the
//! remembered message id, for each group the conversation and how far it came.
//!
//! Their values are those that the machine makes; their keys go on from message to message.

use anyhow::{Context, Result};
use bytes::Bytes;
use wardline_benches::message::{CONVERSATION, publishes};
use wardline_storage::engine::{Mutation, Table};
use wardline_storage::id::{ConversationId, Seq, Timestamp};
use wardline_storage::key;

/// When everything is written.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000);
/// When the messages expire that are to be reclaimed, and all others.
pub(crate) const SOON: Timestamp = Timestamp(2_000_000);
pub(crate) const LATE: Timestamp = Timestamp(900_000_000);

/// Makes batches.
pub(crate) struct Rows {
    entry: Bytes,
    dedupe: (Bytes, Bytes),
    /// What is written once for a group.
    group: Vec<Mutation>,
    written: u64,
}

impl Rows {
    /// Takes the values of a publish that the machine decided; goes on after this message.
    pub(crate) fn from(written: u64) -> Result<Self> {
        let (mut entry, mut dedupe, mut group) = (None, None, Vec::new());
        for mutation in publishes(1)? {
            match &mutation {
                Mutation::Insert { table: Table::Message, value, .. } => entry = Some(value.clone()),
                Mutation::Insert { table: Table::Dedupe, key, value, .. } => {
                    dedupe = Some((key.clone(), value.clone()));
                }
                _ => group.push(mutation),
            }
        }
        let entry = entry.context("a publish makes an entry")?;
        let dedupe = dedupe.context("a publish is remembered")?;
        Ok(Self { entry, dedupe, group, written })
    }

    /// How many messages there are.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// The batch of the next so many publishes.
    pub(crate) fn batch(&mut self, size: u64, expires: Timestamp) -> Vec<Mutation> {
        let mut batch = Vec::with_capacity(2 * size as usize + self.group.len());
        for _ in 0..size {
            self.written += 1;
            let (entry, dedupe) = (self.entry.clone(), self.dedupe.1.clone());
            batch.push(Mutation::Insert {
                table: Table::Message,
                key: message(self.written),
                value: entry,
                expires,
            });
            batch.push(Mutation::Insert {
                table: Table::Dedupe,
                key: self.remembered(),
                value: dedupe,
                expires,
            });
        }
        batch.extend(self.group.iter().cloned());
        batch
    }

    /// The key of a message id that looks random, as the SDK's do within a millisecond.
    fn remembered(&self) -> Bytes {
        let mut key = self.dedupe.0.to_vec();
        let mixed = self.written.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let id = [(self.written / 100).to_be_bytes(), mixed.to_be_bytes()].concat();
        let end = key.len() - id.len();
        key[end..].copy_from_slice(&id);
        key.into()
    }
}

/// The key of the message with this number.
pub(crate) fn message(number: u64) -> Bytes {
    Bytes::copy_from_slice(&key::message(ConversationId::new(CONVERSATION), Seq(number)))
}
