//! The bytes of patients, and of what is said of them.
//!
//! An identifier is its id, and then the texts that it was derived from.

use super::Record;
use super::codec::{Damage, Reader, Writer};
use super::said::{read_latest, read_source, write_latest, write_source};
use crate::id::{IdentifierId, PatientId, TenantId};
use crate::patient::{Identifier, Merge, Naming, Patient, PatientEvent};

/// An id, and two empty texts.
const IDENTIFIED_BYTES_MIN: usize = IdentifierId::BYTES + 2;

impl Record for Patient {
    const NAME: &'static str = "a patient";

    fn write(&self, out: &mut Writer<'_>) {
        out.id(self.tenant.as_bytes());
        write_identified(&self.identifiers, out);
        write_latest(&self.label, out, Writer::text);
        out.optional(self.merged_into, |out, patient| out.id(patient.as_bytes()));
        out.list(&self.absorbed, |out, patient| out.id(patient.as_bytes()));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self {
            tenant: TenantId::new(from.array()?),
            identifiers: read_identified(from)?,
            label: read_latest(from, Reader::text)?,
            merged_into: from.optional(|from| from.array().map(PatientId::new))?,
            absorbed: from.list(PatientId::BYTES, |from| from.array().map(PatientId::new))?,
        })
    }
}

/// The value of an identifier: who has it.
impl Record for PatientId {
    const NAME: &'static str = "an identifier";

    fn write(&self, out: &mut Writer<'_>) {
        out.id(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        from.array().map(Self::new)
    }
}

pub(super) fn write_identifier(identifier: &Identifier, out: &mut Writer<'_>) {
    out.text(&identifier.authority);
    out.text(&identifier.value);
}

pub(super) fn read_identifier(from: &mut Reader<'_>) -> Result<Identifier, Damage> {
    Ok(Identifier { authority: from.text()?, value: from.text()? })
}

fn write_identified(identifiers: &[(IdentifierId, Identifier)], out: &mut Writer<'_>) {
    out.list(identifiers, |out, (id, identifier)| {
        out.id(id.as_bytes());
        write_identifier(identifier, out);
    });
}

fn read_identified(from: &mut Reader<'_>) -> Result<Vec<(IdentifierId, Identifier)>, Damage> {
    from.list(IDENTIFIED_BYTES_MIN, |from| Ok((IdentifierId::new(from.array()?), read_identifier(from)?)))
}

pub(super) fn write_naming(naming: &Naming, out: &mut Writer<'_>) {
    write_identified(&naming.identifiers, out);
    out.optional(naming.label.as_ref(), Writer::text);
}

pub(super) fn read_naming(from: &mut Reader<'_>) -> Result<Naming, Damage> {
    Ok(Naming { identifiers: read_identified(from)?, label: from.optional(Reader::text)? })
}

pub(super) fn write_event(event: &PatientEvent, out: &mut Writer<'_>) {
    write_source(event.source, out);
    write_naming(&event.patient, out);
}

pub(super) fn read_event(from: &mut Reader<'_>) -> Result<PatientEvent, Damage> {
    Ok(PatientEvent { source: read_source(from)?, patient: read_naming(from)? })
}

pub(super) fn write_merge(merge: &Merge, out: &mut Writer<'_>) {
    write_source(merge.source, out);
    write_naming(&merge.survivor, out);
    write_naming(&merge.retired, out);
}

pub(super) fn read_merge(from: &mut Reader<'_>) -> Result<Merge, Damage> {
    Ok(Merge { source: read_source(from)?, survivor: read_naming(from)?, retired: read_naming(from)? })
}
