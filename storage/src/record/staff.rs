//! The bytes of rosters and care teams, and of how far members are brought in line with them.
//!
//! People stand in the order of their ids, each once: another order is damage.

use super::Record;
use super::codec::{Damage, Reader, Writer};
use super::people::{read_people, write_people};
use super::said::{read_latest, read_source, write_latest, write_source};
use crate::id::{EncounterId, TenantId, UserId, WardId};
use crate::key;
use crate::staff::{Regrouping, Staff, StaffEvent, StaffOf};

impl Record for Staff {
    const NAME: &'static str = "a roster or a care team";

    fn write(&self, out: &mut Writer<'_>) {
        out.id(self.tenant.as_bytes());
        write_latest(&self.people, out, |out, people| write_people(people, out));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let staff = Self { tenant: TenantId::new(from.array()?), people: read_latest(from, read_people)? };
        let ascending = staff.people.value.windows(2).all(|pair| pair[0].user < pair[1].user);
        if ascending { Ok(staff) } else { Err(Damage("people are not in their order")) }
    }
}

const LEAVING: u8 = 1;
const JOINING: u8 = 2;
const TELLING: u8 = 3;

impl Record for Regrouping {
    const NAME: &'static str = "a mark of members to be brought in line";

    fn write(&self, out: &mut Writer<'_>) {
        let (phase, after) = match self {
            Self::Leaving(after) => (LEAVING, after.as_ref().map(UserId::as_bytes)),
            Self::Joining(after) => (JOINING, after.as_ref().map(UserId::as_bytes)),
            Self::Telling(after) => (TELLING, after.as_ref().map(EncounterId::as_bytes)),
        };
        out.u8(phase);
        out.optional(after, |out, after| out.id(after));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (phase, after) = (from.u8()?, from.optional(Reader::array)?);
        Ok(match phase {
            LEAVING => Self::Leaving(after.map(UserId::new)),
            JOINING => Self::Joining(after.map(UserId::new)),
            TELLING => Self::Telling(after.map(EncounterId::new)),
            _ => return Err(Damage("the phase is unknown")),
        })
    }
}

pub(super) fn write_of(of: StaffOf, out: &mut Writer<'_>) {
    let (kind, id) = key::staff_of(&of);
    out.u8(kind);
    out.id(id);
}

pub(super) fn read_of(from: &mut Reader<'_>) -> Result<StaffOf, Damage> {
    Ok(match from.u8()? {
        key::OF_WARD => StaffOf::Ward(WardId::new(from.array()?)),
        key::OF_ENCOUNTER => StaffOf::Encounter(EncounterId::new(from.array()?)),
        _ => return Err(Damage("whose staff it is is unknown")),
    })
}

pub(super) fn write_event(event: &StaffEvent, out: &mut Writer<'_>) {
    write_source(event.source, out);
    write_of(event.of, out);
    write_people(&event.people, out);
}

pub(super) fn read_event(from: &mut Reader<'_>) -> Result<StaffEvent, Damage> {
    Ok(StaffEvent { source: read_source(from)?, of: read_of(from)?, people: read_people(from)? })
}
