//! Who is under care: from identifiers to a patient, and two patients who are one.
//!
//! What the record says is taken from registrars alone. An event touches the records of the
//! identifiers that it names and of the patients who have them, and no more: encounters are found
//! by way of the patient whom theirs was merged into, so a merge rewrites none of them.

use crate::command::{Outcome, Rejection};
use crate::encounter::{Heard, Known};
use crate::engine::{EngineError, Table};
use crate::id::{EncounterId, IdentifierId, PatientId, Timestamp};
use crate::key;
use crate::patient::{Identifier, Merge, Naming, Patient, PatientEvent};
use crate::said::{Effect, Said, SourceEvent};

use super::{Step, Stepped, Stop};

/// For how long a source event is remembered by its id. Part of the machine's version: another time
/// gives another state.
const HEARD_FOR: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// The patient whom an event names.
pub(super) struct Named {
    /// After all merges.
    pub(super) id: PatientId,
    pub(super) patient: Patient,
    /// Not known before.
    pub(super) is_new: bool,
    /// Some identifier is that of somebody else.
    pub(super) is_disputed: bool,
    /// Known by these now, too.
    fresh: Vec<IdentifierId>,
    /// Whom the first identifier that is known led to, before merges were followed.
    found_as: PatientId,
}

impl Named {
    /// Takes in the label, if the event has one.
    pub(super) fn hear(&mut self, naming: &Naming, said: Said) -> Option<Effect> {
        let is_known_otherwise = self.is_new || !self.fresh.is_empty();
        let identifiers = is_known_otherwise.then_some(Effect::Changed);
        let label = naming.label.as_ref().map(|label| self.patient.label.hear(label.clone(), said));
        identifiers.max(label)
    }

    fn learn(&mut self, id: IdentifierId, identifier: &Identifier) -> Result<(), Rejection> {
        let max = Patient::IDENTIFIERS_MAX;
        if self.patient.identifiers.len() == max {
            return Err(Rejection::IdentifiersMax { max });
        }
        self.patient.identifiers.push((id, identifier.clone()));
        self.fresh.push(id);
        Ok(())
    }
}

impl Step<'_> {
    pub(super) fn patient_event(&mut self, event: &PatientEvent) -> Stepped {
        self.check_registrar()?;
        if let Some(known) = self.heard_before(event.source)? {
            return Ok(known);
        }
        let (said, ahead) = self.said(event.source);
        let mut named = self.named(&event.patient)?;
        let effect = named.hear(&event.patient, said).unwrap_or(Effect::Unchanged);
        self.put_named(&named);
        self.note_heard(event.source, Some(named.id), None);
        let (patient, made, disputed) = (Some(named.id), named.is_new, named.is_disputed);
        Ok(Outcome::Heard(Heard { effect, patient, encounter: None, made, ahead, disputed, bed: None }))
    }

    pub(super) fn merge(&mut self, merge: &Merge) -> Stepped {
        self.check_registrar()?;
        if let Some(known) = self.heard_before(merge.source)? {
            return Ok(known);
        }
        let is_both = |id: &IdentifierId| merge.retired.identifiers.iter().any(|(retired, _)| retired == id);
        if merge.survivor.identifiers.iter().any(|(id, _)| is_both(id)) {
            return Err(Rejection::MergeCircle.into());
        }
        let (said, ahead) = self.said(merge.source);
        let mut survivor = self.named(&merge.survivor)?;
        let retired = self.named(&merge.retired)?;
        if survivor.id == retired.id && survivor.found_as != survivor.id && retired.found_as == retired.id {
            return Err(Rejection::MergeCircle.into());
        }
        let mut effect = survivor.hear(&merge.survivor, said).unwrap_or(Effect::Unchanged);
        if survivor.id == retired.id || retired.is_new {
            for id in &retired.fresh {
                let mut all = merge.retired.identifiers.iter();
                let Some((_, identifier)) = all.find(|(retired, _)| retired == id) else { continue };
                survivor.learn(*id, identifier)?;
                effect = Effect::Changed;
            }
        } else {
            self.absorb(&mut survivor, retired.id, retired.patient.clone())?;
            self.point(&retired.fresh, retired.id);
            effect = Effect::Changed;
        }
        self.put_named(&survivor);
        self.note_heard(merge.source, Some(survivor.id), None);
        let disputed = survivor.is_disputed || retired.is_disputed;
        let (patient, made) = (Some(survivor.id), survivor.is_new);
        Ok(Outcome::Heard(Heard { effect, patient, encounter: None, made, ahead, disputed, bed: None }))
    }

    /// Makes somebody, and whoever turned out to be them, part of the survivor.
    fn absorb(&mut self, survivor: &mut Named, id: PatientId, mut retired: Patient) -> Result<(), Stop> {
        let max = Patient::ABSORBED_MAX;
        let theirs = std::mem::take(&mut retired.absorbed);
        if survivor.patient.absorbed.len() + 1 + theirs.len() > max {
            return Err(Rejection::MergesMax { max }.into());
        }
        if survivor.patient.label.said.is_none() {
            survivor.patient.label = retired.label.clone();
        }
        for absorbed in &theirs {
            let mut patient = self.patient(*absorbed)?;
            patient.merged_into = Some(survivor.id);
            self.put(Table::Patient, &key::patient(*absorbed), &patient);
        }
        retired.merged_into = Some(survivor.id);
        self.put(Table::Patient, &key::patient(id), &retired);
        survivor.patient.absorbed.push(id);
        survivor.patient.absorbed.extend(theirs);
        Ok(())
    }

    pub(super) fn check_registrar(&self) -> Result<(), Rejection> {
        if self.actor.rights.registrar { Ok(()) } else { Err(Rejection::NotRegistrar) }
    }

    /// What is answered to an event that was heard before.
    pub(super) fn heard_before(&self, source: SourceEvent) -> Result<Option<Outcome>, Stop> {
        let Some(known) = self.record::<Known>(Table::Heard, &key::heard(source.id))? else {
            return Ok(None);
        };
        Ok(Some(Outcome::Heard(Heard {
            effect: Effect::Repeated,
            patient: known.patient.map(|patient| self.survivor(patient)).transpose()?,
            encounter: known.encounter,
            made: false,
            ahead: false,
            disputed: false,
            bed: None,
        })))
    }

    pub(super) fn note_heard(
        &mut self,
        source: SourceEvent,
        patient: Option<PatientId>,
        encounter: Option<EncounterId>,
    ) {
        let known = Known { heard: self.now, patient, encounter };
        self.insert_until(Table::Heard, &key::heard(source.id), &known, self.now.after(HEARD_FOR));
    }

    /// Who said what is said now, and whether the source's clock is ahead of the log: what is to
    /// come counts as now, or nothing that follows could be said.
    pub(super) fn said(&self, source: SourceEvent) -> (Said, bool) {
        let time: Timestamp = source.time.min(self.now);
        (Said { time, event: source.id, by: self.actor.user }, source.time > self.now)
    }

    /// The patient whom an event names: that of the first identifier that is known, or a new one.
    /// Identifiers that nobody has are theirs.
    pub(super) fn named(&self, naming: &Naming) -> Result<Named, Stop> {
        let max = Naming::IDENTIFIERS_MAX;
        let Some((first, _)) = naming.identifiers.first() else { return Err(Rejection::NoIdentifier.into()) };
        if naming.identifiers.len() > max {
            return Err(Rejection::IdentifiersMax { max }.into());
        }
        let (mut known, mut unknown, mut is_disputed) = (None, Vec::new(), false);
        for (id, identifier) in &naming.identifiers {
            match self.record::<PatientId>(Table::Identifier, &key::identifier(*id))? {
                Some(found_as) => {
                    let survivor = self.survivor(found_as)?;
                    let (_, decided) = *known.get_or_insert((found_as, survivor));
                    is_disputed |= decided != survivor;
                }
                None if unknown.iter().any(|(other, _)| other == id) => {}
                None => unknown.push((*id, identifier)),
            }
        }
        let (found_as, id) = known.unwrap_or_else(|| {
            let id = PatientId::new(*first.as_bytes());
            (id, id)
        });
        let patient = if known.is_some() { self.patient(id)? } else { Patient::new(self.actor.tenant) };
        if patient.tenant != self.actor.tenant {
            return Err(Rejection::NotFound.into());
        }
        let fresh = Vec::with_capacity(unknown.len());
        let mut named = Named { id, patient, is_new: known.is_none(), is_disputed, fresh, found_as };
        for (id, identifier) in unknown {
            named.learn(id, identifier)?;
        }
        Ok(named)
    }

    /// Writes a patient whom an event named.
    pub(super) fn put_named(&mut self, named: &Named) {
        self.point(&named.fresh, named.id);
        self.put(Table::Patient, &key::patient(named.id), &named.patient);
    }

    fn point(&mut self, identifiers: &[IdentifierId], patient: PatientId) {
        for identifier in identifiers {
            self.put(Table::Identifier, &key::identifier(*identifier), &patient);
        }
    }

    /// Who somebody turned out to be, at the end of all merges: one step leads there.
    pub(super) fn survivor(&self, id: PatientId) -> Result<PatientId, EngineError> {
        Ok(self.patient(id)?.merged_into.unwrap_or(id))
    }

    fn patient(&self, id: PatientId) -> Result<Patient, EngineError> {
        let found = self.record(Table::Patient, &key::patient(id))?;
        found.ok_or_else(|| EngineError::Corrupt {
            doing: "looking up a patient",
            detail: "an identifier, an encounter or a merge names a patient who is not there".into(),
        })
    }
}
