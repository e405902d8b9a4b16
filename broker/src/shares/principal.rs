//! A principal: a user of a tenant, over all their devices and connections. The unit of fairness.
//!
//! Known from the token on; what comes before that is bounded for all strangers together.

use wardline_storage::command::Actor;
use wardline_storage::id::{TenantId, UserId};

use crate::limits::Limits;

/// Whose share it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
}

/// Each principal has a share of their own. If not, everybody is one, as in the broker that
/// `cargo xtask noisy --unfair` must tell from the true one.
pub(crate) const IS_FAIR: bool = cfg!(not(feature = "unfair"));

impl From<&Actor> for Principal {
    fn from(actor: &Actor) -> Self {
        Self::new(actor.tenant, actor.user)
    }
}

impl Principal {
    /// A user of a tenant.
    pub(crate) fn new(tenant: TenantId, user: UserId) -> Self {
        Self { tenant, user }
    }

    /// Who it counts as, wherever something is shared: themselves, or everybody.
    pub(super) fn sharing(self) -> Self {
        if IS_FAIR { self } else { Self::new(TenantId::new([0; 16]), UserId::new([0; 16])) }
    }
}

/// A principal's part of a bound, one in so many: at least one.
pub(crate) fn part(bound: usize, in_so_many: usize) -> usize {
    if IS_FAIR { (bound / in_so_many).max(1) } else { bound }
}

/// Bounds that hold: if shares are nobody's own, what all may have.
pub(crate) fn bounds(mut limits: Limits) -> Limits {
    if !IS_FAIR {
        limits.tenant_percent = 100;
        limits.tenant_percents.clear();
        limits.principal_sessions_max = limits.connections_max;
        limits.principal_reads_max = limits.reads_waiting_max;
        limits.principal_read_cost = u64::from(u32::MAX);
        limits.principal_pages_bytes_max = limits.pages_bytes_max;
        limits.principal_commands_max = limits.waiting_commands_max;
        limits.principal_bytes_max = limits.waiting_bytes_max;
        limits.principal_work = u64::from(u32::MAX);
        limits.principal_people_max = u64::from(u32::MAX);
        limits.principal_people_per_hour = u64::from(u32::MAX);
    }
    limits
}
