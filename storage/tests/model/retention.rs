//! What the operator says, put beside what people may choose.

use std::time::Duration;

use wardline_storage::id::TenantId;
use wardline_storage::model::{Kind, Policy};
use wardline_storage::retention::{Keeping, Retentions};

/// What the operator says of a kind of conversation of a tenant.
pub(crate) fn keeping(
    policy: Policy,
    retentions: Option<&Retentions>,
    tenant: TenantId,
    kind: Kind,
) -> Keeping {
    let ceiling = policy.retention_max;
    let mut said =
        Keeping { min: Duration::ZERO, default: ceiling, max: ceiling, message_min: Duration::ZERO };
    if let Some(retentions) = retentions {
        let named = retentions.tenants.iter().find(|(id, _)| *id == tenant);
        let by_kind = named.map_or(retentions.everybody, |(_, by_kind)| *by_kind);
        said = match kind {
            Kind::Direct => by_kind.direct,
            Kind::Group => by_kind.group,
            Kind::Broadcast => by_kind.broadcast,
        };
    }
    if kind == Kind::Direct && said.min < said.default {
        said.min = said.default;
    }
    let max = said.max.min(ceiling);
    let [min, default, message_min] = [said.min, said.default, said.message_min].map(|time| time.min(max));
    Keeping { min, default, max, message_min }
}
