//! Reading what the patients' record says.
//!
//! Whatever is read is of the tenant that asks, or is not there. Who in it may see what is not
//! decided here: that takes a permit.

use crate::encounter::{Encounter, Ward};
use crate::engine::{EngineError, Table};
use crate::id::{EncounterId, IdentifierId, PatientId, TenantId, WardId};
use crate::key::{self, Stay};
use crate::patient::Patient;
use crate::staff::{Staff, StaffOf};

use super::{Page, View};

impl View<'_> {
    /// An encounter of a tenant.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn encounter(&self, tenant: TenantId, id: EncounterId) -> Result<Option<Encounter>, EngineError> {
        let found: Option<Encounter> = self.record(Table::Encounter, &key::encounter(id))?;
        Ok(found.filter(|encounter| encounter.tenant == tenant))
    }

    /// A patient of a tenant, and who they are after all merges.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn patient(
        &self,
        tenant: TenantId,
        id: PatientId,
    ) -> Result<Option<(PatientId, Patient)>, EngineError> {
        let found: Option<Patient> = self.record(Table::Patient, &key::patient(id))?;
        let Some(found) = found.filter(|patient| patient.tenant == tenant) else { return Ok(None) };
        let Some(survivor) = found.merged_into else { return Ok(Some((id, found))) };
        let found = self.record(Table::Patient, &key::patient(survivor))?;
        Ok(found.map(|patient| (survivor, patient)))
    }

    /// The patient of a tenant who has an identifier, after all merges.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn identified(
        &self,
        tenant: TenantId,
        identifier: IdentifierId,
    ) -> Result<Option<(PatientId, Patient)>, EngineError> {
        match self.record(Table::Identifier, &key::identifier(identifier))? {
            Some(patient) => self.patient(tenant, patient),
            None => Ok(None),
        }
    }

    /// A ward of a tenant.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn ward(&self, tenant: TenantId, id: WardId) -> Result<Option<Ward>, EngineError> {
        let found: Option<Ward> = self.record(Table::Ward, &key::ward(id))?;
        Ok(found.filter(|ward| ward.tenant == tenant))
    }

    /// The roster of a ward, or the care team of an encounter, of a tenant.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn staff(&self, tenant: TenantId, of: StaffOf) -> Result<Option<Staff>, EngineError> {
        let found: Option<Staff> = self.record(Table::Staff, &key::staff(of))?;
        Ok(found.filter(|staff| staff.tenant == tenant))
    }

    /// Whose members wait for [`Command::Regroup`](crate::command::Command::Regroup), after
    /// `after`, at most `limit`: what a broker goes on with after a restart.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn regrouping(
        &self,
        after: Option<StaffOf>,
        limit: usize,
    ) -> Result<Page<StaffOf, StaffOf>, EngineError> {
        self.page(Table::Meta, &key::regroups(after), limit, |key, _| {
            let of = key::regroup_of(key)?;
            Ok((of, Some(of)))
        })
    }

    /// The encounters that belong to a patient, stand on a ward or hold a bed, by id, after
    /// `after`, at most `limit`. Those of whom a patient absorbed are under their ids.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub fn stays(
        &self,
        whose: Stay,
        after: Option<EncounterId>,
        limit: usize,
    ) -> Result<Page<EncounterId, EncounterId>, EngineError> {
        self.page(Table::Stay, &key::stays(whose, after), limit, |key, _| {
            let id = key::stay_encounter(key)?;
            Ok((id, Some(id)))
        })
    }
}
