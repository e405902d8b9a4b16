//! Who is connected: the sessions of each user.
//!
//! A device has one session: a newer one supersedes the older. Bounded by the number of
//! connections.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use wardline_storage::command::Actor;
use wardline_storage::id::{ConversationId, UserId};
use wardline_storage::model::Subject;

use super::bell::{Bell, Change};
use super::ending::Ending;
use crate::access::revocations::Credential;
use crate::refusal::{Code, Refusal};

/// Names a session in the text log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A connected session, as others see it.
#[derive(Clone)]
pub(crate) struct Present {
    /// Its name in the text log.
    pub(crate) id: SessionId,
    /// Whose it is, and on which device.
    pub(crate) actor: Arc<Actor>,
    /// How to tell it that there is news.
    pub(crate) bell: Arc<Bell>,
    /// How to end it.
    pub(crate) ending: Arc<Ending>,
    /// By what it was let in; a renewed token takes its place.
    pub(crate) credential: Arc<Mutex<Credential>>,
}

impl Present {
    fn is_of(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Tenant(tenant) => self.actor.tenant == *tenant,
            Subject::User(user) => self.actor.user == *user,
            Subject::Device(device) => self.actor.device == *device,
            Subject::Key(key) => self.credential.lock().key.id == *key,
            Subject::SignIn(sign_in) => self.credential.lock().sign_ins.contains(sign_in),
        }
    }
}

/// The sessions of each user.
#[derive(Default)]
pub(crate) struct Registry {
    users: Mutex<HashMap<UserId, Vec<Present>>>,
}

impl Registry {
    /// Adds a session, and ends the one that the device had before.
    pub(crate) fn join(&self, present: Present) {
        let mut users = self.users.lock();
        let sessions = users.entry(present.actor.user).or_default();
        sessions.retain(|other| {
            if other.actor.device == present.actor.device {
                let text = "another connection of this device took over";
                other.ending.end(Refusal::new(Code::Superseded, text));
            }
            other.actor.device != present.actor.device
        });
        sessions.push(present);
    }

    /// Removes a session, if it was not superseded.
    pub(crate) fn leave(&self, present: &Present) {
        let mut users = self.users.lock();
        if let Some(sessions) = users.get_mut(&present.actor.user) {
            sessions.retain(|other| !Arc::ptr_eq(&other.bell, &present.bell));
            if sessions.is_empty() {
                users.remove(&present.actor.user);
            }
        }
    }

    /// Cuts off every session of a subject, and gives how many: when this returns, none of them is
    /// sent anything more. Whoever comes while this is done is to be checked after they have
    /// joined.
    pub(crate) fn revoke(&self, subject: &Subject, why: &Refusal) -> usize {
        cut(&self.of(subject), why)
    }

    /// The same with those of which something is so.
    pub(crate) fn cut(&self, why: &Refusal, is_wanted: impl Fn(&Present) -> bool) -> usize {
        cut(&self.find(is_wanted), why)
    }

    /// Those of which something is so.
    pub(crate) fn find(&self, is_wanted: impl Fn(&Present) -> bool) -> Vec<Present> {
        let users = self.users.lock();
        users.values().flatten().filter(|present| is_wanted(present)).cloned().collect()
    }

    fn of(&self, subject: &Subject) -> Vec<Present> {
        match subject {
            Subject::User(user) => self.users.lock().get(user).cloned().unwrap_or_default(),
            _ => self.find(|present| present.is_of(subject)),
        }
    }

    /// Tells every session of a user that they joined or left a conversation.
    pub(crate) fn tell(&self, user: UserId, conversation: ConversationId, change: Change) {
        if let Some(sessions) = self.users.lock().get(&user) {
            for session in sessions {
                session.bell.change(conversation, change);
            }
        }
    }
}

fn cut(found: &[Present], why: &Refusal) -> usize {
    for present in found {
        present.ending.cut(why.clone());
    }
    found.len()
}
