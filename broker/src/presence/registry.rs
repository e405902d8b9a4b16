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

use super::bell::{Bell, Change};
use super::ending::Ending;
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

    /// Tells every session of a user that they joined or left a conversation.
    pub(crate) fn tell(&self, user: UserId, conversation: ConversationId, change: Change) {
        if let Some(sessions) = self.users.lock().get(&user) {
            for session in sessions {
                session.bell.change(conversation, change);
            }
        }
    }
}
