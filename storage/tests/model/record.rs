//! What the record says, as plainly as it can be said: everything that was ever heard of an
//! encounter is kept, and sorted by its time whenever somebody wants to know how it stands.

use std::collections::{BTreeMap, BTreeSet};

use wardline_storage::command::{Command, Outcome, Rejection, Submission, Verdict};
use wardline_storage::encounter::{Encounter, EncounterEvent, Heard, Life, Place, Status, What};
use wardline_storage::id::{
    BedId, EncounterId, EventId, IdentifierId, PatientId, TenantId, Timestamp, UserId, WardId,
};
use wardline_storage::key::Stay;
use wardline_storage::model::{Person, Text};
use wardline_storage::patient::{Identifier, Merge, Naming, Patient, PatientEvent};
use wardline_storage::said::{Effect, Latest, Said, SourceEvent};
use wardline_storage::staff::{Staff, StaffEvent, StaffOf};

const DAY: u64 = 86_400_000;

/// Whose it is, and all that was said, in the order of arrival.
type Words<T> = (TenantId, Vec<(Said, T)>);

#[derive(Clone, Default)]
pub(crate) struct Register {
    pub(crate) patients: BTreeMap<PatientId, Known>,
    owners: BTreeMap<IdentifierId, PatientId>,
    pub(crate) encounters: BTreeMap<EncounterId, Stood>,
    pub(crate) wards: BTreeMap<WardId, Words<Text>>,
    pub(crate) staff: BTreeMap<StaffOf, Words<Vec<Person>>>,
    heard: BTreeMap<EventId, (Option<PatientId>, Option<EncounterId>, Timestamp)>,
}

/// Somebody, by whichever id.
#[derive(Clone)]
pub(crate) struct Known {
    tenant: TenantId,
    identifiers: Vec<(IdentifierId, Identifier)>,
    labels: Vec<(Said, Text)>,
    merged_into: Option<PatientId>,
}

/// All that was heard of an encounter, in the order of arrival.
#[derive(Clone)]
pub(crate) struct Stood {
    tenant: TenantId,
    patient: PatientId,
    number: Identifier,
    first_heard: Timestamp,
    words: Vec<(Said, What, Option<Place>)>,
}

/// The last by its time; of the same time, the last that came.
fn last<T: Clone>(words: impl Iterator<Item = (Said, T)>, nothing: T) -> Latest<T> {
    let mut words: Vec<_> = words.collect();
    words.sort_by_key(|(said, _)| said.time);
    let said = words.last().map(|(said, _)| *said);
    Latest { value: words.pop().map_or(nothing, |(_, value)| value), said }
}

impl Stood {
    fn lives(&self) -> impl Iterator<Item = (Said, Life)> {
        self.words.iter().filter_map(|(said, what, _)| Some((*said, what.life()?)))
    }

    fn leaves(&self) -> impl Iterator<Item = (Said, bool)> {
        self.words.iter().filter_map(|(said, what, _)| Some((*said, what.away()?)))
    }

    fn places(&self) -> impl Iterator<Item = (Said, Option<Place>)> {
        self.words.iter().filter_map(|(said, _, place)| Some((*said, Some(place.clone()?))))
    }

    pub(crate) fn stands(&self) -> Encounter {
        let moves = |what: &What| {
            matches!(
                what,
                What::Transfer
                    | What::CancelTransfer
                    | What::Leave
                    | What::Return
                    | What::CancelLeave
                    | What::CancelReturn
            )
        };
        Encounter {
            tenant: self.tenant,
            patient: self.patient,
            number: self.number.clone(),
            life: last(self.lives(), Life::Planned),
            has_moved: self.words.iter().any(|(_, what, _)| moves(what)),
            place: last(self.places(), None),
            away: last(self.leaves(), false),
            first_heard: self.first_heard,
        }
    }

    pub(crate) fn status(&self) -> Status {
        let now = self.stands();
        let life = now.life.said.map(|said| said.time);
        let left = now.away.value && now.away.said.map(|said| said.time) >= life;
        match (life, now.life.value) {
            (Some(_), Life::Planned) => Status::Planned,
            (_, Life::Finished) => Status::Finished,
            (_, Life::Cancelled) => Status::Cancelled,
            (None, _) if !now.has_moved => Status::Planned,
            _ if left => Status::OnLeave,
            _ => Status::InProgress,
        }
    }

    fn place(&self) -> Option<Place> {
        self.stands().place.value
    }

    pub(crate) fn is_present(&self) -> bool {
        matches!(self.status(), Status::InProgress | Status::OnLeave)
    }

    fn present_at(&self) -> Option<Place> {
        self.place().filter(|_| self.is_present())
    }

    /// On which ward they are in care.
    pub(crate) fn ward(&self) -> Option<WardId> {
        self.present_at().map(|place| place.ward)
    }
}

/// Where an event leads.
struct Whom {
    id: PatientId,
    found_as: PatientId,
    is_new: bool,
    is_disputed: bool,
    fresh: Vec<(IdentifierId, Identifier)>,
}

impl Register {
    /// Does what a registrar's submission asks; `None`: it is none.
    pub(crate) fn apply(&mut self, now: Timestamp, submission: &Submission) -> Option<Verdict> {
        let source = match &submission.command {
            Command::Encounter(event) => event.source,
            Command::Patient(event) => event.source,
            Command::Merge(merge) => merge.source,
            Command::Staff(event) => event.source,
            _ => return None,
        };
        let actor = &submission.actor;
        if !actor.rights.registrar {
            return Some(Err(Rejection::NotRegistrar));
        }
        if let Some((patient, encounter, until)) = self.heard.get(&source.id)
            && now < *until
        {
            let (effect, encounter) = (Effect::Repeated, *encounter);
            let patient = patient.map(|patient| self.whoever(patient));
            return Some(Ok(Outcome::Heard(Heard { encounter, ..of(effect, patient) })));
        }
        let verdict = match &submission.command {
            Command::Encounter(event) => self.encounter(now, actor.tenant, actor.user, event),
            Command::Patient(event) => self.patient(now, actor.tenant, actor.user, event),
            Command::Merge(merge) => self.merge(now, actor.tenant, actor.user, merge),
            Command::Staff(event) => self.set_staff(now, actor.tenant, actor.user, event),
            _ => return None,
        };
        Some(verdict.map(|mut heard| {
            self.heard.insert(source.id, (heard.patient, heard.encounter, Timestamp(now.0 + 30 * DAY)));
            heard.ahead = source.time > now;
            Outcome::Heard(heard)
        }))
    }

    /// Who somebody is, however often merged.
    pub(crate) fn whoever(&self, mut id: PatientId) -> PatientId {
        while let Some(next) = self.patients[&id].merged_into {
            id = next;
        }
        id
    }

    pub(crate) fn owner(&self, identifier: IdentifierId) -> Option<PatientId> {
        self.owners.get(&identifier).map(|patient| self.whoever(*patient))
    }

    /// Everybody of whom nothing is left but an id that leads to somebody.
    fn absorbed(&self, survivor: PatientId) -> BTreeSet<PatientId> {
        let others = self.patients.keys().filter(|id| **id != survivor);
        others.filter(|id| self.whoever(**id) == survivor).copied().collect()
    }

    /// The record of somebody, with whom they absorbed in no order.
    pub(crate) fn record(&self, id: PatientId) -> (Patient, BTreeSet<PatientId>) {
        let known = &self.patients[&id];
        let patient = Patient {
            tenant: known.tenant,
            identifiers: known.identifiers.clone(),
            label: last(known.labels.iter().cloned(), Text::new("")),
            merged_into: None,
            absorbed: Vec::new(),
        };
        (patient, self.absorbed(id))
    }

    pub(crate) fn tenant(&self, id: PatientId) -> TenantId {
        self.patients[&id].tenant
    }

    /// The encounters that belong somewhere.
    pub(crate) fn stays(&self, stay: Stay) -> Vec<EncounterId> {
        let belongs = |stood: &Stood| match stay {
            Stay::Of(patient) => stood.patient == patient,
            Stay::On(ward) => stood.present_at().is_some_and(|place| place.ward == ward),
            Stay::In(bed) => bed_of(stood) == Some(bed),
        };
        self.encounters.iter().filter(|(_, stood)| belongs(stood)).map(|(id, _)| *id).collect()
    }

    /// Who is in a roster or a care team.
    pub(crate) fn staff(&self, of: StaffOf) -> Vec<Person> {
        let said = self.staff.get(&of).map(|(_, said)| said.clone()).unwrap_or_default();
        last(said.into_iter(), Vec::new()).value
    }

    fn set_staff(
        &mut self,
        now: Timestamp,
        tenant: TenantId,
        by: UserId,
        event: &StaffEvent,
    ) -> Result<Heard, Rejection> {
        let max = Staff::PEOPLE_MAX;
        if event.people.len() > max {
            return Err(Rejection::StaffMax { max });
        }
        let before = self.staff(event.of);
        let (whose, said_before) = self.staff.get(&event.of).cloned().unwrap_or((tenant, Vec::new()));
        if whose != tenant {
            return Err(Rejection::NotFound);
        }
        let said = said(now, by, event.source);
        let by_id: BTreeMap<UserId, Person> =
            event.people.iter().rev().map(|it| (it.user, it.clone())).collect();
        let people: Vec<Person> = by_id.into_values().collect();
        let effect = match last(said_before.iter().cloned(), Vec::new()).said {
            Some(before) if before.time > said.time => Effect::Late,
            _ if before == people => Effect::Unchanged,
            _ => Effect::Changed,
        };
        let made = said_before.is_empty();
        self.staff.entry(event.of).or_insert((tenant, Vec::new())).1.push((said, people));
        let encounter = match event.of {
            StaffOf::Encounter(encounter) => Some(encounter),
            StaffOf::Ward(_) => None,
        };
        Ok(Heard { made, encounter, ..of(effect, None) })
    }

    fn whom(&self, tenant: TenantId, naming: &Naming) -> Result<Whom, Rejection> {
        if naming.identifiers.is_empty() {
            return Err(Rejection::NoIdentifier);
        }
        let found = naming.identifiers.iter().filter_map(|(id, _)| self.owners.get(id).copied());
        let found: Vec<PatientId> = found.collect();
        let mut fresh: Vec<(IdentifierId, Identifier)> = Vec::new();
        for (id, identifier) in &naming.identifiers {
            if !self.owners.contains_key(id) && fresh.iter().all(|(other, _)| other != id) {
                fresh.push((*id, identifier.clone()));
            }
        }
        let first = PatientId::new(*naming.identifiers[0].0.as_bytes());
        let found_as = found.first().copied().unwrap_or(first);
        let is_new = found.is_empty();
        let id = if is_new { first } else { self.whoever(found_as) };
        if !is_new && self.patients[&id].tenant != tenant {
            return Err(Rejection::NotFound);
        }
        let is_disputed = found.iter().any(|other| self.whoever(*other) != id);
        Ok(Whom { id, found_as, is_new, is_disputed, fresh })
    }

    /// Takes in what an event says of a patient.
    fn learn(&mut self, tenant: TenantId, whom: &Whom, naming: &Naming, said: Said) -> Option<Effect> {
        let known = self.patients.entry(whom.id).or_insert_with(|| Known {
            tenant,
            identifiers: Vec::new(),
            labels: Vec::new(),
            merged_into: None,
        });
        let before = last(known.labels.iter().cloned(), Text::new(""));
        let mut effect = naming.label.as_ref().map(|label| match before.said {
            Some(before) if before.time > said.time => Effect::Late,
            _ if before.value == *label => Effect::Unchanged,
            _ => Effect::Changed,
        });
        known.labels.extend(naming.label.iter().map(|label| (said, label.clone())));
        known.identifiers.extend(whom.fresh.iter().cloned());
        for (id, _) in &whom.fresh {
            self.owners.insert(*id, whom.id);
        }
        if whom.is_new || !whom.fresh.is_empty() {
            effect = Some(Effect::Changed);
        }
        effect
    }

    fn patient(
        &mut self,
        now: Timestamp,
        tenant: TenantId,
        by: UserId,
        event: &PatientEvent,
    ) -> Result<Heard, Rejection> {
        let whom = self.whom(tenant, &event.patient)?;
        let effect = self.learn(tenant, &whom, &event.patient, said(now, by, event.source));
        let effect = effect.unwrap_or(Effect::Unchanged);
        Ok(Heard { made: whom.is_new, disputed: whom.is_disputed, ..plain(effect, whom.id) })
    }

    fn merge(
        &mut self,
        now: Timestamp,
        tenant: TenantId,
        by: UserId,
        merge: &Merge,
    ) -> Result<Heard, Rejection> {
        let ids = |naming: &Naming| naming.identifiers.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>();
        if !ids(&merge.survivor).is_disjoint(&ids(&merge.retired)) {
            return Err(Rejection::MergeCircle);
        }
        let survivor = self.whom(tenant, &merge.survivor)?;
        let retired = self.whom(tenant, &merge.retired)?;
        let one = survivor.id == retired.id;
        if one && survivor.found_as != survivor.id && retired.found_as == retired.id {
            return Err(Rejection::MergeCircle);
        }
        let said = said(now, by, merge.source);
        let mut effect = self.learn(tenant, &survivor, &merge.survivor, said).unwrap_or(Effect::Unchanged);
        if one || retired.is_new {
            if !retired.fresh.is_empty() {
                effect = Effect::Changed;
            }
            let whom = Whom { id: survivor.id, ..retired };
            let nothing = Naming { label: None, ..merge.retired.clone() };
            self.learn(tenant, &whom, &nothing, said);
            let disputed = survivor.is_disputed || whom.is_disputed;
            return Ok(Heard { made: survivor.is_new, disputed, ..plain(effect, survivor.id) });
        }
        let nothing = Naming { label: None, ..merge.retired.clone() };
        self.learn(tenant, &retired, &nothing, said);
        let theirs = self.patients[&retired.id].labels.clone();
        self.patients.get_mut(&retired.id).expect("it is known").merged_into = Some(survivor.id);
        let mine = &mut self.patients.get_mut(&survivor.id).expect("it is known").labels;
        if mine.is_empty() {
            // The last word of theirs is taken over, and those before it are not.
            let last = last(theirs.into_iter(), Text::new(""));
            mine.extend(last.said.map(|said| (said, last.value)));
        }
        let disputed = survivor.is_disputed || retired.is_disputed;
        Ok(Heard { made: survivor.is_new, disputed, ..plain(Effect::Changed, survivor.id) })
    }

    fn encounter(
        &mut self,
        now: Timestamp,
        tenant: TenantId,
        by: UserId,
        event: &EncounterEvent,
    ) -> Result<Heard, Rejection> {
        let place = event.place.as_ref().map(|location| location.place.clone());
        if matches!(event.what, What::Transfer | What::CancelTransfer) && place.is_none() {
            return Err(Rejection::NoPlace);
        }
        let whom = self.whom(tenant, &event.patient)?;
        if let Some(stood) = self.encounters.get(&event.encounter) {
            if stood.tenant != tenant {
                return Err(Rejection::NotFound);
            }
            if self.whoever(stood.patient) != whom.id {
                return Err(Rejection::OtherPatient);
            }
        }
        let said = said(now, by, event.source);
        let of_patient = self.learn(tenant, &whom, &event.patient, said);
        let made = !self.encounters.contains_key(&event.encounter);
        let stood = self.encounters.entry(event.encounter).or_insert_with(|| Stood {
            tenant,
            patient: whom.id,
            number: event.number.clone(),
            first_heard: now,
            words: Vec::new(),
        });
        let before = (stood.status(), stood.place());
        let late = |before: Option<Said>| before.is_some_and(|before| before.time > said.time);
        let known = stood.stands();
        let says = [
            event.what.life().map(|_| late(known.life.said)),
            event.what.away().map(|_| late(known.away.said)),
            place.as_ref().map(|_| late(known.place.said)),
        ];
        let says: Vec<bool> = says.into_iter().flatten().collect();
        stood.words.push((said, event.what, place.clone()));
        let changed = before != (stood.status(), stood.place());
        let heard = match says.is_empty() {
            true => None,
            false if says.iter().all(|late| *late) => Some(Effect::Late),
            false => Some(Effect::Unchanged),
        };
        let heard = if changed { Some(Effect::Changed) } else { heard };
        let effect = match (made, of_patient) {
            (true, _) | (_, Some(Effect::Changed)) => Effect::Changed,
            _ => heard.or(of_patient).unwrap_or(Effect::Unchanged),
        };
        if let Some(location) = &event.place {
            let ward = self.wards.entry(location.place.ward).or_insert_with(|| (tenant, Vec::new()));
            ward.1.push((said, location.ward_name.clone()));
        }
        let bed = bed_of(&self.encounters[&event.encounter]);
        let others = bed.map(|bed| self.stays(Stay::In(bed))).unwrap_or_default();
        Ok(Heard {
            encounter: Some(event.encounter),
            made,
            disputed: whom.is_disputed,
            bed: others.into_iter().find(|other| *other != event.encounter),
            ..plain(effect, whom.id)
        })
    }
}

fn said(now: Timestamp, by: UserId, source: SourceEvent) -> Said {
    let time = if source.time > now { now } else { source.time };
    Said { time, event: source.id, by }
}

fn plain(effect: Effect, patient: PatientId) -> Heard {
    of(effect, Some(patient))
}

fn of(effect: Effect, patient: Option<PatientId>) -> Heard {
    Heard { effect, patient, encounter: None, made: false, ahead: false, disputed: false, bed: None }
}

fn bed_of(stood: &Stood) -> Option<BedId> {
    Some(stood.present_at()?.bed?.id)
}

pub(crate) fn ward_name(said: &[(Said, Text)]) -> Latest<Text> {
    last(said.iter().cloned(), Text::new(""))
}
