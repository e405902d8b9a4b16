//! What part of everything a tenant may hold: the usual one, or one of its own.
//!
//! In percent, so that one number is right for all that is scarce. Less than all by default, so
//! that there is something left for others, and for those who are not known yet.

use wardline_storage::id::{ById, TenantId};

use crate::access::ids::Ids;
use crate::limits::Limits;

/// The part of each tenant.
#[derive(Debug)]
pub(crate) struct Tenants {
    percent: u32,
    named: ById<TenantId, u32>,
}

impl Tenants {
    /// The same part for each.
    #[cfg(test)]
    pub(crate) fn new(percent: u32) -> Self {
        Self { percent, named: ById::default() }
    }

    /// As the limits say, under the ids of a store.
    pub(crate) fn of(limits: &Limits, ids: &Ids) -> Self {
        let named = limits.tenant_percents.iter().map(|(name, percent)| (ids.tenant(name), *percent));
        Self { percent: limits.tenant_percent, named: named.collect() }
    }

    /// A tenant's part of a bound: at least one.
    pub(crate) fn bound(&self, tenant: TenantId, all: usize) -> usize {
        let percent = self.named.get(&tenant).copied().unwrap_or(self.percent);
        // In this order, so that nothing is lost of a small bound, and a large one does not
        // overflow.
        let bound = all as u128 * u128::from(percent) / 100;
        usize::try_from(bound).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_never_nothing_and_never_more_than_all() {
        let mut tenants = Tenants::new(90);
        let (usual, small) = (TenantId::new([1; 16]), TenantId::new([2; 16]));
        tenants.named.insert(small, 5);
        assert_eq!((tenants.bound(usual, 1_000), tenants.bound(small, 1_000)), (900, 50));
        assert_eq!((tenants.bound(usual, 1), tenants.bound(small, 0)), (1, 1));
        assert!(tenants.bound(usual, usize::MAX) < usize::MAX);
    }
}
