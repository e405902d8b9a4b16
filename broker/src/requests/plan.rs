//! Use cases: what a request means for a caller, as a command for the log or a query of the store.
//!
//! Derives ids from names, checks the bounds that depend on who asks and on the operator's
//! settings, and leaves every decision that depends on state to the machine. Holds the parts that
//! sessions share.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::sync::Semaphore;
use wardline_storage::command::{Actor, Command, Create, Outcome, Policy, Submission};
use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::id::{ConversationId, DeviceId, TenantId, UserId};
use wardline_storage::log::Completion;
use wardline_storage::model::{Kind, Person, Text};

use super::query::Query;
use crate::access::auth::{Identity, TokenError, Verifier};
use crate::access::ids::Ids;
use crate::clock::Clock;
use crate::delivery::topic::Topics;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::presence::farewell::Farewell;
use crate::presence::registry::Registry;
use crate::refusal::{Code, Refusal};
use crate::requests::admission::Admission;
use crate::wire::{NewConversation, Request, Response, Token};

/// What sessions share.
pub(crate) struct Service {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) ids: Ids,
    /// Checks tokens; replaced when keys are reloaded.
    pub(crate) verifier: RwLock<Arc<Verifier>>,
    /// How sessions are ended once the broker stops.
    pub(crate) farewell: Farewell,
    /// Bounds the engine reads of requests.
    pub(crate) request_reads: Semaphore,
    /// Bounds the engine reads of devices that catch up.
    pub(crate) catch_up_reads: Semaphore,
}

/// Who asks.
pub(crate) struct Caller {
    pub(crate) actor: Arc<Actor>,
    pub(crate) tenant_name: String,
    broadcaster: AtomicBool,
}

/// What a request comes to.
pub(crate) enum Plan {
    /// A command for the log.
    Submit(Submission),
    /// A query of the store.
    Read(Query),
}

/// What is answered once a command is done.
pub(crate) enum Answer {
    /// This.
    Now(Response),
    /// What the store has then.
    Read(Query),
}

impl Service {
    /// Checks a token.
    ///
    /// # Errors
    /// A refusal that says nothing of the token.
    pub(crate) fn authenticate(&self, token: &Token) -> Result<Identity, Refusal> {
        // Not held while a signature is computed.
        let verifier = Arc::clone(&self.verifier.read());
        let now = self.clock.now();
        let identity = verifier.verify(&token.0, now).map_err(|error| match error {
            TokenError::Expired => Refusal::new(Code::TokenExpired, "the token has expired"),
            error => Refusal::new(Code::Unauthenticated, error.to_string()),
        })?;
        self.metrics.token_ahead.set(identity.not_before.since(now).as_secs_f64());
        Ok(identity)
    }

    /// Who somebody with this identity is, on this device.
    pub(crate) fn caller(&self, identity: &Identity, device: DeviceId) -> Caller {
        let tenant = self.ids.tenant(&identity.tenant);
        let user = self.ids.user(tenant, &identity.user);
        Caller {
            actor: Arc::new(Actor { tenant, user, name: Text::new(identity.user.as_str()), device }),
            tenant_name: identity.tenant.clone(),
            broadcaster: AtomicBool::new(identity.broadcaster),
        }
    }

    /// Takes over what a renewed token says.
    ///
    /// # Errors
    /// A refusal if it is somebody else's.
    pub(crate) fn renew(&self, caller: &Caller, identity: &Identity) -> Result<(), Refusal> {
        if identity.tenant != caller.tenant_name || identity.user != caller.actor.name.as_str() {
            return Err(Refusal::new(
                Code::Unauthenticated,
                "token: of another user or tenant than the session's",
            ));
        }
        caller.broadcaster.store(identity.broadcaster, Ordering::Relaxed);
        Ok(())
    }

    /// Adds the time, the author and the policy to a command.
    pub(crate) fn submission(&self, caller: &Caller, command: Command) -> Submission {
        Submission { time: self.clock.now(), actor: Arc::clone(&caller.actor), policy: self.policy, command }
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
            Request::Rename { conversation, title } => Command::Rename { conversation, title },
            Request::SetRetention { conversation, retention } => {
                Command::SetRetention { conversation, retention }
            }
            Request::DeleteMessage { conversation, seq } => Command::DeleteMessage { conversation, seq },
        };
        Ok(Plan::Submit(self.submission(caller, command)))
    }

    /// What to answer when the log is done with a command.
    pub(crate) fn answer(&self, completion: &Completion) -> Answer {
        let response = match &completion.verdict {
            Err(_lost) => Response::Refused(
                Refusal::new(Code::Unavailable, "the broker stopped before this was known to be durable")
                    .after(self.admission.delay(10.0)),
            ),
            Ok(Err(rejection)) => Response::Refused((*rejection).into()),
            Ok(Ok(Outcome::Published { seq, time })) => Response::Published { seq: *seq, time: *time },
            Ok(Ok(Outcome::Acknowledged { delivered, read })) => {
                Response::Acknowledged { delivered: *delivered, read: *read }
            }
            Ok(Ok(Outcome::Changed(seq))) => Response::Done(*seq),
            Ok(Ok(Outcome::Created { conversation, .. })) => {
                return Answer::Read(Query::Conversation(*conversation));
            }
            Ok(Ok(Outcome::DeviceRegistered | Outcome::Reexpired { .. })) => Response::Done(None),
        };
        Answer::Now(response)
    }

    fn create(&self, caller: &Caller, new: NewConversation) -> Result<Command, Refusal> {
        if new.kind == Kind::Broadcast && !caller.broadcaster.load(Ordering::Relaxed) {
            return Err(Refusal::new(Code::Forbidden, "creating a broadcast takes the role broadcaster"));
        }
        let members_max = usize::try_from(self.policy.members_max).unwrap_or(usize::MAX);
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
    fn people(&self, caller: &Caller, names: Vec<String>) -> Vec<Person> {
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

    /// Reads the engine on a blocking thread, when the bound on such reads lets it.
    ///
    /// # Errors
    /// A refusal if the store could not be read; what happened is logged.
    ///
    /// # Cancellation
    /// A read that has begun runs to its end, and its result is dropped.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        bound: &Semaphore,
        read: impl FnOnce(&Self) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _permit = bound.acquire().await.map_err(|_| Refusal::internal())?;
        let service = Arc::clone(self);
        match tokio::task::spawn_blocking(move || read(&service)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(code = "store-unreadable", %error, "the store could not be read");
                Err(Refusal::internal())
            }
            Err(error) => {
                tracing::error!(code = "store-read-ended", %error, "a read of the store ended early");
                Err(Refusal::internal())
            }
        }
    }
}
