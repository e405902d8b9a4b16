//! Encounters: stays and visits, what happens to them, and where they are.
//!
//! The words are FHIR's. An event speaks of some of an encounter; the rest stays as it is.

use super::people::{Identifier, Patient, Provider, Role};
use super::text::Text;
use super::when::Moment;
use crate::given::Given;

/// Something happened to an encounter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncounterEvent {
    /// What.
    pub change: Change,
    /// Whose encounter it is.
    pub patient: Patient,
    /// The encounter, as far as the event speaks of it.
    pub encounter: Encounter,
}

/// What can happen to an encounter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Admitted to stay.
    Admit,
    /// Registered for a visit.
    Register,
    /// Expected.
    PreAdmit,
    /// Moved elsewhere.
    Transfer,
    /// Ended.
    Discharge,
    /// Something about it is known better.
    Update,
    /// Away for a while.
    Leave,
    /// Back from leave.
    Return,
    /// It was never admitted.
    CancelAdmit,
    /// It was not moved.
    CancelTransfer,
    /// It has not ended.
    CancelDischarge,
    /// The patient did not go on leave.
    CancelLeave,
    /// The patient is not back from leave.
    CancelReturn,
}

/// Where an encounter stands, in FHIR's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not yet begun.
    Planned,
    /// The patient is here.
    InProgress,
    /// The patient is away for a while.
    OnLeave,
    /// It has ended.
    Finished,
    /// It never took place.
    Cancelled,
}

impl Change {
    /// Where an encounter stands afterwards; `None`: where it stood before.
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Admit | Self::Register | Self::Return | Self::CancelDischarge | Self::CancelLeave => {
                Some(Status::InProgress)
            }
            Self::PreAdmit => Some(Status::Planned),
            Self::Leave | Self::CancelReturn => Some(Status::OnLeave),
            Self::Discharge => Some(Status::Finished),
            Self::CancelAdmit => Some(Status::Cancelled),
            Self::Transfer | Self::Update | Self::CancelTransfer => None,
        }
    }
}

/// What sort of encounter it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// An emergency.
    Emergency,
    /// A stay.
    Inpatient,
    /// A visit.
    Outpatient,
    /// Before a stay.
    PreAdmit,
    /// One of many visits.
    Recurring,
    /// A birth.
    Obstetrics,
    /// The sender does not know, or it does not apply.
    Unknown,
    /// A word of the site's own.
    Other(Text),
}

/// Where somebody lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// The ward.
    pub ward: Option<Text>,
    /// The room.
    pub room: Option<Text>,
    /// The bed.
    pub bed: Option<Text>,
    /// The hospital.
    pub facility: Option<Text>,
    /// The building.
    pub building: Option<Text>,
}

/// From which field an encounter's number was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberFrom {
    /// PV1-19, where it belongs.
    Visit,
    /// PV1-50, the alternate one.
    AlternateVisit,
    /// PID-18, the account. One account may have several encounters.
    Account,
}

/// An encounter, as far as an event speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encounter {
    /// Its number.
    pub number: Identifier,
    /// Where that stood.
    pub number_from: NumberFrom,
    /// What sort it is.
    pub class: Given<Class>,
    /// Where the patient lies.
    pub location: Given<Location>,
    /// Where they lay before.
    pub prior_location: Given<Location>,
    /// When it began, or is to begin.
    pub begins: Given<Moment>,
    /// When it ended.
    pub ends: Given<Moment>,
    /// Who attends.
    pub attending: Given<Vec<Provider>>,
    /// Who referred.
    pub referring: Given<Vec<Provider>>,
    /// Who was asked for advice.
    pub consulting: Given<Vec<Provider>>,
    /// Who admitted.
    pub admitting: Given<Vec<Provider>>,
    /// Roles that are said one by one.
    pub roles: Vec<Role>,
}
