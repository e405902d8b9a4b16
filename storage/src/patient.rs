//! Patients: who is under care, and by which numbers they are known.
//!
//! A patient has an opaque id, identifiers with the authorities that gave them, and a label for
//! people. Identifiers are never taken away. Two patients who turn out to be one are merged: the
//! retired one says into whom, the survivor says whom it absorbed, and nobody who survives was
//! merged into somebody else, so that one step leads from any identifier to who it is of.

use crate::id::{IdentifierId, PatientId, TenantId};
use crate::model::Text;
use crate::said::{Latest, SourceEvent};

/// A number, and the authority that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// Who gave it.
    pub authority: Text,
    /// The number.
    pub value: Text,
}

/// Somebody under care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// Whose they are.
    pub tenant: TenantId,
    /// By what they are known, in the order in which it was heard.
    pub identifiers: Vec<(IdentifierId, Identifier)>,
    /// For people; empty: none.
    pub label: Latest<Text>,
    /// Who they turned out to be.
    pub merged_into: Option<PatientId>,
    /// Who turned out to be them.
    pub absorbed: Vec<PatientId>,
}

impl Patient {
    /// Most identifiers of a patient, those of whom they absorbed aside.
    pub const IDENTIFIERS_MAX: usize = 16;
    /// Most patients that turn out to be one.
    pub const ABSORBED_MAX: usize = 16;

    /// Of whom nothing is known yet.
    pub fn new(tenant: TenantId) -> Self {
        let label = Latest::unsaid(Text::new(""));
        Self { tenant, identifiers: Vec::new(), label, merged_into: None, absorbed: Vec::new() }
    }
}

/// How an event names a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// At least one; the first that is known decides.
    pub identifiers: Vec<(IdentifierId, Identifier)>,
    /// For people. `None`: nothing is said of it; empty: there is none any more.
    pub label: Option<Text>,
}

impl Naming {
    /// Most identifiers in one event.
    pub const IDENTIFIERS_MAX: usize = 8;
}

/// An event of a patient, as a registrar brings it (A28, A31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientEvent {
    /// Its id and time.
    pub source: SourceEvent,
    /// Whom it is of, and what it says of them.
    pub patient: Naming,
}

/// That two patients are one (A40).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Its id and time.
    pub source: SourceEvent,
    /// Who they are from now on.
    pub survivor: Naming,
    /// Who is nobody of their own any more.
    pub retired: Naming,
}
