//! Plans: what a request comes to, as a command for the log or a query of the store.
//!
//! Derives ids from names, checks the bounds that depend on who asks and on the operator's
//! settings, and leaves every decision that depends on state to the machine.

use std::collections::HashSet;
use std::sync::Arc;

use wardline_storage::command::{Command, Create};
use wardline_storage::id::{ConversationId, TenantId, UserId};
use wardline_storage::model::{Person, Text};

use super::query::Query;
use crate::access::caller::Caller;
use crate::access::ids::Ids;
use crate::refusal::{Code, Refusal};
use crate::wire::{NewConversation, Request};

/// What a request comes to.
pub(crate) enum Plan {
    /// A command for the log.
    Submit(Command),
    /// A query of the store.
    Read(Query),
}

/// Makes plans of requests.
pub(crate) struct Planner {
    pub(super) ids: Arc<Ids>,
    members_max: u32,
}

impl Planner {
    /// With the ids of the store, and the most members of a conversation.
    pub(crate) fn new(ids: Arc<Ids>, members_max: u32) -> Self {
        Self { ids, members_max }
    }

    /// Says what a request comes to. Hello and Renew are the session's own business and are refused
    /// here.
    ///
    /// # Errors
    /// A refusal if the caller cannot ask this, whatever the state.
    pub(crate) fn plan(&self, caller: &Caller, request: Request) -> Result<Plan, Refusal> {
        let command = match request {
            Request::Hello(_) | Request::Renew(_) => {
                return Err(Refusal::new(Code::HelloRequired, "the session is open already"));
            }
            Request::ListConversations(page) => return Ok(Plan::Read(Query::Conversations(page))),
            Request::ListMembers { conversation, page } => {
                return Ok(Plan::Read(Query::Members { conversation, page }));
            }
            Request::ListReceipts { conversation, seq, page } => {
                return Ok(Plan::Read(Query::Receipts { conversation, seq, page }));
            }
            Request::History { conversation, from, direction, entries } => {
                return Ok(Plan::Read(Query::History { conversation, from, direction, entries }));
            }
            Request::AboutContexts(asked) => return Ok(Plan::Read(self.about_contexts(caller, asked))),
            Request::Record(recording) => self.record(caller, *recording)?,
            Request::Publish { publish, .. } => Command::Publish(publish),
            Request::Acknowledge(acknowledge) => Command::Acknowledge(acknowledge),
            Request::Create(new) => self.create(caller, new)?,
            Request::AddMembers { conversation, names, role, share_history } => {
                Command::AddMembers { conversation, people: self.people(caller, names), role, share_history }
            }
            Request::RemoveMember { conversation, name } => {
                Command::RemoveMember { conversation, user: self.ids.user(caller.actor.tenant, &name) }
            }
            Request::Leave { conversation } => {
                Command::RemoveMember { conversation, user: caller.actor.user }
            }
            Request::SetRole { conversation, name, role } => {
                let user = self.ids.user(caller.actor.tenant, &name);
                Command::SetRole { conversation, user, role }
            }
            Request::Rename { conversation, title } => Command::Rename { conversation, title },
            Request::SetRetention { conversation, retention } => {
                Command::SetRetention { conversation, retention }
            }
            Request::DeleteMessage { conversation, seq } => Command::DeleteMessage { conversation, seq },
        };
        Ok(Plan::Submit(command))
    }

    fn create(&self, caller: &Caller, new: NewConversation) -> Result<Command, Refusal> {
        let members_max = usize::try_from(self.members_max).unwrap_or(usize::MAX);
        if new.members.len() >= members_max {
            return Err(Refusal::invalid(format!(
                "members: at most {} are allowed beside the caller",
                members_max.saturating_sub(1)
            )));
        }
        let others = self.others(caller, new.members);
        let conversation = match new.client_id {
            Some(client_id) => self.ids.group(caller.actor.user, &client_id),
            None => self.direct(caller, &others)?,
        };
        let (title, retention) = (new.title, new.retention);
        Ok(Command::Create(Create { conversation, kind: new.kind, others, title, retention }))
    }

    fn direct(&self, caller: &Caller, others: &[Person]) -> Result<ConversationId, Refusal> {
        match others {
            [peer] => Ok(self.ids.direct(caller.actor.user, peer.user)),
            _ => Err(Refusal::invalid("members: a direct conversation is with one other person")),
        }
    }

    /// People by name, without repetition.
    pub(super) fn people(&self, caller: &Caller, names: Vec<String>) -> Vec<Person> {
        let tenant: TenantId = caller.actor.tenant;
        let mut known: HashSet<UserId> = HashSet::with_capacity(names.len());
        names
            .into_iter()
            .map(|name| Person { user: self.ids.user(tenant, &name), name: Text::new(name) })
            .filter(|person| known.insert(person.user))
            .collect()
    }

    /// People by name, without repetition and without the caller.
    fn others(&self, caller: &Caller, names: Vec<String>) -> Vec<Person> {
        let mut people = self.people(caller, names);
        people.retain(|person| person.user != caller.actor.user);
        people
    }
}
