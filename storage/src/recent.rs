//! What the committer read or wrote lately, decoded, so that a busy conversation costs no look-up
//! in the engine.
//!
//! A state between the overlay and the engine, for one reader that is also the only writer: what it
//! holds is what the engine holds, because what every committed batch changed is told to
//! [`Recent::committed`]. Bounded in records by two generations: when the young one is full it
//! becomes the old one, and what is not used again goes with that.

use std::cell::RefCell;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Direction, Engine, EngineError, KeyRange, Table, Visit};
use crate::hot::{self, Hot};
use crate::id::{ById, ConversationId, Timestamp, UserId};
use crate::key;
use crate::model::{Conversation, Cursor, Member, Policy};
use crate::retention::Retentions;
use crate::state::State;

/// An engine, and what was read from it or written to it lately.
pub(crate) struct Recent {
    engine: Arc<dyn Engine>,
    kept: RefCell<Kept>,
}

struct Kept {
    conversations: Generations<ConversationId, Conversation>,
    members: Generations<(ConversationId, UserId), Member>,
    cursors: Generations<(ConversationId, UserId), Cursor>,
    ceilings: Generations<[u8; key::PAIR_BYTES], Ceiling>,
    policy: Option<Policy>,
    /// The outer `None`: not read yet. There are stores without.
    retentions: Option<Option<Arc<Retentions>>>,
}

/// The highest client message id of somebody in a conversation.
#[derive(Clone, Copy)]
enum Ceiling {
    /// Looking one id up costs less than finding the highest, and most people do not publish twice
    /// soon.
    AskedOnce,
    /// No record has a higher one.
    At([u8; 16]),
}

struct Generations<K, V> {
    young: ById<K, V>,
    old: ById<K, V>,
    young_max: usize,
}

impl Recent {
    /// Over an engine, with nothing kept yet. Holds at most `records_max` records of each kind, and
    /// at least one.
    pub(crate) fn new(engine: Arc<dyn Engine>, records_max: usize) -> Self {
        let kept = Kept {
            conversations: Generations::new(records_max),
            members: Generations::new(records_max),
            cursors: Generations::new(records_max),
            ceilings: Generations::new(records_max),
            policy: None,
            retentions: None,
        };
        Self { engine, kept: RefCell::new(kept) }
    }

    /// The engine below.
    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Takes note of what was committed.
    pub(crate) fn committed(&mut self, changed: Hot) {
        let kept = self.kept.get_mut();
        changed.conversations.into_iter().for_each(|(id, record)| kept.conversations.put(id, record));
        changed.members.into_iter().for_each(|(id, record)| kept.members.put(id, record));
        changed.cursors.into_iter().for_each(|(id, record)| kept.cursors.put(id, record));
        kept.policy = changed.policy.or(kept.policy);
        if changed.retentions.is_some() {
            kept.retentions = Some(changed.retentions);
        }
        for (sender, id) in changed.ceilings {
            if let Some(Ceiling::At(highest)) = kept.ceilings.find(&sender) {
                *highest = id.max(*highest);
            }
        }
    }

    /// Whether the engine cannot have this key of the `dedupe` table, since it is above all of its
    /// sender's.
    fn is_beyond(&self, dedupe_key: &[u8]) -> Result<bool, EngineError> {
        let Some((sender, id)) = hot::split(dedupe_key) else { return Ok(false) };
        let ceilings = &mut self.kept.borrow_mut().ceilings;
        let highest = match ceilings.find(sender) {
            Some(Ceiling::At(highest)) => *highest,
            Some(Ceiling::AskedOnce) => {
                let highest = self.highest(sender)?;
                ceilings.put(*sender, Ceiling::At(highest));
                highest
            }
            None => {
                ceilings.put(*sender, Ceiling::AskedOnce);
                return Ok(false);
            }
        };
        Ok(*id > highest)
    }

    /// The highest client message id that the engine has of a sender, expired or not; zero, if
    /// none.
    fn highest(&self, sender: &[u8; key::PAIR_BYTES]) -> Result<[u8; 16], EngineError> {
        let mut highest = [0; 16];
        let span = key::dedupes(sender);
        let since_ever = Timestamp(0);
        self.engine.scan(Table::Dedupe, span.range(), Direction::Backward, since_ever, &mut |row| {
            if let Some((_, id)) = hot::split(row.key) {
                highest = *id;
            }
            ControlFlow::Break(())
        })?;
        Ok(highest)
    }
}

impl State for Recent {
    fn get(&self, table: Table, key: &[u8], now: Timestamp) -> Result<Option<Bytes>, EngineError> {
        if table == Table::Dedupe && self.is_beyond(key)? {
            return Ok(None);
        }
        self.engine.get(table, key, now)
    }

    fn scan(
        &self,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.engine.scan(table, range, direction, now, visit)
    }

    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, EngineError> {
        self.kept.borrow_mut().conversations.find_or(id, || self.engine.conversation(id))
    }

    fn member(&self, id: ConversationId, user: UserId) -> Result<Option<Member>, EngineError> {
        self.kept.borrow_mut().members.find_or((id, user), || self.engine.member(id, user))
    }

    fn cursor(&self, id: ConversationId, user: UserId) -> Result<Option<Cursor>, EngineError> {
        self.kept.borrow_mut().cursors.find_or((id, user), || self.engine.cursor(id, user))
    }

    fn policy(&self) -> Result<Option<Policy>, EngineError> {
        let policy = &mut self.kept.borrow_mut().policy;
        if policy.is_none() {
            *policy = self.engine.policy()?;
        }
        Ok(*policy)
    }

    fn retentions(&self) -> Result<Option<Arc<Retentions>>, EngineError> {
        let retentions = &mut self.kept.borrow_mut().retentions;
        if retentions.is_none() {
            *retentions = Some(self.engine.retentions()?);
        }
        Ok(retentions.clone().flatten())
    }
}

impl<K: Eq + Hash + Copy, V: Clone> Generations<K, V> {
    fn new(records_max: usize) -> Self {
        Self { young: ById::default(), old: ById::default(), young_max: records_max / 2 }
    }

    fn find(&mut self, key: &K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(key)
            && !self.young.contains_key(key)
        {
            self.put(*key, value);
        }
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    fn find_or(
        &mut self,
        key: K,
        read: impl FnOnce() -> Result<Option<V>, EngineError>,
    ) -> Result<Option<V>, EngineError> {
        if let Some(value) = self.find(&key) {
            return Ok(Some(value.clone()));
        }
        let found = read()?;
        if let Some(value) = &found {
            self.put(key, value.clone());
        }
        Ok(found)
    }

    fn put(&mut self, key: K, value: V) {
        self.young.insert(key, value);
        if self.young.len() >= self.young_max {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::{Durability, Mutation};
    use crate::memory::MemoryEngine;
    use crate::record::Record;

    const NOW: Timestamp = Timestamp(1);

    fn person(number: u8) -> (ConversationId, UserId) {
        (ConversationId::new([number / 4; 16]), UserId::new([number % 4; 16]))
    }

    /// A committed batch of one kind.
    #[derive(Clone, Debug)]
    enum Batch {
        Cursors(Vec<(u8, u64)>),
        Ids(Vec<(u8, u8, u64)>),
    }

    fn batch() -> impl Strategy<Value = Batch> {
        prop_oneof![
            prop::collection::vec((0_u8..12, 0_u64..9), 0..5).prop_map(Batch::Cursors),
            prop::collection::vec((0_u8..4, 0_u8..40, 0_u64..4), 0..5).prop_map(Batch::Ids),
        ]
    }

    fn dedupe(sender: u8, id: u8) -> [u8; key::DEDUPE_BYTES] {
        let (conversation, user) = person(sender);
        key::dedupe(conversation, user, crate::id::ClientMessageId::new([id; 16]))
    }

    fn commit(engine: &MemoryEngine, recent: &mut Recent, batch: Batch) {
        let mut hot = Hot::default();
        let mut mutations = Vec::new();
        match batch {
            Batch::Cursors(cursors) => {
                for (number, delivered) in cursors {
                    let cursor = Cursor { delivered: crate::id::Seq(delivered), ..Cursor::default() };
                    hot.cursors.insert(person(number), cursor);
                }
                mutations.extend(hot.mutations());
            }
            Batch::Ids(ids) => {
                for (sender, id, expires) in ids {
                    let key = Bytes::copy_from_slice(&dedupe(sender, id));
                    hot.ceilings.raise(&key);
                    let value = crate::id::Seq(1).encode();
                    mutations.push(Mutation::Put {
                        table: Table::Dedupe,
                        key,
                        value,
                        expires: Timestamp(expires),
                    });
                }
            }
        }
        engine.commit(&mutations, Durability::Synced).expect("memory does not fail");
        recent.committed(hot);
    }

    /// The engine is changed in secret here, to see whether it is asked.
    #[test]
    fn what_is_known_costs_no_look_up() {
        let engine = Arc::new(MemoryEngine::default());
        let mut recent = Recent::new(engine.clone(), 4);
        let told = |delivered| Batch::Cursors(vec![(1, delivered)]);
        let in_secret = |batch| commit(&engine, &mut Recent::new(engine.clone(), 4), batch);
        let delivered = |recent: &Recent| {
            let (conversation, user) = person(1);
            recent.cursor(conversation, user).expect("memory does not fail").map(|cursor| cursor.delivered.0)
        };
        commit(&engine, &mut recent, told(1));
        in_secret(told(2));
        assert_eq!(delivered(&recent), Some(1), "what was committed is known");

        let recent = Recent::new(engine.clone(), 4);
        assert_eq!(delivered(&recent), Some(2));
        in_secret(told(3));
        assert_eq!(delivered(&recent), Some(2), "what was read is known");

        let found = |id| recent.get(Table::Dedupe, &dedupe(1, id), NOW).expect("memory does not fail");
        in_secret(Batch::Ids(vec![(1, 5, 9)]));
        assert!(found(6).is_none() && found(7).is_none(), "the second question finds the highest");
        in_secret(Batch::Ids(vec![(1, 4, 9), (1, 8, 9)]));
        assert!(found(4).is_some(), "below the highest they are looked up");
        assert!(found(8).is_none(), "above it they are not");
    }

    proptest! {
        /// Whatever was committed, read, expired or reclaimed before, and however little is kept.
        #[test]
        fn holds_what_the_engine_holds(
            steps in prop::collection::vec((batch(), 0_u8..12, 0_u8..4, 0_u8..40), 1..80),
            records_max in 0_usize..20,
        ) {
            let engine = Arc::new(MemoryEngine::default());
            let mut recent = Recent::new(engine.clone(), records_max);
            for (step, (batch, number, sender, id)) in steps.into_iter().enumerate() {
                commit(&engine, &mut recent, batch);
                if step % 7 == 6 {
                    engine.reclaim(NOW).expect("memory does not fail");
                }
                let (conversation, user) = person(number);
                let expected = State::cursor(&*engine, conversation, user).expect("memory does not fail");
                prop_assert_eq!(recent.cursor(conversation, user).expect("memory does not fail"), expected);
                let key = dedupe(sender, id);
                let expected = Engine::get(&*engine, Table::Dedupe, &key, NOW).expect("memory does not fail");
                prop_assert_eq!(recent.get(Table::Dedupe, &key, NOW).expect("memory does not fail"), expected);
                let kept = recent.kept.borrow();
                prop_assert!(kept.cursors.young.len() + kept.cursors.old.len() <= records_max.max(1));
                prop_assert!(kept.ceilings.young.len() + kept.ceilings.old.len() <= records_max.max(1));
            }
        }
    }
}
