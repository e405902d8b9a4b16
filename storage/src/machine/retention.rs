//! How long messages are kept, and the rewriting of their expiry after that was shortened.
//!
//! A shortening holds at once for every read, since it stands in the conversation's record and
//! [`Conversation::expiry`](crate::model::Conversation::expiry) honours it. [`Step::reexpire`] then
//! writes it into the messages, a bounded number per command, so that the engine can reclaim them;
//! when it has come through, the shortening is dropped from the record. A lengthening touches
//! neither, so it brings nothing back. Notices are left out of it: who finds messages gone finds
//! who shortened what, and when.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::command::{Event, Outcome, Rejection};
use crate::engine::{Direction, EngineError, Table};
use crate::id::{ConversationId, Seq};
use crate::key;
use crate::model::{Body, Conversation, Entry, Kind, Notice, Priority, Shortening};
use crate::record::Record;
use crate::retention::Keeping;
use crate::scan;

use super::{Step, Stepped};

/// Most entries that one [`Step::reexpire`] looks at. Part of the machine's version: another number
/// gives another state.
const REEXPIRE_MAX: usize = 256;

impl Step<'_> {
    pub(super) fn set_retention(&mut self, id: ConversationId, retention: Option<Duration>) -> Stepped {
        let mut scene = self.enter(id)?;
        if scene.conversation.kind != Kind::Direct && !self.is_admin(&scene) {
            return Err(Rejection::Forbidden.into());
        }
        if scene.conversation.retention == retention {
            return Ok(Outcome::Changed(None));
        }
        check_floor(retention, &scene.keeping)?;
        let before = scene.keeping.kept(scene.conversation.retention);
        let kept = scene.keeping.kept(retention);
        scene.conversation.retention = retention;
        if kept < before && scene.conversation.head > Seq::ZERO {
            shorten(&mut scene.conversation, kept)?;
            self.put(Table::Meta, &key::reexpire(id), &Seq(1));
            self.tell(Event::RetentionShortened { conversation: id });
        }
        Ok(self.notify(&mut scene, Notice::Retention(kept)))
    }

    pub(super) fn reexpire(&mut self, id: ConversationId) -> Stepped {
        let mark = key::reexpire(id);
        let Some(from) = self.record::<Seq>(Table::Meta, &mark)? else {
            return Ok(Outcome::Reexpired { more: false });
        };
        let Some(mut conversation) = self.state.conversation(id)? else {
            self.delete(Table::Meta, &mark);
            return Ok(Outcome::Reexpired { more: false });
        };
        let through = conversation.shortenings.last().map_or(Seq::ZERO, |last| last.through);
        let next = self.rewrite(id, &conversation, from, through)?;
        match next {
            Some(next) => self.put(Table::Meta, &mark, &next),
            None => {
                self.delete(Table::Meta, &mark);
                conversation.shortenings.clear();
                self.put_conversation(id, conversation);
            }
        }
        Ok(Outcome::Reexpired { more: next.is_some() })
    }

    /// Writes the true expiry into a bounded number of entries; gives where to go on, if there is
    /// more.
    fn rewrite(
        &mut self,
        id: ConversationId,
        conversation: &Conversation,
        from: Seq,
        through: Seq,
    ) -> Result<Option<Seq>, EngineError> {
        if from > through {
            return Ok(None);
        }
        let (state, now) = (self.state, self.now);
        let span = key::messages(id, from, through);
        let (mut looked_at, mut next) = (0, None);
        scan::each(state, Table::Message, &span, Direction::Forward, now, |key, value| {
            let seq = key::message_seq(key)?;
            if looked_at == REEXPIRE_MAX {
                next = Some(seq);
                return Ok(ControlFlow::Break(()));
            }
            looked_at += 1;
            let mut entry = Entry::decode(value)?;
            let expires = conversation.expiry(seq, entry.time, entry.expires, entry.is_notice());
            let is_urgent = matches!(&entry.body, Body::Message(it) if it.priority == Priority::Urgent);
            if expires <= now {
                self.delete(Table::Message, key);
                if is_urgent {
                    self.delete(Table::Urgent, key);
                }
            } else if expires < entry.expires {
                entry.expires = expires;
                self.put_until(Table::Message, key, &entry, expires);
                if is_urgent {
                    self.put_until(Table::Urgent, key, &entry.time, expires);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next)
    }
}

/// What people choose lies above the operator's floor. What lies above the ceiling counts as that.
pub(super) fn check_floor(retention: Option<Duration>, keeping: &Keeping) -> Result<(), Rejection> {
    let min = keeping.min;
    if retention.is_some_and(|retention| retention < min) {
        return Err(Rejection::RetentionMin { min });
    }
    Ok(())
}

/// Notes a shortening of everything up to the head. Earlier ones that kept things longer are
/// covered by it.
fn shorten(conversation: &mut Conversation, retention: Duration) -> Result<(), Rejection> {
    let shortenings = &mut conversation.shortenings;
    while shortenings.last().is_some_and(|last| last.retention >= retention) {
        shortenings.pop();
    }
    let through = conversation.head;
    if shortenings.last().is_some_and(|last| last.through == through) {
        return Ok(());
    }
    if shortenings.len() == Conversation::SHORTENINGS_MAX {
        return Err(Rejection::RetentionBusy);
    }
    shortenings.push(Shortening { through, retention });
    Ok(())
}
