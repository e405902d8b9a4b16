//! Who asks: from a token to a caller.
//!
//! Tokens are checked by the keys that are in force at that moment, names become ids under the
//! store's secret. Who was let in is checked again whenever keys are replaced or access is taken
//! back. What a refusal says tells nothing of the token.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use wardline_storage::command::{Actor, Rights};
use wardline_storage::id::{DeviceId, TenantId, UserId};
use wardline_storage::model::{Revocation, Subject, Text};

use super::auth::issuers::Issuers;
use super::auth::logout::Logout;
use super::auth::{Identity, KeyName, TokenError, Verifier};
use super::ids::Ids;
use super::provider::rounds::{inactive, silent};
use super::provider::{Provider, Standing};
use super::revocations::{self, Bearer, Credential, Revocations};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::refusal::{Code, Refusal};

/// When to come again if an issuer's keys are not known.
const KEYS_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Who asks.
pub(crate) struct Caller {
    /// With the rights of the token that opened the session.
    pub(crate) actor: Arc<Actor>,
    pub(crate) tenant_name: String,
    /// With those of the latest token.
    latest: RwLock<Arc<Actor>>,
}

impl Caller {
    /// Who asks now: with the rights of the latest token.
    pub(crate) fn asks(&self) -> Arc<Actor> {
        Arc::clone(&self.latest.read())
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
        let (rights, actor) = (rights(identity), &self.actor);
        let latest = if rights == actor.rights {
            Arc::clone(actor)
        } else {
            Arc::new(Actor { rights, ..Actor::clone(actor) })
        };
        *self.latest.write() = latest;
        Ok(())
    }
}

/// Tells callers by their tokens.
pub(crate) struct Callers {
    ids: Arc<Ids>,
    /// Replaced when keys are reloaded.
    issuers: RwLock<Arc<Issuers>>,
    /// Those of them that are asked over HTTPS.
    providers: Vec<Arc<Provider>>,
    revocations: Revocations,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
}

impl Callers {
    /// Whose tokens `issuers` find good.
    pub(crate) fn new(
        issuers: Issuers,
        providers: Vec<Arc<Provider>>,
        revocations: Revocations,
        ids: Arc<Ids>,
        clock: Arc<Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        show(&metrics, &issuers);
        let callers =
            Self { ids, issuers: RwLock::new(Arc::new(issuers)), providers, revocations, clock, metrics };
        callers.show_revocations();
        callers
    }

    /// Checks an issuer's tokens by other keys from now on; gives those that are not good any more.
    pub(crate) fn replace(&self, verifier: Verifier) -> Vec<Arc<KeyName>> {
        let verifier = Arc::new(verifier);
        let mut issuers = self.issuers.write();
        let before = issuers.of(verifier.issuer()).cloned();
        *issuers = Arc::new(issuers.with(Arc::clone(&verifier)));
        show(&self.metrics, &issuers);
        let before = before.iter().flat_map(|before| before.names());
        before.filter(|name| !verifier.has(name.id)).cloned().collect()
    }

    /// By which keys tokens are checked now.
    pub(crate) fn issuers(&self) -> Arc<Issuers> {
        Arc::clone(&self.issuers.read())
    }

    /// The issuers that are asked over HTTPS.
    pub(crate) fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    fn provider(&self, issuer: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| &**provider.issuer() == issuer)
    }

    fn show_revocations(&self) {
        self.metrics.revocations.set(self.revocations.count() as f64);
        self.metrics.sign_outs.set(self.revocations.sign_outs() as f64);
    }

    /// What access was taken back.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Puts a revocation in force.
    pub(crate) fn revoke(&self, subject: Subject, revocation: Revocation) {
        self.revocations.put(subject, revocation);
        self.show_revocations();
    }

    /// Lifts one; gives whether it was in force.
    pub(crate) fn lift(&self, subject: &Subject) -> bool {
        let was_revoked = self.revocations.lift(subject);
        self.show_revocations();
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
        if !self.issuers.read().has(&by.issuer, by.key.id) {
            return Err(revocations::refusal(&Subject::Key(by.key.id)));
        }
        self.revocations.check(actor, by)
    }

    /// Checks a token by what is known, and asks nobody. If its key is not known, the issuer's are
    /// read early, for whoever comes next.
    ///
    /// # Errors
    /// A refusal that says nothing of the token.
    pub(crate) fn authenticate(&self, token: &str) -> Result<Identity, Refusal> {
        let found = self.verify(token);
        if let Some(provider) = self.may_know(token, &found) {
            provider.ask_early();
        }
        self.judge(token, found)
    }

    /// Checks a token: once more if its issuer may have a new key, and by the issuer's word whether
    /// it is active still.
    ///
    /// # Errors
    /// A refusal that says nothing of the token.
    ///
    /// # Cancellation
    /// Nothing comes of it.
    pub(crate) async fn let_in(&self, token: &str) -> Result<Identity, Refusal> {
        let mut found = self.verify(token);
        if let Some(provider) = self.may_know(token, &found)
            && provider.hurry().await
        {
            found = self.verify(token);
        }
        let identity = self.judge(token, found)?;
        let Some(provider) = self.provider(&identity.issuer) else { return Ok(identity) };
        match provider.standing(token).await {
            Standing::Active | Standing::Graced => Ok(identity),
            Standing::Inactive => Err(inactive()),
            Standing::Silent => Err(silent()),
        }
    }

    /// Checks a logout token.
    ///
    /// # Errors
    /// [`TokenError`] if it is not acceptable.
    ///
    /// # Cancellation
    /// Nothing comes of it.
    pub(crate) async fn logout(&self, token: &str) -> Result<Logout, TokenError> {
        let verify = || self.issuers().verify_logout(token, self.clock.own());
        let found = verify();
        match self.may_know(token, &found) {
            Some(provider) if provider.hurry().await => verify(),
            _ => found,
        }
    }

    fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        // Not held while a signature is computed.
        self.issuers().verify(token, self.clock.own())
    }

    /// Who may have made the key since, if that is all that is missing.
    fn may_know<T>(&self, token: &str, found: &Result<T, TokenError>) -> Option<&Arc<Provider>> {
        if !matches!(found, Err(TokenError::UnknownKey)) {
            return None;
        }
        let issuers = self.issuers();
        let verifier = issuers.select(token).ok()?;
        self.provider(verifier.issuer())
    }

    /// What a client is told of what was found.
    fn judge(&self, token: &str, found: Result<Identity, TokenError>) -> Result<Identity, Refusal> {
        let identity = found.map_err(|error| match error {
            TokenError::Expired => Refusal::new(Code::TokenExpired, "the token has expired"),
            TokenError::UnknownKey if self.knows_no_key_for(token) => {
                let text = "the keys of the token's issuer are not known: it does not answer";
                Refusal::new(Code::Unavailable, text).after(KEYS_RETRY_AFTER)
            }
            error => Refusal::new(Code::Unauthenticated, error.to_string()),
        })?;
        self.metrics.token_ahead.set(identity.not_before.since(self.clock.own()).as_secs_f64());
        Ok(identity)
    }

    fn knows_no_key_for(&self, token: &str) -> bool {
        self.issuers().select(token).is_ok_and(|verifier| verifier.keys() == 0)
    }

    /// By what somebody is let in who has this token.
    pub(crate) fn credential(&self, identity: &Identity, token: &str) -> Credential {
        let Identity { issuer, user, session, .. } = identity;
        let is_asked = self.provider(issuer).is_some_and(|provider| provider.introspects().is_some());
        Credential {
            issuer: Arc::clone(issuer),
            key: Arc::clone(&identity.key),
            issued: identity.issued,
            sign_ins: self.ids.sign_ins(issuer, user, session.as_deref()),
            bearer: is_asked.then(|| Bearer::new(token)),
        }
    }

    /// Who somebody with this identity is, on this device.
    pub(crate) fn caller(&self, identity: &Identity, device: DeviceId) -> Caller {
        let tenant = self.ids.tenant(&identity.tenant);
        let user = self.ids.user(tenant, &identity.user);
        let (name, rights) = (Text::new(identity.user.as_str()), rights(identity));
        let actor = Arc::new(Actor { tenant, user, name, device, rights });
        let latest = RwLock::new(Arc::clone(&actor));
        Caller { actor, tenant_name: identity.tenant.clone(), latest }
    }
}

/// What a token allows.
fn rights(identity: &Identity) -> Rights {
    let Identity { broadcaster, administrator, registrar, .. } = *identity;
    Rights { broadcaster, administrator, registrar }
}

fn show(metrics: &Metrics, issuers: &Issuers) {
    metrics.token_keys.set(issuers.keys() as f64);
    metrics.token_keys_left_out.set(issuers.left_out() as f64);
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
