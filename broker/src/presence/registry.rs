//! Who is connected: the sessions of each user.
//!
//! A device has one session: a newer one supersedes the older. Bounded by the number of
//! connections.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use wardline_storage::id::{ConversationId, DeviceId, UserId};

use crate::presence::bell::{Bell, Change};
use crate::refusal::{Code, Refusal};
use crate::session::Ending;

/// A connected session, as others see it.
#[derive(Clone)]
pub(crate) struct Present {
    /// Its device.
    pub(crate) device: DeviceId,
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
    pub(crate) fn join(&self, user: UserId, present: Present) {
        let mut users = self.users.lock();
        let sessions = users.entry(user).or_default();
        sessions.retain(|other| {
            if other.device == present.device {
                let text = "another connection of this device took over";
                other.ending.end(Refusal::new(Code::Superseded, text));
            }
            other.device != present.device
        });
        sessions.push(present);
    }

    /// Removes a session, if it was not superseded.
    pub(crate) fn leave(&self, user: UserId, bell: &Arc<Bell>) {
        let mut users = self.users.lock();
        if let Some(sessions) = users.get_mut(&user) {
            sessions.retain(|other| !Arc::ptr_eq(&other.bell, bell));
            if sessions.is_empty() {
                users.remove(&user);
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
