//! How long the operator lets messages be kept: floors, defaults and ceilings, by tenant and kind.
//!
//! Part of the state, so that the machine has no configuration: a command brings it, as it does the
//! policy. People choose between floor and ceiling; what they chose before stands, and counts as
//! far as it lies between them. In a direct conversation nobody is the other's admin: there the
//! default is the floor, too.

use std::sync::Arc;
use std::time::Duration;

use crate::id::TenantId;
use crate::model::{Conversation, Kind, Policy};

/// How long messages may be kept, in one kind of conversation of one tenant. Whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Nobody has what is there already kept for less.
    pub min: Duration,
    /// If the conversation says nothing.
    pub default: Duration,
    /// No message is kept for longer, and every notice is kept so long.
    pub max: Duration,
    /// The least that a sender may say of a message of theirs.
    pub message_min: Duration,
}

impl Keeping {
    /// Anything up to a ceiling, which is the default.
    pub const fn up_to(max: Duration) -> Self {
        Self { min: Duration::ZERO, default: max, max, message_min: Duration::ZERO }
    }

    /// How long messages are kept in a conversation that says this.
    pub fn kept(&self, said: Option<Duration>) -> Duration {
        said.unwrap_or(self.default).max(self.min).min(self.max)
    }

    /// With nothing above a ceiling that holds for all.
    fn below(self, ceiling: Duration) -> Self {
        let Self { min, default, max, message_min } = self;
        let max = max.min(ceiling);
        Self { min: min.min(max), default: default.min(max), max, message_min: message_min.min(max) }
    }

    /// Where neither may take from the other.
    fn between_two(self) -> Self {
        Self { min: self.min.max(self.default), ..self }
    }
}

/// The same for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByKind {
    /// Of two people.
    pub direct: Keeping,
    /// Of groups.
    pub group: Keeping,
    /// Of broadcasts.
    pub broadcast: Keeping,
}

impl ByKind {
    /// One for all kinds.
    pub const fn all(keeping: Keeping) -> Self {
        Self { direct: keeping, group: keeping, broadcast: keeping }
    }

    fn of(&self, kind: Kind) -> Keeping {
        match kind {
            Kind::Direct => self.direct.between_two(),
            Kind::Group => self.group,
            Kind::Broadcast => self.broadcast,
        }
    }
}

/// What the operator says of every tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retentions {
    /// Of those that are not named.
    pub everybody: ByKind,
    /// Of those that are, by ascending ids.
    pub tenants: Vec<(TenantId, ByKind)>,
}

impl Retentions {
    /// Most tenants that can be named: one record holds them all.
    pub const TENANTS_MAX: usize = 1_000;

    fn of(&self, tenant: TenantId) -> &ByKind {
        let named = self.tenants.binary_search_by_key(&tenant, |(id, _)| *id);
        named.ok().and_then(|place| self.tenants.get(place)).map_or(&self.everybody, |(_, by_kind)| by_kind)
    }
}

/// What the operator has put in force: the policy, and what goes by tenant and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For all.
    pub policy: Policy,
    /// `None`: anything up to the policy's longest.
    pub retentions: Option<Arc<Retentions>>,
}

impl Rules {
    /// How long messages may be kept in conversations of a kind.
    pub fn keeping(&self, tenant: TenantId, kind: Kind) -> Keeping {
        let ceiling = self.policy.retention_max;
        match &self.retentions {
            Some(retentions) => retentions.of(tenant).of(kind).below(ceiling),
            None => ByKind::all(Keeping::up_to(ceiling)).of(kind),
        }
    }

    /// How long messages are kept in a conversation now.
    pub fn kept(&self, conversation: &Conversation) -> Duration {
        self.keeping(conversation.tenant, conversation.kind).kept(conversation.retention)
    }
}
