//! Access: nobody comes in from whom it was taken back, until it is given back.
//!
//! Owns whose access is taken back, and since when: who asked before that may have come in.

use std::collections::HashMap;

use super::hearing::{Hearing, Law};
use crate::event::{Index, User};

/// Whose access is taken back.
#[derive(Default)]
pub(super) struct Access {
    /// Since this was heard.
    revoked: HashMap<User, Index>,
}

impl Access {
    /// `None`: nobody knows whether it is.
    pub(super) fn revoked(&mut self, hearing: &mut Hearing, user: User, is_revoked: Option<bool>) {
        hearing.tally.revocations += u64::from(is_revoked == Some(true));
        match is_revoked {
            Some(true) => _ = self.revoked.entry(user).or_insert(hearing.heard),
            Some(false) | None => _ = self.revoked.remove(&user),
        }
    }

    pub(super) fn let_in(&self, hearing: &mut Hearing, user: User, since: Index) {
        if self.revoked.get(&user).is_some_and(|revoked| *revoked <= since) {
            let text = format!("{user:?} was given a session, and their access is taken back");
            hearing.object(Law::Revoked, text);
        }
    }
}
