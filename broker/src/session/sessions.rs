//! What all sessions share, and what the tasks of one share.
//!
//! A session lasts as long as its latest token lets in, and no longer than its access is given: it
//! is checked again whenever its credential changes, and once it has joined the registry.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use wardline_storage::id::Timestamp;
use wardline_storage::model::Policy;

use crate::access::auth::Identity;
use crate::access::caller::{Caller, Callers};
use crate::clock::Clock;
use crate::delivery::deliveries::Deliveries;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::presence::farewell::{self, Farewell};
use crate::presence::registry::{Present, Registry};
use crate::refusal::Refusal;
use crate::requests::Requests;
use crate::shares::Shares;
use crate::shares::share::Portion;
use crate::wire::{Registered, Token, Welcome};

/// Longest sleep at a time: the wall clock may be corrected meanwhile.
const EXPIRY_SLEEP_MAX: Duration = Duration::from_secs(3600);

/// What all sessions share.
pub(crate) struct Sessions {
    pub(crate) callers: Arc<Callers>,
    pub(crate) requests: Requests,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) registry: Arc<Registry>,
    /// How they are ended once the broker stops.
    pub(crate) farewell: Arc<Farewell>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) shares: Arc<Shares>,
    /// What Welcome tells of it.
    pub(crate) policy: Policy,
}

impl Sessions {
    /// What a client is told when the broker stops.
    pub(super) fn parting(&self) -> Refusal {
        self.farewell.to_client(self.requests.intake.admission().delay(farewell::LEAST))
    }
}

/// What the tasks of a session share.
pub(super) struct Session {
    pub(super) present: Present,
    pub(super) caller: Caller,
    /// What the store has on record of the device, if it could be put there.
    pub(super) device: Option<Registered>,
    /// When it was opened, by the broker's time.
    pub(super) opened: Timestamp,
    pub(super) lasts: watch::Sender<Lasts>,
    pub(super) all: Arc<Sessions>,
    /// Of its principal's share, until it has ended.
    pub(super) _seat: Portion,
}

/// How long a session's token lasts.
#[derive(Clone, Copy)]
pub(super) struct Lasts {
    /// As the token says, and as clients are told, so that they renew it in time.
    expires: Timestamp,
    /// As long as it would open another session: so nobody is ended who could come again at once.
    good_until: Timestamp,
}

impl Lasts {
    /// As long as the token of an identity.
    pub(super) fn of(identity: &Identity) -> Self {
        Self { expires: identity.expires, good_until: identity.good_until }
    }
}

impl Session {
    pub(super) fn welcome(&self) -> Welcome {
        Welcome {
            session: self.present.id.0,
            now: self.all.clock.now(),
            limits: Limits::clone(&self.all.limits),
            policy: self.all.policy,
            user: self.caller.actor.name.as_str().to_owned(),
            tenant: self.caller.tenant_name.clone(),
            expires: self.lasts.borrow().expires,
            device: self.device,
        }
    }

    /// Replaces the token.
    pub(super) fn renew(&self, token: &Token) -> Result<Welcome, Refusal> {
        let callers = &self.all.callers;
        let identity = callers.authenticate(&token.0)?;
        let credential = callers.credential(&identity, &token.0);
        callers.check(&self.caller.actor, &credential)?;
        self.caller.renew(&identity)?;
        *self.present.credential.lock() = credential;
        self.lasts.send_replace(Lasts::of(&identity));
        self.check();
        Ok(self.welcome())
    }

    /// Cuts the session off if its access was taken back while it was given.
    pub(super) fn check(&self) {
        let credential = self.present.credential.lock().clone();
        if let Err(refusal) = self.all.callers.check(&self.caller.actor, &credential) {
            self.present.ending.cut(refusal);
        }
    }

    /// Waits until the token lets in no more, renewals included.
    pub(super) async fn expired(&self) {
        let mut lasts = self.lasts.subscribe();
        loop {
            let left = lasts.borrow_and_update().good_until.since(self.all.clock.own());
            if left.is_zero() {
                return;
            }
            // A renewal, a correction of the clock, or the end of the wait: look again.
            let _ = timeout(left.min(EXPIRY_SLEEP_MAX), lasts.changed()).await;
        }
    }
}
