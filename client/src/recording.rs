//! The requests about the patients' record: for registrars, and for people who see contexts.
//!
//! A source event is asked again over a lost session: the same id is the same event, so twice is as
//! good as once.

use bytes::Bytes;
use wardline_proto::v1;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;

use crate::asking::Repeat;
use crate::client::{Client, mismatch, next};
use crate::error::RequestError;
use crate::record::{
    CareTeam, Context, EncounterEvent, EncounterId, EncounterState, Merge, PatientEvent, Recorded, Roster,
    Which,
};
use crate::record_wire as wire;
use crate::types::{Conversation, Page};
use crate::wire::{conversation, id_bytes};

impl Client {
    /// Says what happened to an encounter. Takes the role `registrar`, as all that follow here up
    /// to [`Client::set_care_team`]. The answer means that it is durable.
    pub async fn record_encounter(&self, event: &EncounterEvent) -> Result<Recorded, RequestError> {
        self.record(Request::RecordEncounter(v1::RecordEncounter {
            event: Some(wire::source(&event.source)),
            encounter: Some(wire::identifier(&event.encounter)),
            kind: wire::kind(event.what),
            place: event.place.as_ref().map(wire::place),
            patient: Some(wire::naming(&event.patient)),
        }))
        .await
    }

    /// Says what is known of a patient.
    pub async fn record_patient(&self, event: &PatientEvent) -> Result<Recorded, RequestError> {
        self.record(Request::RecordPatient(v1::RecordPatient {
            event: Some(wire::source(&event.source)),
            patient: Some(wire::naming(&event.patient)),
        }))
        .await
    }

    /// Says that two patients are one.
    pub async fn merge_patients(&self, merge: &Merge) -> Result<Recorded, RequestError> {
        self.record(Request::MergePatients(v1::MergePatients {
            event: Some(wire::source(&merge.source)),
            survivor: Some(wire::naming(&merge.survivor)),
            retired: Some(wire::naming(&merge.retired)),
        }))
        .await
    }

    /// Says who works on a ward, all of them.
    pub async fn set_roster(&self, roster: &Roster) -> Result<Recorded, RequestError> {
        self.record(Request::SetRoster(v1::SetRoster {
            event: Some(wire::source(&roster.source)),
            ward: roster.ward.clone(),
            users: roster.users.clone(),
        }))
        .await
    }

    /// Says who cares for a patient beside the ward's roster, all of them.
    pub async fn set_care_team(&self, team: &CareTeam) -> Result<Recorded, RequestError> {
        self.record(Request::SetCareTeam(v1::SetCareTeam {
            event: Some(wire::source(&team.source)),
            encounter: Some(wire::identifier(&team.encounter)),
            users: team.users.clone(),
        }))
        .await
    }

    /// Lists encounters that the user may see, on the ward with a code or anywhere; registrars see
    /// all on a ward. A page may hold fewer than `page_size`, or none, and not be the last.
    pub async fn contexts(
        &self,
        ward: Option<&str>,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Context>, RequestError> {
        let request = Request::ListContexts(v1::ListContexts {
            ward: ward.unwrap_or_default().to_owned(),
            page_size,
            page_token: after.unwrap_or_default(),
        });
        match self.ask(request, Repeat::Safe).await? {
            Response::ContextPage(page) => {
                let items = page.contexts.into_iter().map(wire::context).collect::<Result<_, _>>()?;
                Ok(Page { items, next: next(page.next_page_token) })
            }
            _ => Err(mismatch()),
        }
    }

    /// Lists the user's conversations about an encounter.
    pub async fn context_conversations(
        &self,
        encounter: EncounterId,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Conversation>, RequestError> {
        let request = Request::ContextConversations(v1::ContextConversations {
            encounter_id: id_bytes(encounter.0),
            page_size,
            page_token: after.unwrap_or_default(),
        });
        match self.ask(request, Repeat::Safe).await? {
            Response::ConversationPage(page) => {
                let items = page.conversations.into_iter().map(conversation).collect::<Result<_, _>>()?;
                Ok(Page { items, next: next(page.next_page_token) })
            }
            _ => Err(mismatch()),
        }
    }

    /// Asks what the record says of an encounter, and by which events.
    pub async fn show_encounter(&self, which: &Which) -> Result<EncounterState, RequestError> {
        let which = Some(wire::which(which));
        match self.ask(Request::ShowEncounter(v1::ShowEncounter { which }), Repeat::Safe).await? {
            Response::EncounterState(state) => Ok(wire::encounter_state(state)?),
            _ => Err(mismatch()),
        }
    }

    async fn record(&self, request: Request) -> Result<Recorded, RequestError> {
        match self.ask(request, Repeat::Safe).await? {
            Response::Recorded(recorded) => Ok(wire::recorded(&recorded)?),
            _ => Err(mismatch()),
        }
    }
}
