//! Access that the operator takes back, and gives back.
//!
//! Here it is only put on record: who is let in is judged by the broker, by what stands here and by
//! when a token was issued. What reaches further is never made to reach less by a later revocation;
//! lifting it is a command of its own.

use crate::command::Outcome;
use crate::engine::Table;
use crate::id::Timestamp;
use crate::key;
use crate::model::{Revocation, Subject, Text};

use super::{Step, Stepped};

impl Step<'_> {
    pub(super) fn revoke(&mut self, subject: &Subject, name: &Text, through: Timestamp) -> Stepped {
        let at = key::revoked(subject);
        let before = self.record::<Revocation>(Table::Meta, &at)?.map(|before| before.through);
        if before.is_none_or(|before| before < through) {
            self.put(Table::Meta, &at, &Revocation { made: self.now, through, name: name.clone() });
        }
        Ok(Outcome::Revoked { through: before.unwrap_or_default().max(through) })
    }

    pub(super) fn lift(&mut self, subject: &Subject) -> Stepped {
        let at = key::revoked(subject);
        if self.record::<Revocation>(Table::Meta, &at)?.is_some() {
            self.delete(Table::Meta, &at);
        }
        Ok(Outcome::Noted)
    }
}
