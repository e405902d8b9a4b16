//! Revoking: the operator takes access back from a user, a device, a tenant, or whoever has a token
//! of a key, and gives it back.
//!
//! Sessions are cut off first, and nobody comes in again; then it is put on record, through the log
//! as all else. If that fails it is said, and holds until the broker stops. What keeps nobody out
//! any more, since every token of its time has ended, is lifted on the way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wardline_storage::command::{Command, Outcome};
use wardline_storage::id::{DeviceId, KeyId, Timestamp};
use wardline_storage::model::{Revocation, Subject, Text};

use crate::access::caller::Callers;
use crate::access::revocations;
use crate::limits::{NAME_BYTES_MAX, REVOCATIONS_MAX};
use crate::presence::registry::Registry;
use crate::requests::intake::Intake;

/// Most revocations that are lifted on the way, with one order.
const MOOT_MAX: usize = 64;

/// Whose access it is, as an operator says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// A user of a tenant, by the names in their token.
    User {
        /// The tenant's name.
        tenant: String,
        /// The user's name.
        name: String,
    },
    /// A device, by its id in hexadecimal.
    Device(String),
    /// A key that tokens are signed with, by its `kid` or its thumbprint in hexadecimal.
    Key(String),
    /// A tenant, by its name.
    Tenant(String),
}

/// What an operator wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Take it back.
    Revoke {
        /// Whose.
        whose: Whose,
        /// Whether tokens that are issued later are refused, too.
        until_lifted: bool,
    },
    /// Give it back.
    Lift(Whose),
    /// Say what was taken.
    List,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It was taken back.
    Revoked {
        /// How many sessions were cut off.
        ended: usize,
        /// Tokens issued up to then are refused, in milliseconds since 1970; `None`: all are.
        through_ms: Option<u64>,
        /// Why it is not on record, if it is not.
        not_on_record: Option<String>,
    },
    /// It was given back; or there was nothing to give back.
    Lifted {
        /// Whether there was.
        was_revoked: bool,
    },
    /// What was taken.
    List(Vec<Listed>),
}

/// A revocation in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// user, device, key or tenant.
    pub kind: String,
    /// What the operator called it.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// As [`Done::Revoked`].
    pub through_ms: Option<u64>,
}

/// Takes access back, and gives it back.
#[derive(Clone)]
pub struct Revoker(Arc<Inner>);

struct Inner {
    callers: Arc<Callers>,
    registry: Arc<Registry>,
    intake: Arc<Intake>,
}

impl Revoker {
    /// Of the broker with these parts.
    pub(crate) fn new(callers: Arc<Callers>, registry: Arc<Registry>, intake: Arc<Intake>) -> Self {
        Self(Arc::new(Inner { callers, registry, intake }))
    }

    /// Does what an operator wants. When it returns, sessions that were revoked are sent nothing
    /// more.
    ///
    /// # Errors
    /// Why nothing was done, for people.
    ///
    /// # Cancellation
    /// What was begun is done all the same, or not on record.
    pub async fn carry_out(&self, order: Order) -> Result<Done, String> {
        match order {
            Order::Revoke { whose, until_lifted } => self.revoke(&whose, until_lifted).await,
            Order::Lift(whose) => self.lift(&whose).await,
            Order::List => Ok(Done::List(self.0.list())),
        }
    }

    async fn revoke(&self, whose: &Whose, until_lifted: bool) -> Result<Done, String> {
        let Inner { callers, registry, intake } = &*self.0;
        let clock = callers.clock();
        let (subject, name) = self.0.subject(whose)?;
        self.lift_moot().await;
        if callers.revocations().count() >= REVOCATIONS_MAX {
            return Err(format!(
                "{REVOCATIONS_MAX} revocations are in force; lift those that are not needed"
            ));
        }
        // A device and a key are not found again by a token of later.
        let until_lifted = until_lifted || matches!(subject, Subject::Device(_) | Subject::Key(_));
        let in_force = |through| Revocation { made: clock.now(), through, name: name.clone() };
        // By the clock that tokens are held against.
        let mut through = if until_lifted { Timestamp::NEVER } else { clock.own() };
        callers.revoke(subject, in_force(through));
        let ended = registry.revoke(&subject, &revocations::refusal(&subject));
        let command = Command::Revoke { subject, name: name.clone(), through };
        let not_on_record = match intake.control(command).await {
            Ok(Outcome::Revoked { through: on_record }) => {
                through = on_record;
                callers.revoke(subject, in_force(through));
                None
            }
            Ok(_) => None,
            Err(refusal) => Some(refusal.text.into_owned()),
        };
        let (kind, is_on_record) = (kind(&subject), not_on_record.is_none());
        tracing::warn!(code = "access-revoked", kind, subject = %shown(&subject), ended, is_on_record, "the operator took access back");
        Ok(Done::Revoked { ended, through_ms: bounded(through), not_on_record })
    }

    async fn lift(&self, whose: &Whose) -> Result<Done, String> {
        let Inner { callers, intake, .. } = &*self.0;
        let (subject, _) = self.0.subject(whose)?;
        // On record first: what is lifted in memory alone would be in force again after a restart.
        intake.control(Command::Lift { subject }).await.map_err(|refusal| refusal.text.into_owned())?;
        let was_revoked = callers.lift(&subject);
        let kind = kind(&subject);
        tracing::warn!(code = "access-given-back", kind, subject = %shown(&subject), was_revoked, "the operator gave access back");
        Ok(Done::Lifted { was_revoked })
    }

    /// Lifts what keeps nobody out any more.
    pub(crate) async fn lift_moot(&self) {
        let Inner { callers, intake, .. } = &*self.0;
        let longest = u64::try_from(callers.issuers().longest().as_millis()).unwrap_or(u64::MAX);
        let ended_before = Timestamp(callers.clock().own().0.saturating_sub(longest));
        for subject in callers.revocations().moot(ended_before, MOOT_MAX) {
            if intake.control(Command::Lift { subject }).await.is_ok() {
                callers.lift(&subject);
            }
        }
    }
}

impl Inner {
    fn subject(&self, whose: &Whose) -> Result<(Subject, Text), String> {
        let ids = self.callers.ids();
        let (subject, name) = match whose {
            Whose::Tenant(name) => (Subject::Tenant(ids.tenant(named(name)?)), name.clone()),
            Whose::User { tenant, name } => {
                let user = ids.user(ids.tenant(named(tenant)?), named(name)?);
                (Subject::User(user), format!("{name} of {tenant}"))
            }
            Whose::Device(id) => {
                let bytes = hex::decode(id).ok().and_then(|bytes| DeviceId::from_slice(&bytes));
                let device = bytes.ok_or("a device is named by its id, 32 hexadecimal digits")?;
                (Subject::Device(device), id.clone())
            }
            Whose::Key(name) => (Subject::Key(self.key(name)?), name.clone()),
        };
        Ok((subject, Text::new(name)))
    }

    /// A key by its thumbprint, be it in force or not; or one in force by its `kid`.
    fn key(&self, name: &str) -> Result<KeyId, String> {
        if let Some(thumbprint) = hex::decode(name).ok().and_then(|bytes| bytes.try_into().ok()) {
            return Ok(KeyId::new(thumbprint));
        }
        let issuers = self.callers.issuers();
        let mut fitting: Vec<_> = issuers.names().filter(|key| key.kid.as_deref() == Some(name)).collect();
        fitting.dedup_by_key(|key| key.id);
        match (fitting.first(), fitting.get(1)) {
            (Some(key), None) => Ok(key.id),
            (None, _) => Err("no token key in force has this kid: `wardline check-config` shows those of auth.jwks; one that is gone from it is named by its thumbprint".into()),
            (Some(_), Some(_)) => Err("several token keys have this kid: name the one that is meant by its thumbprint, which `wardline check-config` shows".into()),
        }
    }

    fn list(&self) -> Vec<Listed> {
        let listed = |(subject, revocation): (Subject, Revocation)| Listed {
            kind: kind(&subject).to_owned(),
            name: revocation.name.as_str().to_owned(),
            made_ms: revocation.made.0,
            through_ms: bounded(revocation.through),
        };
        let mut all: Vec<_> = self.callers.revocations().all().into_iter().map(listed).collect();
        all.sort_by(|one, other| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)));
        all
    }
}

fn named(name: &str) -> Result<&str, String> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) {
        Ok(name)
    } else {
        Err(format!("a name of a user or tenant has 1 to {NAME_BYTES_MAX} bytes"))
    }
}

fn bounded(through: Timestamp) -> Option<u64> {
    (through != Timestamp::NEVER).then_some(through.0)
}

fn kind(subject: &Subject) -> &'static str {
    match subject {
        Subject::Tenant(_) => "tenant",
        Subject::User(_) => "user",
        Subject::Device(_) => "device",
        Subject::Key(_) => "key",
        Subject::SignIn(_) => "sign-in",
    }
}

/// The id, as the text log has it.
fn shown(subject: &Subject) -> String {
    match subject {
        Subject::Tenant(tenant) => tenant.to_string(),
        Subject::User(user) => user.to_string(),
        Subject::Device(device) => device.to_string(),
        Subject::Key(key) => key.to_string(),
        Subject::SignIn(sign_in) => sign_in.to_string(),
    }
}
