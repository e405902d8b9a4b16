//! Who asks: from a token to a caller.
//!
//! Tokens are checked by the keys that are in force at that moment, names become ids under the
//! store's secret. Who was let in is checked again whenever keys are replaced or access is taken
//! back. What a refusal says tells nothing of the token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use wardline_storage::command::{Actor, Rights};
use wardline_storage::id::{DeviceId, TenantId, UserId};
use wardline_storage::model::{Revocation, Subject, Text};

use super::auth::{Identity, KeyName, TokenError, Verifier};
use super::ids::Ids;
use super::revocations::{self, Credential, Revocations};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::refusal::{Code, Refusal};

/// Who asks.
pub(crate) struct Caller {
    /// With the rights of the token that opened the session.
    pub(crate) actor: Arc<Actor>,
    pub(crate) tenant_name: String,
    /// As the latest token says.
    broadcaster: AtomicBool,
    administrator: AtomicBool,
}

impl Caller {
    /// Who asks now: with the rights of the latest token.
    pub(crate) fn asks(&self) -> Arc<Actor> {
        let (broadcaster, administrator) =
            (self.broadcaster.load(Ordering::Relaxed), self.administrator.load(Ordering::Relaxed));
        let rights = Rights { broadcaster, administrator };
        if rights == self.actor.rights {
            return Arc::clone(&self.actor);
        }
        Arc::new(Actor { rights, ..Actor::clone(&self.actor) })
    }

    /// Takes over what a renewed token says.
    ///
    /// # Errors
    /// A refusal if it is somebody else's.
    pub(crate) fn renew(&self, identity: &Identity) -> Result<(), Refusal> {
        if identity.tenant != self.tenant_name || identity.user != self.actor.name.as_str() {
            return Err(Refusal::new(
                Code::Unauthenticated,
                "token: of another user or tenant than the session's",
            ));
        }
        self.broadcaster.store(identity.broadcaster, Ordering::Relaxed);
        self.administrator.store(identity.administrator, Ordering::Relaxed);
        Ok(())
    }
}

/// Tells callers by their tokens.
pub(crate) struct Callers {
    ids: Arc<Ids>,
    /// Replaced when keys are reloaded.
    verifier: RwLock<Arc<Verifier>>,
    revocations: Revocations,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
}

impl Callers {
    /// Whose tokens `verifier` finds good.
    pub(crate) fn new(
        verifier: Arc<Verifier>,
        revocations: Revocations,
        ids: Arc<Ids>,
        clock: Arc<Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        show(&metrics, &verifier);
        metrics.revocations.set(revocations.count() as f64);
        Self { ids, verifier: RwLock::new(verifier), revocations, clock, metrics }
    }

    /// Checks tokens by other keys from now on; gives those that are not good any more.
    pub(crate) fn replace(&self, verifier: Verifier) -> Vec<Arc<KeyName>> {
        show(&self.metrics, &verifier);
        let verifier = Arc::new(verifier);
        let before = std::mem::replace(&mut *self.verifier.write(), Arc::clone(&verifier));
        before.names().filter(|name| !verifier.has(name.id)).cloned().collect()
    }

    /// By which keys tokens are checked now.
    pub(crate) fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier.read())
    }

    /// What access was taken back.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Puts a revocation in force.
    pub(crate) fn revoke(&self, subject: Subject, revocation: Revocation) {
        self.revocations.put(subject, revocation);
        self.metrics.revocations.set(self.revocations.count() as f64);
    }

    /// Lifts one; gives whether it was in force.
    pub(crate) fn lift(&self, subject: &Subject) -> bool {
        let was_revoked = self.revocations.lift(subject);
        self.metrics.revocations.set(self.revocations.count() as f64);
        was_revoked
    }

    /// The clock that tokens are held against.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Under which ids the store knows people.
    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Whether somebody may stay who was let in: their key is still good, and their access was not
    /// taken back. Of whoever asks after they have joined the registry, no revocation is missed.
    ///
    /// # Errors
    /// The refusal, if they may not.
    pub(crate) fn check(&self, actor: &Actor, by: &Credential) -> Result<(), Refusal> {
        if !self.verifier.read().has(by.key.id) {
            return Err(revocations::refusal(&Subject::Key(by.key.id)));
        }
        self.revocations.check(actor, by)
    }

    /// Checks a token.
    ///
    /// # Errors
    /// A refusal that says nothing of the token.
    pub(crate) fn authenticate(&self, token: &str) -> Result<Identity, Refusal> {
        // Not held while a signature is computed.
        let verifier = self.verifier();
        let now = self.clock.own();
        let identity = verifier.verify(token, now).map_err(|error| match error {
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
        let Identity { broadcaster, administrator, .. } = *identity;
        let (name, rights) = (Text::new(identity.user.as_str()), Rights { broadcaster, administrator });
        Caller {
            actor: Arc::new(Actor { tenant, user, name, device, rights }),
            tenant_name: identity.tenant.clone(),
            broadcaster: AtomicBool::new(broadcaster),
            administrator: AtomicBool::new(administrator),
        }
    }
}

fn show(metrics: &Metrics, verifier: &Verifier) {
    metrics.token_keys.set(verifier.keys() as f64);
    metrics.token_keys_left_out.set(verifier.left_out().len() as f64);
}

/// The broker itself, for commands that need no membership.
pub(crate) fn nobody() -> Arc<Actor> {
    Arc::new(Actor {
        tenant: TenantId::new([0; 16]),
        user: UserId::new([0; 16]),
        name: Text::new(""),
        device: DeviceId::new([0; 16]),
        rights: Rights::default(),
    })
}
