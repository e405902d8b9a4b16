//! What the broker tells the store of itself: its secret, once, and the bounds in force.

use std::sync::Arc;

use crate::command::Outcome;
use crate::engine::Table;
use crate::key;
use crate::model::{IdSecret, Policy};
use crate::retention::Retentions;

use super::{Change, Step, Stepped};

impl Step<'_> {
    /// The first one holds for good: every id is derived under it.
    pub(super) fn found(&mut self, secret: IdSecret) -> Stepped {
        if self.record::<IdSecret>(Table::Meta, key::ID_SECRET)?.is_none() {
            self.put(Table::Meta, key::ID_SECRET, &secret);
        }
        Ok(Outcome::Noted)
    }

    pub(super) fn set_policy(&mut self, policy: Policy) -> Stepped {
        if self.state.policy()? != Some(policy) {
            self.effects.changes.push(Change::Policy(policy));
        }
        Ok(Outcome::Noted)
    }

    pub(super) fn set_retentions(&mut self, retentions: &Arc<Retentions>) -> Stepped {
        if self.state.retentions()?.as_ref() != Some(retentions) {
            self.effects.changes.push(Change::Retentions(Arc::clone(retentions)));
        }
        Ok(Outcome::Noted)
    }
}
