//! What all sessions share, and what the tasks of one share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use wardline_storage::id::Timestamp;
use wardline_storage::model::Policy;

use crate::access::caller::{Caller, Callers};
use crate::clock::Clock;
use crate::delivery::deliveries::Deliveries;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::presence::farewell::{self, Farewell};
use crate::presence::registry::{Present, Registry};
use crate::refusal::Refusal;
use crate::requests::Requests;
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
    pub(super) expires: watch::Sender<Timestamp>,
    pub(super) all: Arc<Sessions>,
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
            expires: *self.expires.borrow(),
            device: self.device,
        }
    }

    /// Replaces the token.
    pub(super) fn renew(&self, token: &Token) -> Result<Welcome, Refusal> {
        let identity = self.all.callers.authenticate(&token.0)?;
        self.caller.renew(&identity)?;
        self.expires.send_replace(identity.expires);
        Ok(self.welcome())
    }

    /// Waits until the token expires, renewals included.
    pub(super) async fn expired(&self) {
        let mut expires = self.expires.subscribe();
        loop {
            let left = expires.borrow_and_update().since(self.all.clock.own());
            if left.is_zero() {
                return;
            }
            // A renewal, a correction of the clock, or the end of the wait: look again.
            let _ = timeout(left.min(EXPIRY_SLEEP_MAX), expires.changed()).await;
        }
    }
}
