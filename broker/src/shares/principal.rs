//! A principal: a user of a tenant, over all their devices and connections. The unit of fairness.
//!
//! Known from the token on; what comes before that is bounded for all strangers together.

use wardline_storage::command::Actor;
use wardline_storage::id::{TenantId, UserId};

/// Whose share it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
}

impl From<&Actor> for Principal {
    fn from(actor: &Actor) -> Self {
        Self { tenant: actor.tenant, user: actor.user }
    }
}
