//! The bytes of encounters, wards and source events.
//!
//! What nobody said is written too, as a flag: so a record of another length is another record. The
//! kinds of events are append only.

use super::Record;
use super::codec::{Damage, Reader, Writer};
use super::patient::{read_identifier, read_naming, write_identifier, write_naming};
use super::said::{read_latest, read_source, write_latest, write_source};
use crate::encounter::{Bed, Encounter, EncounterEvent, Known, Life, Location, Place, Ward, What};
use crate::id::{BedId, EncounterId, PatientId, TenantId, WardId};

impl Record for Encounter {
    const NAME: &'static str = "an encounter";

    fn write(&self, out: &mut Writer<'_>) {
        out.id(self.tenant.as_bytes());
        out.id(self.patient.as_bytes());
        write_identifier(&self.number, out);
        write_latest(&self.life, out, |out, life| out.u8(life_byte(*life)));
        out.u8(self.has_moved.into());
        write_latest(&self.place, out, |out, place| out.optional(place.as_ref(), write_place));
        write_latest(&self.away, out, |out, away| out.u8((*away).into()));
        out.time(self.first_heard);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self {
            tenant: TenantId::new(from.array()?),
            patient: PatientId::new(from.array()?),
            number: read_identifier(from)?,
            life: read_latest(from, |from| life(from.u8()?))?,
            has_moved: from.flag()?,
            place: read_latest(from, |from| from.optional(read_place))?,
            away: read_latest(from, Reader::flag)?,
            first_heard: from.time()?,
        })
    }
}

impl Record for Ward {
    const NAME: &'static str = "a ward";

    fn write(&self, out: &mut Writer<'_>) {
        out.id(self.tenant.as_bytes());
        write_latest(&self.name, out, Writer::text);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self { tenant: TenantId::new(from.array()?), name: read_latest(from, Reader::text)? })
    }
}

impl Record for Known {
    const NAME: &'static str = "a source event that was heard";

    fn write(&self, out: &mut Writer<'_>) {
        out.time(self.heard);
        out.optional(self.patient, |out, patient| out.id(patient.as_bytes()));
        out.optional(self.encounter, |out, encounter| out.id(encounter.as_bytes()));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self {
            heard: from.time()?,
            patient: from.optional(|from| from.array().map(PatientId::new))?,
            encounter: from.optional(|from| from.array().map(EncounterId::new))?,
        })
    }
}

pub(super) fn write_event(event: &EncounterEvent, out: &mut Writer<'_>) {
    write_source(event.source, out);
    out.id(event.encounter.as_bytes());
    write_identifier(&event.number, out);
    out.u8(what_byte(event.what));
    out.optional(event.place.as_ref(), |out, location| {
        write_place(out, &location.place);
        out.text(&location.ward_name);
    });
    write_naming(&event.patient, out);
}

pub(super) fn read_event(from: &mut Reader<'_>) -> Result<EncounterEvent, Damage> {
    Ok(EncounterEvent {
        source: read_source(from)?,
        encounter: EncounterId::new(from.array()?),
        number: read_identifier(from)?,
        what: what(from.u8()?)?,
        place: from.optional(|from| Ok(Location { place: read_place(from)?, ward_name: from.text()? }))?,
        patient: read_naming(from)?,
    })
}

fn write_place(out: &mut Writer<'_>, place: &Place) {
    out.id(place.ward.as_bytes());
    out.optional(place.bed.as_ref(), |out, bed| {
        out.id(bed.id.as_bytes());
        out.text(&bed.name);
    });
}

fn read_place(from: &mut Reader<'_>) -> Result<Place, Damage> {
    let ward = WardId::new(from.array()?);
    let bed = from.optional(|from| Ok(Bed { id: BedId::new(from.array()?), name: from.text()? }))?;
    Ok(Place { ward, bed })
}

fn life_byte(life: Life) -> u8 {
    match life {
        Life::Planned => 1,
        Life::InProgress => 2,
        Life::Finished => 3,
        Life::Cancelled => 4,
    }
}

fn life(byte: u8) -> Result<Life, Damage> {
    match byte {
        1 => Ok(Life::Planned),
        2 => Ok(Life::InProgress),
        3 => Ok(Life::Finished),
        4 => Ok(Life::Cancelled),
        _ => Err(Damage("the life of an encounter is unknown")),
    }
}

/// Append only.
fn what_byte(what: What) -> u8 {
    match what {
        What::Plan => 1,
        What::Admit => 2,
        What::Update => 3,
        What::Transfer => 4,
        What::Leave => 5,
        What::Return => 6,
        What::Discharge => 7,
        What::CancelAdmit => 8,
        What::CancelTransfer => 9,
        What::CancelLeave => 10,
        What::CancelReturn => 11,
        What::CancelDischarge => 12,
    }
}

fn what(byte: u8) -> Result<What, Damage> {
    let known = What::ALL.into_iter().find(|what| what_byte(*what) == byte);
    known.ok_or(Damage("the kind of source event is unknown"))
}
