//! Encounters: what a source says of a stay, and what holds of it.
//!
//! An encounter is a few latest words: whether it is planned, in progress, finished or cancelled,
//! where it stands, whether the patient is away. An event says some of them. Taking something back
//! is a word, too: that it is as it was before, from then on. So the order in which events arrive
//! does not matter, and docs/record.md has every pair of them.

use crate::id::{BedId, EncounterId, PatientId, TenantId, Timestamp, WardId};
use crate::model::Text;
use crate::patient::{Identifier, Naming};
use crate::said::{Effect, Latest, Said, SourceEvent};

/// What was said of an encounter as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It will be.
    Planned,
    /// The patient is there, or would be.
    InProgress,
    /// The patient has gone.
    Finished,
    /// It never was.
    Cancelled,
}

/// How an encounter stands, in FHIR's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It will be.
    Planned,
    /// The patient is on a ward.
    InProgress,
    /// The patient is away for a while, and keeps their place.
    OnLeave,
    /// The patient has gone.
    Finished,
    /// It never was.
    Cancelled,
}

/// Where an encounter stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// On which ward.
    pub ward: WardId,
    /// In which bed, if one is known.
    pub bed: Option<Bed>,
}

/// A bed, and what people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bed {
    /// Which.
    pub id: BedId,
    /// Room and bed.
    pub name: Text,
}

/// A ward, made known by the first event that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ward {
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it.
    pub name: Latest<Text>,
}

/// One stay or visit of a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encounter {
    /// Whose it is.
    pub tenant: TenantId,
    /// Whom it is of, by the id that they had when it was made: it may have been merged since.
    pub patient: PatientId,
    /// The source's number for it.
    pub number: Identifier,
    /// What was said of it as a whole; planned, until somebody does.
    pub life: Latest<Life>,
    /// Whether somebody was ever moved, went on leave or returned: then it had begun.
    pub has_moved: bool,
    /// Where it stands.
    pub place: Latest<Option<Place>>,
    /// Whether the patient is on leave.
    pub away: Latest<bool>,
    /// When the first event of it was heard, by the log's time.
    pub first_heard: Timestamp,
}

impl Encounter {
    /// Of which nothing was said yet.
    pub fn new(tenant: TenantId, patient: PatientId, number: Identifier, now: Timestamp) -> Self {
        Self {
            tenant,
            patient,
            number,
            life: Latest::unsaid(Life::Planned),
            has_moved: false,
            place: Latest::unsaid(None),
            away: Latest::unsaid(false),
            first_heard: now,
        }
    }

    /// How it stands. A leave ends with the next word on the whole.
    pub fn status(&self) -> Status {
        let has_begun = match self.life.value {
            Life::Planned => self.life.said.is_none() && self.has_moved,
            Life::InProgress => true,
            Life::Finished => return Status::Finished,
            Life::Cancelled => return Status::Cancelled,
        };
        match has_begun {
            true if self.away.value && self.away.time() >= self.life.time() => Status::OnLeave,
            true => Status::InProgress,
            false => Status::Planned,
        }
    }

    /// Whether the patient is in care, on a ward or on leave.
    pub fn is_present(&self) -> bool {
        matches!(self.status(), Status::InProgress | Status::OnLeave)
    }

    /// Where the patient is, if they are in care: on leave they keep their place.
    pub fn stands_on(&self) -> Option<&Place> {
        self.place.value.as_ref().filter(|_| self.is_present())
    }

    /// Takes in what an event says of it.
    pub fn hear(&mut self, what: What, place: Option<&Place>, said: Said) -> Option<Effect> {
        let before = (self.status(), self.place.value.clone());
        let heard = [
            what.life().map(|life| self.life.hear(life, said)),
            what.away().map(|away| self.away.hear(away, said)),
            place.map(|place| self.place.hear(Some(place.clone()), said)),
        ];
        self.has_moved |= what.moves();
        if before != (self.status(), self.place.value.clone()) {
            return Some(Effect::Changed);
        }
        // What is not seen from outside did not change.
        heard.into_iter().flatten().max().map(|effect| effect.min(Effect::Unchanged))
    }
}

/// What happened to an encounter. HL7 v2's ADT events, with their numbers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It will be (A05).
    Plan,
    /// The patient came (A01, A04).
    Admit,
    /// Nothing but what is said of the patient (A08).
    Update,
    /// They are somewhere else now (A02).
    Transfer,
    /// They left for a while (A21).
    Leave,
    /// They came back (A22).
    Return,
    /// They left for good (A03).
    Discharge,
    /// They never came (A11).
    CancelAdmit,
    /// They are where they were (A12).
    CancelTransfer,
    /// They did not leave (A52).
    CancelLeave,
    /// They did not come back (A53).
    CancelReturn,
    /// They did not leave for good (A13).
    CancelDischarge,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Plan,
        Self::Admit,
        Self::Update,
        Self::Transfer,
        Self::Leave,
        Self::Return,
        Self::Discharge,
        Self::CancelAdmit,
        Self::CancelTransfer,
        Self::CancelLeave,
        Self::CancelReturn,
        Self::CancelDischarge,
    ];

    /// What it says of the whole.
    pub const fn life(self) -> Option<Life> {
        match self {
            Self::Plan => Some(Life::Planned),
            Self::Admit | Self::CancelDischarge => Some(Life::InProgress),
            Self::Discharge => Some(Life::Finished),
            Self::CancelAdmit => Some(Life::Cancelled),
            Self::Update
            | Self::Transfer
            | Self::Leave
            | Self::Return
            | Self::CancelTransfer
            | Self::CancelLeave
            | Self::CancelReturn => None,
        }
    }

    /// Whether it says that the patient is on leave, or is not.
    pub const fn away(self) -> Option<bool> {
        match self {
            Self::Leave | Self::CancelReturn => Some(true),
            Self::Return | Self::CancelLeave => Some(false),
            _ => None,
        }
    }

    /// Whether it has to say where.
    pub const fn wants_place(self) -> bool {
        matches!(self, Self::Transfer | Self::CancelTransfer)
    }

    /// Whether it tells of somebody who is there.
    const fn moves(self) -> bool {
        self.wants_place() || self.away().is_some()
    }

    /// Whether somebody may lose sight of the patient by it.
    pub const fn takes_away(self) -> bool {
        matches!(self, Self::Transfer | Self::CancelTransfer | Self::Discharge | Self::CancelAdmit)
    }
}

/// An event of an encounter, as a registrar brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncounterEvent {
    /// Its id and time.
    pub source: SourceEvent,
    /// Which encounter.
    pub encounter: EncounterId,
    /// The source's number for it.
    pub number: Identifier,
    /// What happened.
    pub what: What,
    /// Where the patient is with it; must be there if they were moved.
    pub place: Option<Location>,
    /// Whom it is of.
    pub patient: Naming,
}

/// A place, and what people call the ward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Ward and bed.
    pub place: Place,
    /// The ward's name.
    pub ward_name: Text,
}

/// What a registrar hears back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What came of it.
    pub effect: Effect,
    /// Whom it is of, after all merges, if it is of somebody.
    pub patient: Option<PatientId>,
    /// Which encounter, if it is of one.
    pub encounter: Option<EncounterId>,
    /// The encounter, or else the patient, was not known before.
    pub made: bool,
    /// Its time lay beyond the log's, and counts as that.
    pub ahead: bool,
    /// Some identifier is that of another patient, and stays there.
    pub disputed: bool,
    /// Another encounter that holds the same bed.
    pub bed: Option<EncounterId>,
}

/// That an event was heard, and what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// When, by the log's time.
    pub heard: Timestamp,
    /// Whom it was of, if it was of somebody.
    pub patient: Option<PatientId>,
    /// Which encounter, if it was of one.
    pub encounter: Option<EncounterId>,
}
