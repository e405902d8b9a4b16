//! Publishing and deleting messages.
//!
//! Publishing is the hot path: it reads the conversation, the membership and the remembered
//! acknowledgement, and writes the message, the acknowledgement and the conversation. Urgent
//! messages are also written into an index, so that a device that comes back finds them without a
//! scan.

use crate::command::{Event, Outcome, Publish, Rejection};
use crate::engine::{EngineError, Table};
use crate::id::{ConversationId, Seq};
use crate::key;
use crate::model::{Acknowledgement, Body, Kind, Message, Notice, Priority};

use super::{Scene, Step, Stepped, Stop};

impl Step<'_> {
    pub(super) fn publish(&mut self, publish: &Publish) -> Stepped {
        let mut scene = match self.enter(publish.conversation) {
            Err(Stop::Rejected(rejection)) => return self.publish_of_no_member(publish, rejection),
            entered => entered?,
        };
        let dedupe = key::dedupe(scene.id, self.actor.user, publish.client_id);
        if let Some(published) = self.published_before(&dedupe)? {
            return Ok(published);
        }
        if !self.may_publish(&scene) {
            return Err(Rejection::Forbidden.into());
        }
        self.check_reply(&scene, publish.reply_to)?;
        let min = scene.keeping.message_min;
        if publish.expires_in.is_some_and(|expires_in| expires_in < min) {
            return Err(Rejection::ExpiryMin { min }.into());
        }

        let expires = match publish.expires_in {
            Some(expires_in) => self.expiry(&scene).min(self.now.after(expires_in)),
            None => self.expiry(&scene),
        };
        let message = Message {
            client_id: publish.client_id,
            content_type: publish.content_type.clone(),
            payload: publish.payload.clone(),
            priority: publish.priority,
            reply_to: publish.reply_to,
        };
        let seq = self.append(&mut scene, expires, Body::Message(message));
        if publish.priority == Priority::Urgent {
            let published = self.now;
            self.insert_until(Table::Urgent, &scene.message(seq), &published, expires);
        }
        let known = Acknowledgement { seq, time: self.now };
        // By the window alone, not by the message's own expiry: a repetition must not bring back
        // what is gone.
        let forgotten = self.now.after(scene.policy.dedupe_window);
        self.insert_until(Table::Dedupe, &dedupe, &known, forgotten);

        if !scene.member.has_published {
            scene.member.has_published = true;
            self.put_member(scene.id, self.actor.user, scene.member);
            self.tell(Event::FirstPublish { conversation: scene.id, user: self.actor.user });
        }
        Ok(Outcome::Published { seq, time: self.now })
    }

    /// What was acknowledged once is acknowledged again, whatever changed since.
    fn published_before(&self, dedupe: &[u8]) -> Result<Option<Outcome>, EngineError> {
        let known = self.record::<Acknowledgement>(Table::Dedupe, dedupe)?;
        Ok(known.map(|known| Outcome::Published { seq: known.seq, time: known.time }))
    }

    /// Somebody who was removed may repeat what was published before that, and was not heard of.
    fn publish_of_no_member(&self, publish: &Publish, rejection: Rejection) -> Stepped {
        if self.state.conversation(publish.conversation)?.is_none() {
            return Err(rejection.into());
        }
        let dedupe = key::dedupe(publish.conversation, self.actor.user, publish.client_id);
        self.published_before(&dedupe)?.ok_or(rejection.into())
    }

    fn check_reply(&self, scene: &Scene, reply_to: Option<Seq>) -> Result<(), Stop> {
        let Some(target) = reply_to else { return Ok(()) };
        if target == Seq::ZERO || target > scene.conversation.head {
            return Err(Rejection::ReplyTarget.into());
        }
        match self.visible(scene, target)? {
            Some(_) => Ok(()),
            None => Err(Rejection::NotFound.into()),
        }
    }

    pub(super) fn delete_message(&mut self, conversation: ConversationId, seq: Seq) -> Stepped {
        let mut scene = self.enter(conversation)?;
        let Some(mut entry) = self.entry(&scene, seq)? else {
            return Err(Rejection::NotFound.into());
        };
        let own = entry.sender == self.actor.user;
        let allowed = own || (scene.conversation.kind != Kind::Direct && self.is_admin(&scene));
        match &entry.body {
            Body::Message(message) if allowed => {
                if message.priority == Priority::Urgent {
                    self.delete(Table::Urgent, &scene.message(seq));
                }
            }
            Body::Tombstone { .. } if allowed => return Ok(Outcome::Changed(None)),
            _ => return Err(Rejection::Forbidden.into()),
        }
        entry.body = Body::Tombstone { by: self.actor.user, at: self.now };
        self.put_until(Table::Message, &scene.message(seq), &entry, entry.expires);
        self.tell(Event::Erased { conversation: scene.id, seq });
        let expires = self.now.after(scene.keeping.max).max(entry.expires);
        Ok(self.notify_until(&mut scene, Notice::Deleted(seq), expires))
    }
}
