//! Contexts: encounters as people see them, and who may.
//!
//! Registrars may see every encounter of their tenant; others those in whose care conversation they
//! are, as long as the record names them for it: a membership that the record has ended and that is
//! still to go shows nothing. For everybody else an encounter is not there.

use wardline_storage::encounter::Encounter;
use wardline_storage::engine::EngineError;
use wardline_storage::id::{ConversationId, EncounterId, TenantId, UserId, WardId};
use wardline_storage::key::Stay;
use wardline_storage::model::Text;
use wardline_storage::patient::Patient;
use wardline_storage::retention::Rules;
use wardline_storage::said::Said;
use wardline_storage::staff::StaffOf;
use wardline_storage::view::{Page, Summary, View};

use super::listing::Listable;
use crate::wire::{Context, EncounterState, PageRequest, Subject};

/// Who asks, and what their token says.
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    /// Sees every encounter of the tenant.
    pub(crate) is_registrar: bool,
}

impl Reader {
    /// An encounter, if they may see it.
    fn encounter(self, view: View<'_>, id: EncounterId) -> Result<Option<Encounter>, EngineError> {
        let Some(found) = view.encounter(self.tenant, id)? else { return Ok(None) };
        let may_see = self.is_registrar || (self.is_member(view, id)? && self.is_named(view, id, &found)?);
        Ok(may_see.then_some(found))
    }

    fn is_member(self, view: View<'_>, id: EncounterId) -> Result<bool, EngineError> {
        let access = view.access(self.user, id.care_conversation())?;
        Ok(access.is_some_and(|access| access.conversation.is_care))
    }

    /// Whether the record names them for it: in its care team, or in the roster of its ward.
    fn is_named(self, view: View<'_>, id: EncounterId, encounter: &Encounter) -> Result<bool, EngineError> {
        let ward = encounter.place.value.as_ref().map(|place| StaffOf::Ward(place.ward));
        for of in [Some(StaffOf::Encounter(id)), ward].into_iter().flatten() {
            if view.staff(self.tenant, of)?.is_some_and(|staff| staff.has(self.user)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What the record says of an encounter; `None`: it is not there for whoever asks.
pub(super) fn show(
    view: View<'_>,
    reader: Reader,
    id: EncounterId,
) -> Result<Option<EncounterState>, EngineError> {
    let Some(encounter) = reader.encounter(view, id)? else { return Ok(None) };
    let Some((patient_id, patient)) = view.patient(reader.tenant, encounter.patient)? else {
        return Ok(None);
    };
    Ok(Some(EncounterState {
        context: context(view, reader.tenant, id, &encounter, patient.label.value.clone())?,
        patient: patient_id,
        bed_also_held_by: also_in_bed(view, id, &encounter)?,
        words: words(view, reader.tenant, id, &encounter, &patient)?,
        identifiers: patient.identifiers.into_iter().map(|(_, identifier)| identifier).collect(),
        first_heard: encounter.first_heard,
        number: encounter.number,
    }))
}

/// The conversations about an encounter that somebody may see; `None`: there is none.
pub(super) fn conversations(
    view: View<'_>,
    reader: Reader,
    id: EncounterId,
    page: &PageRequest,
) -> Result<Option<Page<Summary, ConversationId>>, EngineError> {
    let found = Reader { is_registrar: false, ..reader }.encounter(view, id)?;
    let access = view.access(reader.user, id.care_conversation())?;
    let (Some(_), Some(access)) = (found, access) else { return Ok(None) };
    // So far it is one: the care conversation.
    let is_past = page.after.is_some_and(|after| after >= *access.id.as_bytes());
    let items = if is_past { Vec::new() } else { vec![view.summary(access, &view.rules()?)?] };
    Ok(Some(Page { items, next: None }))
}

/// The contexts that somebody may see, on a ward or on any.
pub(super) struct Contexts {
    pub(super) reader: Reader,
    pub(super) ward: Option<WardId>,
}

impl Listable for Contexts {
    type Id = EncounterId;
    type Item = Context;

    /// On the ward, or among the conversations of whoever asks.
    fn find(&self, view: View<'_>, page: &PageRequest) -> Result<Page<Self::Id, Self::Id>, EngineError> {
        let Reader { user, is_registrar, .. } = self.reader;
        if let Some(ward) = self.ward.filter(|_| is_registrar) {
            return view.stays(Stay::On(ward), page.after.map(EncounterId::new), page.entries);
        }
        let ids = view.memberships(user, page.after.map(ConversationId::new), page.entries)?;
        let items = ids.items.into_iter().map(encounter_of).collect();
        Ok(Page { items, next: ids.next.map(encounter_of) })
    }

    fn look(&self, view: View<'_>, _: &Rules, id: Self::Id) -> Result<Option<Context>, EngineError> {
        let Reader { tenant, .. } = self.reader;
        let Some(encounter) = self.reader.encounter(view, id)? else { return Ok(None) };
        let ward = encounter.stands_on().map(|place| place.ward);
        if self.ward.is_some() && self.ward != ward {
            return Ok(None);
        }
        let patient = view.patient(tenant, encounter.patient)?;
        let label = patient.map_or_else(nothing, |(_, patient)| patient.label.value);
        context(view, tenant, id, &encounter, label).map(Some)
    }
}

fn context(
    view: View<'_>,
    tenant: TenantId,
    id: EncounterId,
    encounter: &Encounter,
    label: Text,
) -> Result<Context, EngineError> {
    let place = encounter.stands_on();
    let ward = place.map(|place| view.ward(tenant, place.ward)).transpose()?.flatten();
    let bed = place.and_then(|place| place.bed.as_ref());
    Ok(Context {
        id,
        status: encounter.status(),
        label,
        ward: ward.map_or_else(nothing, |ward| ward.name.value),
        bed: bed.map_or_else(nothing, |bed| bed.name.clone()),
    })
}

/// What was said of it, and by which events.
fn words(
    view: View<'_>,
    tenant: TenantId,
    id: EncounterId,
    encounter: &Encounter,
    patient: &Patient,
) -> Result<Vec<(Subject, Said)>, EngineError> {
    let said = |of| Ok(view.staff(tenant, of)?.and_then(|staff| staff.people.said));
    let ward = encounter.place.value.as_ref().map(|place| StaffOf::Ward(place.ward));
    let words = [
        (Subject::Life, encounter.life.said),
        (Subject::Place, encounter.place.said),
        (Subject::Leave, encounter.away.said),
        (Subject::Label, patient.label.said),
        (Subject::CareTeam, said(StaffOf::Encounter(id))?),
        (Subject::Roster, ward.map(said).transpose()?.flatten()),
    ];
    Ok(words.into_iter().filter_map(|(subject, said)| said.map(|said| (subject, said))).collect())
}

fn also_in_bed(
    view: View<'_>,
    id: EncounterId,
    encounter: &Encounter,
) -> Result<Option<EncounterId>, EngineError> {
    let Some(bed) = encounter.stands_on().and_then(|place| place.bed.as_ref()) else { return Ok(None) };
    let held = view.stays(Stay::In(bed.id), None, 2)?;
    Ok(held.items.into_iter().find(|other| *other != id))
}

/// Of which encounter a conversation would be the care conversation.
fn encounter_of(id: ConversationId) -> EncounterId {
    EncounterId::new(*id.as_bytes())
}

fn nothing() -> Text {
    Text::new("")
}
