//! Who works on a ward, and who cares for a patient, as the record says.
//!
//! A roster is that of a ward, a care team that of an encounter. A registrar says who is in it, all
//! of them at once; of several such words the latest holds. Whoever is in one of the two is a
//! member of the encounter's care conversation; the machine sees to that in bounded steps.

use crate::id::{EncounterId, TenantId, UserId, WardId};
use crate::model::Person;
use crate::said::{Latest, SourceEvent};

/// Whose staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StaffOf {
    /// A ward's: its roster.
    Ward(WardId),
    /// An encounter's: its care team.
    Encounter(EncounterId),
}

/// A roster, or a care team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staff {
    /// Whose they are.
    pub tenant: TenantId,
    /// By ascending ids, each once.
    pub people: Latest<Vec<Person>>,
}

impl Staff {
    /// Most people in a roster or a care team: one record holds them all.
    pub const PEOPLE_MAX: usize = 256;

    /// Of whom nothing was said yet.
    pub fn new(tenant: TenantId) -> Self {
        Self { tenant, people: Latest::unsaid(Vec::new()) }
    }

    /// Whether somebody is in it.
    pub fn has(&self, user: UserId) -> bool {
        self.people.value.binary_search_by_key(&user, |person| person.user).is_ok()
    }
}

/// Who is in a roster or a care team from now on, as a registrar brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffEvent {
    /// Its id and time.
    pub source: SourceEvent,
    /// Whose.
    pub of: StaffOf,
    /// All of them.
    pub people: Vec<Person>,
}

/// How far the members of a care conversation, or of all of a ward, are brought in line with the
/// record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regrouping {
    /// Those who are to leave are looked for, beyond this one.
    Leaving(Option<UserId>),
    /// All of them have left; those who are to join are looked for, beyond this one.
    Joining(Option<UserId>),
    /// Of a ward: its encounters are told, beyond this one.
    Telling(Option<EncounterId>),
}

impl Regrouping {
    /// Most members that one step looks at, or encounters that it tells. Part of the machine's
    /// version: another number gives another state.
    pub const STEP_MAX: usize = 64;
}
