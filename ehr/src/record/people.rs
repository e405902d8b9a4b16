//! Patients, those who care for them, and the identifiers by which each is known.

use super::text::Text;
use super::when::{Date, Moment};
use crate::given::Given;

/// Who assigned an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// A name that is known within the site.
    pub namespace: Option<Text>,
    /// A name that is known everywhere, and of which kind it is: an OID, a DNS name.
    pub universal: Option<(Text, Text)>,
}

/// What somebody or something is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    /// The identifier itself.
    pub value: Text,
    /// Who assigned it. `None`: the sender says neither that nor who it is itself.
    pub authority: Option<Authority>,
    /// What sort it is (HL7 table 0203): `MR`, `SS`, `VN`.
    pub kind: Option<Text>,
}

impl Identifier {
    /// Whether both are the same: the sort does not matter, who assigned them does.
    pub fn is_same(&self, other: &Self) -> bool {
        self.value == other.value && self.authority == other.authority
    }
}

/// A person's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    /// Family name.
    pub family: Option<Text>,
    /// Given names, in order.
    pub given: Vec<Text>,
    /// What stands before it.
    pub prefix: Option<Text>,
    /// What stands behind it.
    pub suffix: Option<Text>,
}

/// A person under care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// By what they are known: one at least.
    pub identifiers: Vec<Identifier>,
    /// Their name.
    pub name: Given<Name>,
    /// When they were born.
    pub born: Given<Date>,
    /// Administrative sex (HL7 table 0001).
    pub sex: Given<Text>,
}

/// Somebody who cares for a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// By what they are known; a sender may only give a name.
    pub identifier: Option<Identifier>,
    /// Their name.
    pub name: Option<Name>,
}

/// What is to be done with a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleAction {
    /// Somebody has it from now on.
    Begin,
    /// Somebody has it no more.
    End,
    /// It is as it is said here.
    Set,
}

/// A role that somebody has in a patient's care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// What is to be done.
    pub action: RoleAction,
    /// Which role (HL7 table 0443).
    pub code: Text,
    /// Who has it.
    pub people: Vec<Provider>,
    /// From when on.
    pub begins: Option<Moment>,
    /// Until when.
    pub ends: Option<Moment>,
}
