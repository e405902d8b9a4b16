//! How long messages may be kept, as the operator says it: by kind, and by the names of tenants.
//!
//! Decides nothing. It becomes the state's [`Retentions`] under the store's ids when the broker
//! starts, by a command; from then on only the state counts. A floor or a default above its ceiling
//! counts as the ceiling.

use std::collections::BTreeMap;
use std::time::Duration;

use wardline_storage::retention::{ByKind, Keeping, Retentions};

use crate::access::ids::Ids;

/// What the operator says of one kind of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Nobody has what is there already kept for less.
    pub min: Duration,
    /// If the conversation says nothing; `None`: for as long as any message.
    pub default: Option<Duration>,
    /// At most; `None`: for as long as any message.
    pub max: Option<Duration>,
}

impl Kept {
    /// From this floor up.
    pub const fn from(min: Duration) -> Self {
        Self { min, default: None, max: None }
    }

    fn keeping(self, longest: Duration, message_min: Duration) -> Keeping {
        let max = self.max.unwrap_or(longest).min(longest);
        let default = self.default.unwrap_or(max).min(max);
        Keeping { min: self.min.min(max), default, max, message_min: message_min.min(max) }
    }
}

/// What the operator says of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Of two people: here the default is the floor, too.
    pub direct: Kept,
    /// Of groups.
    pub group: Kept,
    /// Of broadcasts.
    pub broadcast: Kept,
    /// The least that a sender may say of a message of theirs.
    pub message_min: Duration,
}

impl Terms {
    /// Anything goes.
    pub const NONE: Self = {
        let kept = Kept::from(Duration::ZERO);
        Self { direct: kept, group: kept, broadcast: kept, message_min: Duration::ZERO }
    };

    fn by_kind(&self, longest: Duration) -> ByKind {
        let of = |kept: Kept| kept.keeping(longest, self.message_min);
        ByKind { direct: of(self.direct), group: of(self.group), broadcast: of(self.broadcast) }
    }
}

/// What the operator says of all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of those that are not named.
    pub everybody: Terms,
    /// Of those that are.
    pub tenants: BTreeMap<String, Terms>,
}

impl Retention {
    /// Of a broker that lets everybody choose anything up to the longest.
    pub fn unbounded() -> Self {
        Self { everybody: Terms::NONE, tenants: BTreeMap::new() }
    }

    /// For the state: by ids, nothing above the longest.
    pub(crate) fn under(&self, ids: &Ids, longest: Duration) -> Retentions {
        let named = self.tenants.iter();
        let mut tenants: Vec<_> =
            named.map(|(name, terms)| (ids.tenant(name), terms.by_kind(longest))).collect();
        tenants.sort_unstable_by_key(|(id, _)| *id);
        tenants.dedup_by_key(|(id, _)| *id);
        Retentions { everybody: self.everybody.by_kind(longest), tenants }
    }
}
