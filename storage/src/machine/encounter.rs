//! What happens to encounters.
//!
//! An event of an encounter that is not known makes it: what was said of it before comes late, and
//! fills in. Nobody is refused for where they are put: the record is the authority on that, and who
//! else holds the bed is told. Invariant: the `stay` table has each encounter under its patient,
//! and those that stand somewhere under their ward and bed.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::command::{Outcome, Rejection};
use crate::encounter::{Encounter, EncounterEvent, Heard, Location, Ward};
use crate::engine::{Direction, EngineError, Mutation, Table};
use crate::id::{BedId, EncounterId, PatientId, Timestamp};
use crate::key::{self, Stay};
use crate::model::Text;
use crate::said::{Effect, Latest, Said};
use crate::scan;

use super::{Step, Stepped, Stop};

impl Step<'_> {
    pub(super) fn encounter_event(&mut self, event: &EncounterEvent) -> Stepped {
        self.check_registrar()?;
        if let Some(known) = self.heard_before(event.source)? {
            return Ok(known);
        }
        if event.what.wants_place() && event.place.is_none() {
            return Err(Rejection::NoPlace.into());
        }
        let (said, ahead) = self.said(event.source);
        let mut named = self.named(&event.patient)?;
        let before = self.record::<Encounter>(Table::Encounter, &key::encounter(event.encounter))?;
        if let Some(before) = &before {
            self.check_whose(before, named.id)?;
        }
        let mut after = before
            .clone()
            .unwrap_or_else(|| Encounter::new(self.actor.tenant, named.id, event.number.clone(), self.now));
        let place = event.place.as_ref().map(|location| &location.place);
        let heard = after.hear(event.what, place, said);
        let of_patient = named.hear(&event.patient, said);
        let made = before.is_none();
        let effect = match of_patient {
            _ if made => Effect::Changed,
            Some(Effect::Changed) => Effect::Changed,
            of_patient => heard.or(of_patient).unwrap_or(Effect::Unchanged),
        };

        let bed = self.also_in_bed(event.encounter, &after)?;
        self.put_named(&named);
        self.file(event.encounter, before.as_ref(), &after);
        self.put(Table::Encounter, &key::encounter(event.encounter), &after);
        self.attend(event.encounter, before.as_ref(), &after)?;
        if let Some(location) = &event.place {
            self.put_ward(location, said)?;
        }
        let (patient, encounter, disputed) = (Some(named.id), Some(event.encounter), named.is_disputed);
        self.note_heard(event.source, patient, encounter);
        Ok(Outcome::Heard(Heard { effect, patient, encounter, made, ahead, disputed, bed }))
    }

    fn check_whose(&self, encounter: &Encounter, patient: PatientId) -> Result<(), Stop> {
        if encounter.tenant != self.actor.tenant {
            return Err(Rejection::NotFound.into());
        }
        if self.survivor(encounter.patient)? != patient {
            return Err(Rejection::OtherPatient.into());
        }
        Ok(())
    }

    /// Puts an encounter where it belongs now.
    fn file(&mut self, id: EncounterId, before: Option<&Encounter>, after: &Encounter) {
        let (old, new) = (before.map(belongs).unwrap_or_default(), belongs(after));
        for stay in old.iter().filter(|stay| !new.contains(stay)) {
            self.delete(Table::Stay, &key::stay(*stay, id));
        }
        for stay in new.iter().filter(|stay| !old.contains(stay)) {
            self.change(Mutation::Put {
                table: Table::Stay,
                key: Bytes::copy_from_slice(&key::stay(*stay, id)),
                value: Bytes::new(),
                expires: Timestamp::NEVER,
            });
        }
    }

    fn put_ward(&mut self, location: &Location, said: Said) -> Result<(), EngineError> {
        let at = key::ward(location.place.ward);
        let known = self.record::<Ward>(Table::Ward, &at)?;
        let unnamed = || Ward { tenant: self.actor.tenant, name: Latest::unsaid(Text::new("")) };
        let mut ward = known.unwrap_or_else(unnamed);
        if ward.name.hear(location.ward_name.clone(), said) > Effect::Late {
            self.put(Table::Ward, &at, &ward);
        }
        Ok(())
    }

    /// Another encounter that holds the bed in which this one is now.
    fn also_in_bed(&self, id: EncounterId, after: &Encounter) -> Result<Option<EncounterId>, EngineError> {
        let bed = after.stands_on().and_then(|place| place.bed.as_ref());
        let Some(bed) = bed.map(|bed| bed.id) else { return Ok(None) };
        self.first_in_bed(bed, id)
    }

    /// The first encounter in a bed beside one: looks at two at most.
    fn first_in_bed(&self, bed: BedId, beside: EncounterId) -> Result<Option<EncounterId>, EngineError> {
        let (mut found, all) = (None, key::stays(Stay::In(bed), None));
        scan::each(self.state, Table::Stay, &all, Direction::Forward, self.now, |key, _| {
            found = Some(key::stay_encounter(key)?).filter(|other| *other != beside);
            Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }
}

/// Under what an encounter is found.
fn belongs(encounter: &Encounter) -> Vec<Stay> {
    let mut stays = vec![Stay::Of(encounter.patient)];
    if let Some(place) = encounter.stands_on() {
        stays.push(Stay::On(place.ward));
        stays.extend(place.bed.as_ref().map(|bed| Stay::In(bed.id)));
    }
    stays
}
