//! Recording: what registrars say of the patients' record, as commands; and what is asked of it.
//!
//! Names, numbers and codes become ids under the store's secret, within the registrar's tenant, so
//! that no key and no log has them. Who lacks the role is refused before anything waits for it; the
//! machine decides again, and everything else.

use wardline_storage::command::Command;
use wardline_storage::encounter::{Bed, EncounterEvent, Location, Place as StoredPlace};
use wardline_storage::id::TenantId;
use wardline_storage::model::Text;
use wardline_storage::patient::{Merge, Naming as StoredNaming, PatientEvent};
use wardline_storage::said::SourceEvent;
use wardline_storage::staff::{StaffEvent, StaffOf};

use super::contexts::Reader;
use super::plan::Planner;
use super::query::Query;
use crate::access::caller::Caller;
use crate::access::ids::Ids;
use crate::refusal::{Code, Refusal};
use crate::wire::{Asked, Naming, Place, Recording, Said, Which};

impl Planner {
    /// What somebody says, as a command.
    ///
    /// # Errors
    /// A refusal if their token does not let them.
    pub(super) fn record(&self, caller: &Caller, recording: Recording) -> Result<Command, Refusal> {
        if !caller.asks().rights.registrar {
            return Err(not_registrar());
        }
        let tenant = caller.actor.tenant;
        let Recording { event, said } = recording;
        let source = SourceEvent { id: self.ids.event(tenant, &event.source, &event.id), time: event.time };
        Ok(match said {
            Said::Encounter { number, what, place, patient } => {
                Command::Encounter(Box::new(EncounterEvent {
                    source,
                    encounter: self.ids.encounter(tenant, &number),
                    number,
                    what,
                    place: place.map(|place| location(&self.ids, tenant, place)),
                    patient: naming(&self.ids, tenant, patient),
                }))
            }
            Said::Patient(patient) => Command::Patient(Box::new(PatientEvent {
                source,
                patient: naming(&self.ids, tenant, patient),
            })),
            Said::Merge { survivor, retired } => Command::Merge(Box::new(Merge {
                source,
                survivor: naming(&self.ids, tenant, survivor),
                retired: naming(&self.ids, tenant, retired),
            })),
            Said::Roster { ward, users } => Command::Staff(Box::new(StaffEvent {
                source,
                of: StaffOf::Ward(self.ids.ward(tenant, &ward)),
                people: self.people(caller, users),
            })),
            Said::CareTeam { encounter, users } => Command::Staff(Box::new(StaffEvent {
                source,
                of: StaffOf::Encounter(self.ids.encounter(tenant, &encounter)),
                people: self.people(caller, users),
            })),
        })
    }

    /// What is asked of encounters, as a query.
    pub(super) fn about_contexts(&self, caller: &Caller, asked: Asked) -> Query {
        let is_registrar = caller.asks().rights.registrar;
        let reader = Reader { tenant: caller.actor.tenant, user: caller.actor.user, is_registrar };
        match asked {
            Asked::List { ward, page } => {
                let ward = ward.map(|ward| self.ids.ward(reader.tenant, &ward));
                Query::Contexts { reader, ward, page }
            }
            Asked::Conversations { encounter, page } => {
                Query::ContextConversations { reader, encounter, page }
            }
            Asked::Show(Which::Id(encounter)) => Query::Encounter { reader, encounter },
            Asked::Show(Which::Number(number)) => {
                Query::Encounter { reader, encounter: self.ids.encounter(reader.tenant, &number) }
            }
        }
    }
}

fn not_registrar() -> Refusal {
    let text = "saying what the patients' record says takes the role registrar in the token";
    Refusal::new(Code::Forbidden, text)
}

fn naming(ids: &Ids, tenant: TenantId, naming: Naming) -> StoredNaming {
    let with_id = |identifier| (ids.identifier(tenant, &identifier), identifier);
    StoredNaming { identifiers: naming.identifiers.into_iter().map(with_id).collect(), label: naming.label }
}

/// A ward without a name is called by its code.
fn location(ids: &Ids, tenant: TenantId, place: Place) -> Location {
    let Place { ward, ward_name, room, bed } = place;
    let id = ids.ward(tenant, &ward);
    let bed = (!bed.is_empty()).then(|| Bed {
        id: ids.bed(tenant, &ward, &room, &bed),
        name: Text::new(if room.is_empty() { bed } else { format!("{room}/{bed}") }),
    });
    let ward_name = Text::new(if ward_name.is_empty() { ward } else { ward_name });
    Location { place: StoredPlace { ward: id, bed }, ward_name }
}
