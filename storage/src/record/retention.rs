//! The bytes of the bounds of retention.
//!
//! Three keepings for everybody, and three for each tenant that is named, by ascending ids: another
//! order is damage, so that the same bounds are the same bytes.

use super::Record;
use super::codec::{Damage, Reader, Writer};
use crate::id::TenantId;
use crate::retention::{ByKind, Keeping, Retentions};

impl Record for Retentions {
    const NAME: &'static str = "the retentions";

    fn write(&self, out: &mut Writer<'_>) {
        write_by_kind(&self.everybody, out);
        out.list(&self.tenants, |out, (tenant, by_kind)| {
            out.id(tenant.as_bytes());
            write_by_kind(by_kind, out);
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let everybody = read_by_kind(from)?;
        let tenants = from.list(TenantId::BYTES + BY_KIND_BYTES_MIN, |from| {
            Ok((TenantId::new(from.array()?), read_by_kind(from)?))
        })?;
        let ascending = tenants.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if ascending {
            Ok(Self { everybody, tenants })
        } else {
            Err(Damage("tenants are not in their order"))
        }
    }
}

/// Three kinds of four durations.
const BY_KIND_BYTES_MIN: usize = 12;

fn write_by_kind(by_kind: &ByKind, out: &mut Writer<'_>) {
    for keeping in [by_kind.direct, by_kind.group, by_kind.broadcast] {
        out.duration(keeping.min);
        out.duration(keeping.default);
        out.duration(keeping.max);
        out.duration(keeping.message_min);
    }
}

fn read_by_kind(from: &mut Reader<'_>) -> Result<ByKind, Damage> {
    let mut keeping = || {
        let (min, default) = (from.duration()?, from.duration()?);
        Ok(Keeping { min, default, max: from.duration()?, message_min: from.duration()? })
    };
    Ok(ByKind { direct: keeping()?, group: keeping()?, broadcast: keeping()? })
}
