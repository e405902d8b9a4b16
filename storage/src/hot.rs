//! Records that nearly every command reads, decoded; and how high client message ids have come.
//!
//! What a group changed of them ([`Hot`]), and what the committer keeps of them from group to group
//! ([`Recent`](crate::recent::Recent)). Conversations, memberships, watermarks and what the
//! operator set do not expire and are never deleted, so that what is here needs no clock and no
//! tombstone.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Mutation, Table};
use crate::id::{ById, ConversationId, Timestamp, UserId};
use crate::key;
use crate::model::{Conversation, Cursor, Member, Policy};
use crate::record::Record;
use crate::retention::Retentions;

/// Decoded records by their ids.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    pub(crate) conversations: ById<ConversationId, Conversation>,
    pub(crate) members: ById<(ConversationId, UserId), Member>,
    pub(crate) cursors: ById<(ConversationId, UserId), Cursor>,
    pub(crate) policy: Option<Policy>,
    pub(crate) retentions: Option<Arc<Retentions>>,
    pub(crate) ceilings: Ceilings,
}

impl Hot {
    /// All records, to be written.
    pub(crate) fn mutations(&self) -> impl Iterator<Item = Mutation> {
        [Table::Conversation, Table::Member, Table::Cursor, Table::Meta]
            .into_iter()
            .flat_map(|table| self.mutations_of(table))
    }

    /// The records of one table, to be written. None, if it is not kept here.
    pub(crate) fn mutations_of(&self, table: Table) -> impl Iterator<Item = Mutation> {
        fn of<'a, K, R: Record, const N: usize>(
            table: Table,
            kept: Option<&'a ById<K, R>>,
            key: fn(&K) -> [u8; N],
        ) -> impl Iterator<Item = Mutation> + 'a {
            kept.into_iter().flatten().map(move |(id, record)| Mutation::Put {
                table,
                key: Bytes::copy_from_slice(&key(id)),
                value: record.encode(),
                expires: Timestamp::NEVER,
            })
        }
        let conversations = (table == Table::Conversation).then_some(&self.conversations);
        let members = (table == Table::Member).then_some(&self.members);
        let cursors = (table == Table::Cursor).then_some(&self.cursors);
        let meta = |key: &'static [u8], value: Option<Bytes>| {
            let key = Bytes::from_static(key);
            value.map(|value| Mutation::Put { table, key, value, expires: Timestamp::NEVER })
        };
        let policy = self.policy.filter(|_| table == Table::Meta);
        let retentions = self.retentions.as_ref().filter(|_| table == Table::Meta);
        let policy = meta(key::POLICY, policy.map(|policy| policy.encode()));
        let retentions = meta(key::RETENTIONS, retentions.map(|retentions| retentions.encode()));
        of(table, conversations, |id| key::conversation(*id))
            .chain(of(table, members, |(id, user)| key::member(*id, *user)))
            .chain(of(table, cursors, |(id, user)| key::cursor(*id, *user)))
            .chain(policy)
            .chain(retentions)
    }

    /// A record by its key, encoded.
    pub(crate) fn encoded(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        let pair = || {
            let (id, user) = key.split_at_checked(ConversationId::BYTES)?;
            Some((ConversationId::from_slice(id)?, UserId::from_slice(user)?))
        };
        match table {
            Table::Conversation => {
                self.conversations.get(&ConversationId::from_slice(key)?).map(Record::encode)
            }
            Table::Member => self.members.get(&pair()?).map(Record::encode),
            Table::Cursor => self.cursors.get(&pair()?).map(Record::encode),
            Table::Meta if key == key::POLICY => self.policy.as_ref().map(Record::encode),
            Table::Meta if key == key::RETENTIONS => self.retentions.as_ref().map(|kept| kept.encode()),
            _ => None,
        }
    }
}

/// The highest client message id of each sender in each conversation: an id above it was never
/// seen, which is known without looking for it. Ids of clients that let them ascend, as the SDK
/// does, are all above.
#[derive(Debug, Default)]
pub(crate) struct Ceilings {
    by_sender: ById<[u8; key::PAIR_BYTES], [u8; 16]>,
}

impl Ceilings {
    /// Whether this key of the `dedupe` table is above the highest of its sender, or its sender has
    /// none here.
    pub(crate) fn is_above(&self, dedupe_key: &[u8]) -> bool {
        split(dedupe_key)
            .is_some_and(|(sender, id)| self.by_sender.get(sender).is_none_or(|highest| id > highest))
    }

    /// Takes note of a key.
    pub(crate) fn raise(&mut self, dedupe_key: &[u8]) {
        let Some((sender, id)) = split(dedupe_key) else { return };
        let highest = self.by_sender.entry(*sender).or_insert(*id);
        *highest = (*highest).max(*id);
    }
}

impl IntoIterator for Ceilings {
    type Item = ([u8; key::PAIR_BYTES], [u8; 16]);
    type IntoIter = std::collections::hash_map::IntoIter<[u8; key::PAIR_BYTES], [u8; 16]>;

    /// The highest of each sender.
    fn into_iter(self) -> Self::IntoIter {
        self.by_sender.into_iter()
    }
}

/// Splits a key of the `dedupe` table into conversation with sender, and client message id.
pub(crate) fn split(dedupe_key: &[u8]) -> Option<(&[u8; key::PAIR_BYTES], &[u8; 16])> {
    let (sender, id) = dedupe_key.split_first_chunk()?;
    Some((sender, id.try_into().ok()?))
}
